/**
 * A program that counts in a file under a lock: `node locked-counter.ts flock|fcntl FILE LOG`. Locks the file, reads the number in it, writes the next one, syncs, notes that in the log, and gives the lock
 * back, again and again. The log has a line for each turn: what it came to, how long it waited for the lock, in ms, and when that was.
 */
import { appendFileSync, closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';

import { F, flock, lock, type Result } from '../suites/posix/syscalls.ts';

const [kind, file, log] = process.argv.slice(2) as ['flock' | 'fcntl', string, string];
const [exclusive, unlock, digits] = [2, 8, 9];
const fd = openSync(file, 'r+');
let over = false;
process.on('SIGTERM', () => (over = true));

const set = (type: 'write' | 'unlock'): Result =>
  kind === 'flock' ? flock(fd, type === 'write' ? exclusive : unlock) : lock(fd, F.SETLKW, { type, start: 0, length: 0 }).result;

function count(): number {
  const text = Buffer.alloc(digits);
  readSync(fd, text, 0, digits, 0);
  const next = Number(text.toString()) + 1;
  // A host that is frozen is so between the two as a rule: what is written then comes late.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  writeSync(fd, String(next).padStart(digits, '0'), 0);
  fsyncSync(fd);
  return next;
}

while (!over) {
  const began = performance.now();
  const taken = set('write');
  const waited = Math.round(performance.now() - began);
  let outcome: string;
  try {
    outcome = typeof taken === 'string' ? taken : String(count());
  } catch (error) {
    outcome = (error as NodeJS.ErrnoException).code ?? String(error);
  }
  appendFileSync(log, `${outcome} ${waited} ${Date.now()}\n`);
  if (typeof taken !== 'string') set('unlock');
  if (outcome === 'ENOTCONN') break;
  // SIGTERM is heard, and others have a turn.
  await new Promise((resolve) => setTimeout(resolve, typeof taken === 'string' ? 100 : 5));
}
try {
  closeSync(fd);
} catch {
  // Of what was lost each turn has told.
}
