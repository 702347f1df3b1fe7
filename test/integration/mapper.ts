/** A program that changes a file in mapped memory: `node mapper.ts FILE SOURCE`. Says `mapped`, and once it is told to go on what msync says. */
import { openSync } from 'node:fs';
import { once } from 'node:events';

import { Mapping } from '../suites/posix/syscalls.ts';

const [file, source] = process.argv.slice(2) as [string, string];
const mapping = new Mapping(openSync(file, 'r+'), 4096);
mapping.copyFrom(openSync(source, 'r'), 6);
console.log('mapped');
await once(process.stdin, 'data');
console.log(mapping.sync());
process.exit(0);
