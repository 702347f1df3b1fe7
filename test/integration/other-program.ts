import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../..');

/** A text of a source file and what stands there in another version. */
type Edit = readonly [file: string, from: string, to: string];

/** As a later minor version may be: more in its frames and hellos than this one knows, and kinds and types of which this one has not heard. */
const laterMinor: readonly Edit[] = [
  ['src/overlay/hello.ts', 'export const minorVersion = 0;', 'export const minorVersion = 1;'],
  ['src/overlay/hello.ts', '  return bytes;\n}', "  return Buffer.concat([bytes, Buffer.from('a field')]);\n}"],
  ['src/exchange/frame.ts', 'export const headerBytes = 16;', 'export const headerBytes = 24;'],
  ['src/exchange/frame.ts', 'if (size < headerBytes ||', 'if (size < 16 ||'],
  ['src/exchange/frame.ts', 'if (header < headerBytes ||', 'if (header < 16 ||'],
  [
    'src/overlay/libp2p-transport.ts',
    '    this.board.peerUp(peer);',
    "    session.exchange.notify(63, [], 'control');\n    this.board.peerUp(peer);",
  ],
];

/** As the next major version will be. */
const nextMajor: readonly Edit[] = [
  ['src/overlay/hello.ts', 'export const majorVersion = 2;', 'export const majorVersion = 3;'],
  ['src/disk/store-directory.ts', 'export const diskFormatVersion = 3;', 'export const diskFormatVersion = 4;'],
  ['src/disk/store-directory.ts', 'const earlierFormatVersion = 2;', 'const earlierFormatVersion = 3;'],
];

export const otherVersions = { 'later minor': laterMinor, 'next major': nextMajor } as const;

/** A copy of this project's program in a directory, as that version would be. Returns its `main.ts`. */
export async function programOf(version: keyof typeof otherVersions, directory: string): Promise<string> {
  await mkdir(directory, { recursive: true });
  for (const name of ['src', 'plugin']) await cp(path.join(root, name), path.join(directory, name), { recursive: true });
  for (const name of ['node_modules', 'build']) await symlink(path.join(root, name), path.join(directory, name));
  await edit(directory, 'package.json', (text) => text.replace(/"version": "[^"]*"/, `"version": "${version}"`), root);
  for (const [file, from, to] of otherVersions[version])
    await edit(directory, file, (text) => {
      if (!text.includes(from)) throw new Error(`${file} has no "${from}" any more`);
      return text.replace(from, to);
    });
  return path.join(directory, 'src/cli/main.ts');
}

async function edit(directory: string, file: string, change: (text: string) => string, from = directory): Promise<void> {
  await writeFile(path.join(directory, file), change(await readFile(path.join(from, file), 'utf8')));
}
