import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Clock, silentLogger } from '../../src/base/index.ts';
import { mutableAddress } from '../../src/block/index.ts';
import { VolumeLease } from '../../src/node/volume-lease.ts';
import type { BlockStore } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';

const volumeId = '00112233445566778899aabbccddeeff';

test('a write that becomes durable after another host has the volume is not called done', async () => {
  let now = 1000;
  const clock: Clock = { monotonicMs: () => now, wallMs: () => now };
  const store = new MemoryBlockStore();
  const leaseOf = (self: string): VolumeLease =>
    new VolumeLease({
      store,
      volumeId,
      self,
      clock,
      logger: silentLogger,
      leaseUntilMs: new Float64Array(1),
      isConnected: () => false,
      onChange: () => {},
    });
  await using first = leaseOf('first');
  await using second = leaseOf('second');
  await first.start();
  await second.start();
  const gate = Promise.withResolvers<void>();
  const slow: BlockStore = {
    get: (address) => store.get(address),
    fetch: (address) => store.fetch(address),
    commit: async (stages) => {
      await gate.promise;
      return store.commit(stages);
    },
  };
  const update = [{ address: mutableAddress(), expect: 'absent', payload: new Uint8Array(1) }] as const;
  assert.equal((await first.guard(store).commit([{ update: [{ ...update[0], address: mutableAddress() }] }])).done, true);
  const write = first.guard(slow).commit([{ update }]);
  // The first host freezes; the second sees its lease run out and takes the volume.
  now += 20_000;
  await second.beat();
  assert.equal(second.held, true);
  gate.resolve();
  await assert.rejects(write, { code: 'unknown-outcome' });
  await assert.rejects(first.guard(store).commit([{ update }]), { code: 'unavailable' });
});
