import assert from 'node:assert/strict';
import { test } from 'node:test';

import { mutableAddress } from '../../src/block/index.ts';
import { encodeReport, kinds } from '../../src/membership/messages.ts';
import { encodeRosterState, type RosterState } from '../../src/membership/roster-state.ts';
import type { MemoryTransport, PeerId } from '../../src/overlay/index.ts';
import { Roster } from '../../src/placement/index.ts';
import { type Host, Hosts, until } from './hosts.ts';

const storing = (peers: readonly PeerId[]): Roster => Roster.of(peers.map((peer) => ({ peer, zone: 'z', capacity: 1_000_000 })));

/** What nobody agreed on: newer than what a host knows, with these hosts in its view. */
function forged(host: Host, peers: readonly PeerId[]): RosterState {
  const { number, replicas } = host.membership.inForce().at(-1)!;
  return { serial: 1000, views: [{ number: number + 1, roster: storing(peers), replicas }], retiring: 0, countedOut: [], floor: 0 };
}

/** A host that is connected with all, and has no daemon of ours. */
async function rogue(cluster: Hosts, self: PeerId): Promise<MemoryTransport> {
  const transport = cluster.network.open(self);
  await transport.start();
  return transport;
}

test('a host that may not store says nothing about the views: neither unasked nor where it is asked', async () => {
  const { cluster, hosts } = await Hosts.of(3);
  await using _ = cluster;
  const state = forged(hosts[0]!, ['x']);
  cluster.readers.add('x');
  const x = await rogue(cluster, 'x');
  let asked = 0;
  x.handle(kinds.report, () => {
    asked++;
    return encodeReport({ serial: 1000, newest: state.views[0]!.number, standing: 'member', resolved: 0, floor: 0, silent: [] }, state);
  });
  for (const { self } of hosts) {
    x.notify(self, kinds.news, encodeRosterState(state));
    await assert.rejects(x.request(self, kinds.news, encodeRosterState(state)), { code: 'denied' });
    // Who seems to know more is asked.
    await x.request(self, kinds.report, encodeReport({ serial: 1000, newest: 0, standing: 'member', resolved: 0, floor: 0, silent: [] }, undefined));
  }
  await until(() => asked >= hosts.length);
  for (const { membership } of hosts)
    assert.deepEqual([membership.status().standing, membership.inForce()[0]!.roster.size, membership.hasSay], ['member', 3, true]);
});

test('a host that is told it is out gives nothing up while the roster block does not say so', async () => {
  const { cluster, hosts } = await Hosts.of(4);
  await using _ = cluster;
  const victim = hosts[3]!;
  const addresses = Array.from({ length: 8 }, () => mutableAddress());
  for (const address of addresses)
    assert.ok((await hosts[0]!.store.commit([{ update: [{ address, expect: 'absent', payload: Buffer.from('kept') }] }])).done);
  const held = async (): Promise<boolean[]> => {
    const found = await Promise.all(addresses.map((address) => victim.store.housekeeping.inspect(address)));
    return found.map((state) => state !== undefined && !state.lost);
  };
  const before = await held();
  assert.ok(before.includes(true));
  const x = await rogue(cluster, 'x');
  x.notify(victim.self, kinds.news, encodeRosterState(forged(victim, ['h0', 'h1', 'h2'])));
  await until(() =>
    victim.membership.status().troubles.some((trouble) => /told of state 1000 of the roster, and the roster block says state \d/.test(trouble)),
  );
  assert.deepEqual(await held(), before);
});
