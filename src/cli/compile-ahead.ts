import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { getCompileCacheDir } from 'node:module';
import path from 'node:path';

import type { Logger } from '../base/index.ts';
import { daemonNodeFlags } from './node-flags.ts';

/** Of one program, in ms: it loads modules, and nothing else. Three seconds of processor time, which a busy machine may give it late. */
const deadlineMs = 180_000;
const sourceAt = (place: string): string => path.resolve(import.meta.dirname, '../..', place);

/**
 * Fills the compile cache, where the sources are newer than it, before the daemon and its holder begin: what strips types takes each of them 16 MiB or more, and a
 * process that has once loaded it keeps that for as long as it lives. That may be for months after the first start on a host.
 */
export function compileAhead(logger: Logger): void {
  // Who runs the sources by themselves has none.
  const directory = process.env['NODE_COMPILE_CACHE'];
  if (directory === undefined || getCompileCacheDir() === undefined) return;
  const stamp = path.join(directory, 'compiled');
  const current = `${process.version} ${newestSource()}`;
  if (stampIn(stamp) === current) return;
  logger.info('compiling the program, once for each version', { into: directory });
  // V8 takes compiled code only where its flags were the same.
  const programs = [
    [sourceAt('src/fuse/holder-main.ts')],
    [...daemonNodeFlags, sourceAt('src/cli/load-daemon.ts')],
    [sourceAt('src/cli/main.ts'), '--version'],
    [...daemonNodeFlags, sourceAt('src/cli/main.ts'), '--version'],
  ];
  const ended = programs.map((words) => spawnSync(process.execPath, [...process.execArgv, ...words], { stdio: 'ignore', timeout: deadlineMs }));
  // What was cut off left nothing, and is tried again at the next start.
  if (ended.some(({ error }) => error !== undefined)) return;
  try {
    writeFileSync(stamp, current);
  } catch {
    // A disk that is full, or not to be written: it takes longer each time.
  }
}

function stampIn(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** When a source was written last, in whole seconds: Docker keeps no more. */
function newestSource(): number {
  const sources = ['src', 'plugin'].flatMap((part) =>
    readdirSync(sourceAt(part), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile() && entry.name.endsWith('.ts')),
  );
  const written = sources.map(({ parentPath, name }) => Math.floor(statSync(path.join(parentPath, name)).mtimeMs / 1000));
  return written.reduce((newest, each) => Math.max(newest, each), 0);
}
