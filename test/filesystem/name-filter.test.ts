import assert from 'node:assert/strict';
import { test } from 'node:test';

import { NameFilter } from '../../src/filesystem/names/name-filter.ts';
import { NameHash } from '../../src/filesystem/names/name-hash.ts';

const hash = new NameHash('c0ffee');

test('no name is ever denied, few are suspected, and the bits grow with the names', () => {
  const filter = new NameFilter();
  assert.equal(filter.has(hash.of('a')), false);
  for (let index = 0; index < 300_000; index++) filter.add(hash.of(`file-${index}`));
  for (let index = 0; index < 300_000; index++) assert.ok(filter.has(hash.of(`file-${index}`)));
  let alarms = 0;
  for (let index = 0; index < 20_000; index++) if (filter.has(hash.of(`other-${index}`))) alarms++;
  assert.ok(alarms < 2000, `${alarms} of 20,000`);
  assert.ok(filter.bytes < 300_000 * 8);
  const before = filter.bytes;
  for (let index = 0; index < 300_000; index++) filter.add(hash.of(`file-${index}`));
  assert.equal(filter.bytes, before, 'the same names again take nothing');
});
