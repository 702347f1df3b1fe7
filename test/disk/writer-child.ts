/** Writes until it is killed; prints each acknowledged number. Run by kill.test.ts. */
import { writeSync } from 'node:fs';

import { LogDisk } from '../../src/disk/index.ts';
import { numbered, valueOf } from './support.ts';

const [directory, from] = process.argv.slice(2);
const disk = await LogDisk.open(directory!, { segmentBytes: 4 * 1024 * 1024, checkpointRecords: 200, tickMs: 50, reserveBytes: 0 });
let next = Number(from);
await Promise.all(
  Array.from({ length: 16 }, async () => {
    for (;;) {
      const number = next++;
      await disk.write([{ type: 'put', address: numbered(number), bytes: valueOf(number, 500 + (number % 5000)) }]);
      writeSync(1, `${number}\n`);
      // Half of it goes again, so that segments are compacted and removed while we are killed.
      if (number % 2 === 0) await disk.write([{ type: 'delete', address: numbered(number) }]);
    }
  }),
);
