import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import { immutableAddress } from '../../src/block/index.ts';
import { Roster } from '../../src/placement/index.ts';
import { Comparison } from '../../src/repair/comparison.ts';
import type { Standpoint } from '../../src/repair/standpoint.ts';

test('a host that does not answer leaves a comparison open: that nothing was found says nothing then', async () => {
  let answer: () => Promise<Uint8Array> = () => Promise.reject(new InfinitError('unavailable', 'no answer in 5 s'));
  const roster = Roster.of(['a', 'b'].map((peer) => ({ peer, zone: '', capacity: 1 })));
  const standpoint = {
    self: 'a',
    newest: { number: 1, roster, replicas: 2 },
    transport: { handle: () => () => {}, isConnected: () => true, request: () => answer() },
    home: () => ['a', 'b'],
    pace: { breathe: () => Promise.resolve() },
  };
  const comparison = new Comparison(standpoint as unknown as Standpoint);
  const addresses = [immutableAddress(Buffer.from('x'))];
  const signal = new AbortController().signal;
  assert.equal((await comparison.page(undefined, undefined, addresses, signal)).isOpen, true);
  answer = () => Promise.resolve(new Uint8Array(0));
  assert.equal((await comparison.page(undefined, undefined, addresses, signal)).isOpen, false);
});
