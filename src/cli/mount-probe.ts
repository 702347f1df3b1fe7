import { spawn } from 'node:child_process';

/** How a mount took being asked: `silent`: it did not answer in time, so somebody waits behind it; `dead`: nobody serves it any more. */
export type MountAnswer = 'live' | 'dead' | 'silent';

/** A mount that takes longer waits for hosts out of reach. */
const limitMs = 3_000;
/** libuv's own maximum. */
const maxThreads = 1024;

/** One line an answer: its index and its error's code. */
const program = `
const { statfs, writeSync } = require('node:fs');
process.argv.slice(1).forEach((place, index) => statfs(place, (error) => writeSync(1, index + ' ' + (error ? error.code : '-') + '\\n')));
`;

/**
 * Asks all places at once. In a child, a thread each: a call on a mount that hangs cannot be taken back, not even by SIGKILL, and
 * would hold this process beyond its end.
 * @param code The child's program, another in tests.
 */
export async function probeMounts(places: readonly string[], code: string = program, deadlineMs: number = limitMs): Promise<MountAnswer[]> {
  const answers = places.map((): MountAnswer => 'silent');
  if (places.length === 0) return answers;
  const child = spawn(process.execPath, ['-e', code, '--', ...places], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, UV_THREADPOOL_SIZE: String(Math.min(places.length, maxThreads)) },
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, deadlineMs);
    const settle = (): void => {
      clearTimeout(timer);
      resolve();
    };
    child.once('error', settle);
    child.once('close', settle);
  });
  for (const [, index, failure] of text.matchAll(/^(\d+) (\S+)\n/gm)) answers[Number(index)] = failure === 'ENOTCONN' ? 'dead' : 'live';
  // It may not die before its mounts answer: it is not waited for.
  child.kill('SIGKILL');
  child.stdout.destroy();
  child.unref();
  return answers;
}
