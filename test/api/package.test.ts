import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { ValueHosts } from '../node/daemon-double.ts';

const run = promisify(execFile);

const program = `
import { connect } from 'infinit';
await using infinit = connect(process.argv[2]);
const { address } = await infinit.blocks.create('one');
const result = await infinit.blocks.update(address, 'two', { expect: 1 });
console.log(result.status, (await infinit.blocks.get(address)).text());
`;

const typed = `
import { type Block, connect, type WriteResult } from 'infinit';
const { blocks } = connect();
const block: Block | undefined = await blocks.get('…');
const result: WriteResult = await blocks.update('…', new Uint8Array(1), { expect: block?.version ?? 1 });
if (result.status === 'conflict') console.log(result.current?.text());
// @ts-expect-error A version is no text.
void blocks.update('…', 'x', { expect: '1' });
`;

const settings = {
  compilerOptions: { module: 'nodenext', target: 'es2024', lib: ['es2024', 'esnext.disposable'], strict: true, noEmit: true, types: ['node'] },
  files: ['typed.ts'],
};

test('a program elsewhere installs the packed client, runs it as plain JavaScript and compiles against its types', async () => {
  await using cluster = await ValueHosts.start(1);
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-consumer-'));
  try {
    // npm of another Node must not be told to trace or inspect by the test runner's own settings.
    const env = { ...process.env, NODE_OPTIONS: '' };
    await run('npm', ['pack', './client', '--pack-destination', directory], { env });
    const tarball = (await readdir(directory)).find((name) => name.endsWith('.tgz'))!;
    await writeFile(path.join(directory, 'package.json'), JSON.stringify({ name: 'consumer', type: 'module', private: true }));
    await run('npm', ['install', '--offline', '--no-audit', '--no-fund', `./${tarball}`], { cwd: directory, env });
    await writeFile(path.join(directory, 'program.js'), program);
    const { stdout } = await run(process.execPath, ['program.js', cluster.hosts[0]!.socketPath], { cwd: directory, env });
    assert.equal(stdout.trim(), 'committed two');
    await writeFile(path.join(directory, 'typed.ts'), typed);
    await writeFile(path.join(directory, 'tsconfig.json'), JSON.stringify(settings));
    await symlink(path.resolve('node_modules/@types'), path.join(directory, 'node_modules/@types'));
    await run(path.resolve('node_modules/.bin/tsc'), ['--project', '.'], { cwd: directory, env });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
