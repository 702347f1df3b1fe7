import assert from 'node:assert/strict';
import { test } from 'node:test';

import { noVolume } from '../../src/node/no-volume.ts';
import { holdersInWords } from '../../src/node/volumes.ts';

test('who holds a volume is said by the names that people know', () => {
  const holders = [`docker:${'0123456789abcdef'.repeat(4)}`, 'cli:/mnt/data'];
  assert.deepEqual(holdersInWords(holders, ['web.1 of service web', 'db']), [
    'container web.1 of service web',
    'container db',
    'the mount at /mnt/data',
  ]);
  assert.deepEqual(holdersInWords(holders, []), ['Docker (mount 0123456789ab)', 'the mount at /mnt/data']);
  assert.deepEqual(holdersInWords(['cli:/mnt/data'], ['a stopped one']), ['the mount at /mnt/data']);
});

test('a volume that does not exist comes with the one that may have been meant', () => {
  assert.match(noVolume('dta', [{ name: 'other' }, { name: 'data' }]).message, /"dta": did you mean "data"\?$/);
  assert.match(noVolume('x', [{ name: 'data' }]).message, /infinit volume create x/);
});
