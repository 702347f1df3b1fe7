/**
 * A program that changes a file in mapped memory: `node mapper.ts FILE SOURCE [SEEN]`. Says `mapped`, and once it is told to go on what msync says; with SEEN it
 * locks the file instead, copies there what it finds in its memory, and says what came of that.
 */
import { openSync } from 'node:fs';
import { once } from 'node:events';

import { messageOf } from '../../src/base/index.ts';
import { F, lock, Mapping, must } from '../suites/posix/syscalls.ts';

const [file, source, seen] = process.argv.slice(2) as [string, string, string | undefined];
const length = 6;
const fd = openSync(file, 'r+');
const mapping = new Mapping(fd, 4096);
mapping.copyFrom(openSync(source, 'r'), length);
console.log('mapped');
await once(process.stdin, 'data');
if (seen === undefined) console.log(mapping.sync());
else {
  must(lock(fd, F.SETLKW, { type: 'write', start: 0, length: 0 }).result);
  const into = openSync(seen, 'w');
  try {
    mapping.copyTo(into, length);
    console.log('copied');
  } catch (error) {
    console.log(messageOf(error));
  }
}
process.exit(0);
