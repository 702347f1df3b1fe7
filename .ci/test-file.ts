/** One test file in a process group of its own, so that all of it can be ended. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { describeLate } from './late-file.ts';
import { type Batch, batchOf } from './verdict.ts';

/** So much of the end of what it prints is kept, in characters. */
const maxPrinted = 4_000_000;
const underWay = path.join(import.meta.dirname, 'under-way.ts');

export interface FileRun {
  readonly batch: Batch;
  /** What it printed. */
  readonly printed: string;
  /** It did not end in time, and was killed. */
  readonly late: boolean;
}

/** @param deadline kills it, and what it started in its group, a process that holds its output open included. */
export function runTestFile(file: string, deadline: AbortSignal): Promise<FileRun> {
  const env = { ...process.env };
  // A runner within a test would take itself for one of its files.
  delete env.NODE_TEST_CONTEXT;
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-test-'));
  const log = path.join(directory, 'under-way');
  const reporters = [
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${underWay}`,
    `--test-reporter-destination=${log}`,
  ];
  // Not by `node --test`, which would begin a second process for the one file.
  const child = spawn(process.execPath, [...reporters, file], { stdio: ['ignore', 'pipe', 'inherit'], detached: true, env });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed = (printed + text).slice(-maxPrinted)));
  const { promise, resolve, reject } = Promise.withResolvers<FileRun>();
  const kill = (): void => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // All of it has ended.
    }
  };
  const late = async (): Promise<void> => {
    const doing = await describeLate(child.pid, log).catch(String);
    kill();
    child.stdout.destroy();
    printed += `\n✖ ${file} did not end in time and was killed\n${doing}\n`;
    resolve({ batch: batchOf(file, printed, null), printed, late: true });
  };
  const onDeadline = (): void => void late();
  const interrupted = (): void => {
    kill();
    rmSync(directory, { recursive: true, force: true });
    // Once the files that run beside this one are ended as well.
    setImmediate(() => process.exit(130));
  };
  deadline.addEventListener('abort', onDeadline, { once: true });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
  child.once('error', reject);
  child.once('close', (code) => resolve({ batch: batchOf(file, printed, code), printed, late: false }));
  return promise.finally(() => {
    deadline.removeEventListener('abort', onDeadline);
    rmSync(directory, { recursive: true, force: true });
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, interrupted);
  });
}
