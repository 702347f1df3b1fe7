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

test('what was of no use is tried again, ever more rarely, and a false announcement of a host does not put off the true one', async () => {
  let now = 0;
  const dials: string[] = [];
  const discoveries = new Discoveries(
    () => false,
    async (address) => {
      dials.push(address);
      if (address !== 'true:1') throw new Error('nobody is there');
    },
    silentLogger,
    () => now,
  );
  for (; now < 300_000; now += 10_000) {
    discoveries.found('host', ['false:1']);
    await turn();
  }
  assert.deepEqual(dials.splice(0), Array(4).fill('false:1'), 'at 0, 20, 60 and 140 s');
  discoveries.found('host', ['false:1']);
  discoveries.found('host', ['true:1']);
  assert.deepEqual(dials.splice(0), ['false:1', 'true:1']);
});

test('announcements of one host take the place of no other', () => {
  const dials: string[] = [];
  const never = new Promise<never>(() => {});
  const discoveries = new Discoveries(
    () => false,
    (address) => (dials.push(address), never),
    silentLogger,
  );
  for (let count = 0; count < 100; count++) discoveries.found('one', [`lie:${count}`]);
  discoveries.found('other', ['other:1']);
  assert.deepEqual(dials, ['lie:0', 'lie:1', 'other:1']);
});
