import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { InfinitError } from '../../base/index.ts';

/** Where the compiled add-on lies. */
export const addonPath: string = path.resolve(import.meta.dirname, '../../../build/fuse.node');

function modifiedMs(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** The FUSE add-on, compiled if need be (about half a second). @throws as {@link compileAddon}. */
export function buildAddon(): string {
  return compileAddon(path.join(import.meta.dirname, 'addon.c'), addonPath);
}

/**
 * Compiles an add-on if it is absent or older than its source, and returns its path. An image without a compiler uses
 * what was built into it.
 * @throws InfinitError `unsupported` where there is neither a compiler nor an add-on.
 */
export function compileAddon(source: string, target: string): string {
  const built = modifiedMs(target);
  const sources = [source, ...['node-abi.h', 'crc32.h'].map((header) => path.join(import.meta.dirname, header))];
  if (built > 0 && built >= Math.max(...sources.map(modifiedMs))) return target;
  mkdirSync(path.dirname(target), { recursive: true });
  // Compiled aside and moved into place: another thread or process, of another PID namespace perhaps, may be building or loading it at this moment.
  const draft = `${target}.${randomUUID()}.tmp`;
  const flags = ['-O2', '-Wall', '-Wextra', '-shared', '-fPIC', '-fvisibility=hidden', '-pthread', '-I', import.meta.dirname];
  const compiled = spawnSync('cc', [...flags, '-o', draft, source], { encoding: 'utf8' });
  if (compiled.status === 0) {
    renameSync(draft, target);
    return target;
  }
  rmSync(draft, { force: true });
  if (compiled.error === undefined) throw new InfinitError('unsupported', `${path.basename(source)} does not compile: ${compiled.stderr}`);
  if (built > 0) return target;
  throw new InfinitError('unsupported', `there is no C compiler for ${path.basename(target)}: run \`apt-get install gcc libc6-dev\``, {
    cause: compiled.error,
  });
}

if (import.meta.main) console.log(buildAddon());
