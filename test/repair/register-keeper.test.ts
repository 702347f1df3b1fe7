import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Address } from '../../src/block/index.ts';
import type { BlockRecord, PeerId, ReplicaSet } from '../../src/consensus/index.ts';
import type { RosterView } from '../../src/membership/index.ts';
import { Roster } from '../../src/placement/index.ts';
import { noCounts } from '../../src/repair/counts.ts';
import { RegisterKeeper } from '../../src/repair/register-keeper.ts';
import { Standpoint } from '../../src/repair/standpoint.ts';

const hosts = ['a', 'b', 'c', 'd'];
const view: RosterView = { number: 2, roster: Roster.of(hosts.map((peer) => ({ peer, zone: '', capacity: 1 }))), replicas: 4 };
const signal = new AbortController().signal;

/** The keeper of host `self`, all hosts up, before a block whose chosen record is this one. `changes` are the sets that it has the block moved to. */
function keeperAt(self: PeerId, record: BlockRecord, pointer = false): { readonly keeper: RegisterKeeper; readonly changes: ReplicaSet[] } {
  const changes: ReplicaSet[] = [];
  const accepted = { ballot: { round: 1, peer: self, incarnation: 1, serial: 1 }, pointer: false, record };
  const housekeeping = {
    inspect: () => Promise.resolve({ promised: null, accepted: { ...accepted, pointer }, lost: false }),
    resolve: () => Promise.resolve({ status: 'resolved', outcome: { status: 'committed', accepted } }),
    change: (_address: string, _epoch: number, replicas: ReplicaSet) => (changes.push(replicas), Promise.resolve({ status: 'committed' })),
  };
  const views = { inForce: () => [view], retiring: () => undefined, countedOut: () => new Set() };
  const transport = { isConnected: () => true };
  const parts = { self, housekeeping, transport, views, pace: undefined, settings: undefined };
  return { keeper: new RegisterKeeper(new Standpoint(parts as unknown as Standpoint)), changes };
}

const address = `12${'00'.repeat(31)}` as Address;
const record: BlockRecord = {
  version: 1,
  epoch: 2,
  replicas: ['b', 'c', 'd'],
  previous: [['a', 'b', 'c']],
  unsettled: [],
  origin: { peer: 'a', incarnation: 1, serial: 1 },
  value: new Uint8Array(1),
};

test('a host that only the former set of an unfinished change has finishes it where those of the new set do not', async () => {
  const { keeper, changes } = keeperAt('a', record);
  // Those of the new set come first, each of them by the try before.
  for (const patience of [0, 1, 2]) assert.equal(await keeper.move(address, view, patience, signal), 'open');
  assert.equal(changes.length, 0);
  assert.equal(await keeper.move(address, view, 3, signal), 'done');
  assert.equal(changes.length, 1);
});

test('a host that left a set since its copy was damaged, and has a pointer, brings the block back to where it belongs', async () => {
  const { keeper, changes } = keeperAt('a', { ...record, previous: [] }, true);
  assert.equal(await keeper.tend(address, noCounts(), signal), 'done');
  assert.deepEqual(
    changes.map((replicas) => replicas.toSorted()),
    [hosts],
  );
  const elsewhere = keeperAt('e', { ...record, previous: [] }, true);
  assert.equal(await elsewhere.keeper.tend(address, noCounts(), signal), 'done');
  assert.deepEqual(elsewhere.changes, []);
});
