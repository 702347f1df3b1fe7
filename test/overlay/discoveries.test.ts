import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import { silentLogger } from '../../src/base/index.ts';
import { Discoveries } from '../../src/overlay/discoveries.ts';

test('a host that announces itself again and again is tried once at a time, and of many only some at once', async () => {
  const dials: { readonly address: string; readonly fail: (error: Error) => void }[] = [];
  const discoveries = new Discoveries(
    (peer) => peer === 'known',
    (address) => new Promise((_, fail) => dials.push({ address, fail })),
    silentLogger,
  );
  discoveries.found('known', ['k:1']);
  for (let count = 0; count < 5; count++) discoveries.found('a', ['a:1', 'a:2']);
  assert.deepEqual(
    dials.map(({ address }) => address),
    ['a:1'],
  );
  for (let count = 0; count < 100; count++) discoveries.found(`host-${count}`, ['h:1']);
  assert.equal(dials.length, 8);
  for (const { fail } of dials.splice(0)) fail(new Error('nobody is there'));
  await turn();
  assert.deepEqual(
    dials.map(({ address }) => address),
    ['a:2'],
  );
  discoveries.found('host-99', ['h:1']);
  assert.equal(dials.length, 2);
});
