/** A program that locks a file and keeps it: `node locker.ts flock|fcntl FILE`. Says `locked` when it has it. */
import { closeSync, openSync } from 'node:fs';

import { F, flock, lock, must } from '../suites/posix/syscalls.ts';

const lockExclusive = 2;
const [kind, file] = process.argv.slice(2) as ['flock' | 'fcntl', string];
const fd = openSync(file, 'r+');
must(kind === 'flock' ? flock(fd, lockExclusive) : lock(fd, F.SETLKW, { type: 'write', start: 0, length: 0 }).result);
console.log('locked');
process.on('SIGTERM', () => {
  closeSync(fd);
  process.exit(0);
});
setInterval(() => {}, 1_000_000);
