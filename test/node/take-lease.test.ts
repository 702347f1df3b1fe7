import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger, systemClock } from '../../src/base/index.ts';
import { takeLease } from '../../src/node/sharing/take-lease.ts';
import { VolumeLease } from '../../src/node/sharing/volume-lease.ts';
import type { Transport } from '../../src/overlay/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';

const volumeId = '00112233445566778899aabbccddeeff';

/** Says who is connected, and nothing else. */
function transportTo(...peers: readonly string[]): Transport {
  return { isConnected: (peer: string) => peers.includes(peer) } as unknown as Transport;
}

function optionsOf(store: MemoryBlockStore, self: string): Parameters<typeof takeLease>[1] {
  return { store, volumeId, self, clock: systemClock, logger: silentLogger };
}

/** A host that had the volume and died with it: it gives nothing back. */
async function dieWithLease(store: MemoryBlockStore): Promise<void> {
  const dead = new VolumeLease({ ...optionsOf(store, 'dead'), store: store.way(), isConnected: () => false, onChange: () => {} });
  await dead.start();
  assert.ok(dead.held);
  // Its later renewals fail, and so does its return.
  store.restart();
  await dead[Symbol.asyncDispose]();
}

test('who wants a volume that nobody has mounted waits for the lease of a host that died, not for one that lives', async () => {
  const store = new MemoryBlockStore();
  await dieWithLease(store);
  {
    await using lease = await takeLease(transportTo(), optionsOf(store, 'self'));
    assert.equal(lease!.held, true);
    await assert.rejects(takeLease(transportTo('self'), optionsOf(store, 'other')), { code: 'in-use' });
  }
  await using next = await takeLease(transportTo(), optionsOf(store, 'other'));
  assert.equal(next!.held, true, 'it was given back');
});

test('nobody waits for a lease any longer once the daemon stops', async () => {
  const store = new MemoryBlockStore();
  await dieWithLease(store);
  await assert.rejects(takeLease(transportTo('dead'), optionsOf(store, 'self'), AbortSignal.abort()), { code: 'in-use' });
});
