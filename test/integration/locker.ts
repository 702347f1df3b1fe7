/** A program that locks a file and keeps it: `node locker.ts flock|fcntl FILE`; with `try` behind that it does not wait, and says what it is told. Says `locked` when it has it. Before that it takes and gives it back a few times: a host that is served grants it by itself then. */
import { closeSync, openSync } from 'node:fs';

import { F, flock, lock, must } from '../suites/posix/syscalls.ts';

const lockExclusive = 2;
const lockWithoutWait = 4;
const unlock = 8;
const times = 4;
const [kind, file, how] = process.argv.slice(2) as ['flock' | 'fcntl', string, 'try' | undefined];
const fd = openSync(file, 'r+');
const set = (type: 'write' | 'unlock'): void => {
  if (kind === 'flock') must(flock(fd, type === 'write' ? lockExclusive : unlock));
  else must(lock(fd, F.SETLKW, { type, start: 0, length: 0 }).result);
};
if (how === 'try') {
  const range = { type: 'write', start: 0, length: 0 } as const;
  const said = kind === 'flock' ? flock(fd, lockExclusive | lockWithoutWait) : lock(fd, F.SETLK, range).result;
  console.log(typeof said === 'string' ? said : 'locked');
  process.exit(0);
}
for (let time = 0; time < times; time++) {
  set('write');
  set('unlock');
}
set('write');
console.log('locked');
process.on('SIGTERM', () => {
  closeSync(fd);
  process.exit(0);
});
setInterval(() => {}, 1_000_000);
