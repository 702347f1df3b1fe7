/**
 * A program that fills a file in mapped memory: `node filler.ts FILE SOURCE BYTES`. Says what msync says, and what fsync says then; once it is told to go on it locks the file and says whether its
 * memory has what it wrote there, or what touching it came to.
 */
import { closeSync, ftruncateSync, openSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { messageOf } from '../../src/base/index.ts';
import { F, fsync, lock, Mapping, must, unlink } from '../suites/posix/syscalls.ts';

const [file, source, size] = process.argv.slice(2) as [string, string, string];
const bytes = Number(size);
const fd = openSync(file, 'w+');
ftruncateSync(fd, bytes);
const mapping = new Mapping(fd, bytes);
mapping.copyFrom(openSync(source, 'r'), bytes);
console.log(`${mapping.sync()} ${fsync(fd)}`);
await once(process.stdin, 'data');
must(lock(fd, F.SETLKW, { type: 'write', start: 0, length: 0 }).result);
const seen = path.join(tmpdir(), `infinit-seen-${process.pid}`);
const into = openSync(seen, 'w+');
try {
  let wrote = 0;
  while (wrote < bytes) wrote += mapping.copyTo(into, bytes - wrote, wrote);
  console.log(readFileSync(seen).equals(readFileSync(source)) ? 'as it wrote it' : 'as it was before');
} catch (error) {
  console.log(messageOf(error));
} finally {
  must(unlink(seen));
  closeSync(into);
}
process.exit(0);
