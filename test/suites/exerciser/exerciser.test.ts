import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { Mounted } from '../../fuse/mounted.ts';
import { exercise } from './exercise.ts';

const operations = 600;
/** Drawn anew each time: a failure names its own. */
const seed = Date.now() % 1_000_000;

test(
  'the exerciser is right: the file system of the machine passes it, and it notices a byte that somebody else changed',
  { timeout: 120_000 },
  async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'infinit-exercised-'));
    try {
      assert.equal(await exercise([directory], { seed, operations }), undefined);
      const problem = await exercise([directory], {
        seed: seed + 1,
        operations,
        events: ['crash'],
        share: 0.1,
        happen: async () => {
          for (const name of readdirSync(directory)) {
            const file = openSync(path.join(directory, name), 'r+');
            writeSync(file, 'not so', 0);
            closeSync(file);
          }
        },
      });
      assert.match(problem ?? '', /not all is as written|bytes from 0 on|has 6 bytes/);
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
);

// The ways that the daemon serves volumes in; test/integration/exerciser does it with real daemons.
for (const [whose, leased] of [
  ['of one host', false],
  ['that others may have mounted as well', true],
] as const) {
  test(`whatever is done to files on a volume ${whose}, in whatever way, they are as they have to be`, { timeout: 120_000 }, async () => {
    await using mounted = await Mounted.start({ leased }, 'volume');
    // The last one looked for holes where mapped memory had been changed.
    for (const each of [seed, seed + 1, 589_716])
      assert.equal(await exercise([mounted.directory], { seed: each, operations }), undefined, mounted.log);
  });
}
