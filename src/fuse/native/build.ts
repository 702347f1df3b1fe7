import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { InfinitError } from '../../base/index.ts';

const sources = ['addon.c', 'node-abi.h'].map((name) => path.join(import.meta.dirname, name));

/** Where the compiled add-on lies. */
export const addonPath: string = path.resolve(import.meta.dirname, '../../../build/fuse.node');

function modifiedMs(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/**
 * Compiles the add-on if it is absent or older than its source (about half a second), and returns its path. An image
 * without a compiler uses what was built into it.
 * @throws InfinitError `unsupported` where there is neither a compiler nor an add-on.
 */
export function buildAddon(): string {
  const built = modifiedMs(addonPath);
  if (built > 0 && built >= Math.max(...sources.map(modifiedMs))) return addonPath;
  mkdirSync(path.dirname(addonPath), { recursive: true });
  // Compiled aside and moved into place: another process may be building or loading it at this moment.
  const draft = `${addonPath}.${process.pid}.tmp`;
  const flags = ['-O2', '-Wall', '-Wextra', '-shared', '-fPIC', '-fvisibility=hidden', '-pthread'];
  const compiled = spawnSync('cc', [...flags, '-o', draft, sources[0]!], { encoding: 'utf8' });
  if (compiled.status === 0) {
    renameSync(draft, addonPath);
    return addonPath;
  }
  rmSync(draft, { force: true });
  if (compiled.error === undefined) throw new InfinitError('unsupported', `the FUSE add-on does not compile: ${compiled.stderr}`);
  if (built > 0) return addonPath;
  throw new InfinitError('unsupported', 'there is no C compiler for the FUSE add-on: run `apt-get install gcc libc6-dev`', {
    cause: compiled.error,
  });
}

if (import.meta.main) console.log(buildAddon());
