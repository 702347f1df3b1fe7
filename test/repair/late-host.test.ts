import assert from 'node:assert/strict';
import { test } from 'node:test';

import { mutableAddress } from '../../src/block/index.ts';
import type { RosterView } from '../../src/membership/index.ts';
import { place, Roster } from '../../src/placement/index.ts';
import { noCounts } from '../../src/repair/counts.ts';
import { Pace } from '../../src/repair/pace.ts';
import { RegisterKeeper } from '../../src/repair/register-keeper.ts';
import { defaultRepairSettings } from '../../src/repair/settings.ts';
import { Standpoint } from '../../src/repair/standpoint.ts';
import { TestCluster, type TestHost } from './test-cluster.ts';

function view(number: number, members: readonly string[]): RosterView {
  return { number, roster: Roster.of(members.map((peer) => ({ peer, zone: '', capacity: 1 }))), replicas: 3 };
}

/** A keeper on a host that knows views 1 to 4, and was not told that any of them retires. */
function lateKeeper(cluster: TestCluster, { name, store, transport }: TestHost, inForce: readonly RosterView[]): RegisterKeeper {
  const views = { ...cluster.views.of(name), inForce: () => inForce, retiring: () => undefined };
  const { housekeeping } = store;
  return new RegisterKeeper(
    new Standpoint({ self: name, housekeeping, transport, views, pace: new Pace(() => false, 1e9), settings: defaultRepairSettings }),
  );
}

test('a host that was not told that views retire does not take back what others moved past them; what is behind it brings to the next view', async () => {
  const all = ['a', 'b', 'c', 'd', 'e', 'f'];
  await using cluster = await TestCluster.of(all, 3, { checkIntervalMs: 1e9 });
  const [old, next, newest] = [view(1, ['a', 'b', 'c']), view(2, ['d', 'e', 'f']), view(4, all)];
  const { signal } = new AbortController();
  for (let count = 0; count < 8; count++) {
    const address = mutableAddress();
    const home = place(address, newest.roster, 3);
    await cluster.host('a').store.commit([{ update: [{ address, expect: 'absent', payload: Buffer.from('x') }] }]);
    const recordAt = async (peer: string) => (await cluster.host(peer).store.housekeeping.inspect(address))!.accepted!.record;
    const turn = (await recordAt(home[0]!)).replicas[0]!;
    await lateKeeper(cluster, cluster.host(turn), [old, next, view(3, ['a', 'b', 'c', 'd']), newest]).tend(address, noCounts(), signal);
    assert.deepEqual((await recordAt(turn)).replicas.toSorted(), home.toSorted());
    // A change that others began goes through, to where they meant it to.
    const record = await recordAt(turn);
    const joint = { ...record, epoch: record.epoch + 1, previous: [['a', 'b', 'c']], unsettled: all };
    const ballot = { round: 1000, peer: turn, incarnation: 1000, serial: 1 };
    await cluster.host(turn).store.housekeeping.tell(address, { ballot, record: joint, pointer: false }, all);
    await lateKeeper(cluster, cluster.host(turn), [old, next, newest]).tend(address, noCounts(), signal);
    const finished = await recordAt(turn);
    assert.deepEqual([finished.replicas, finished.previous], [record.replicas, []]);
    // Where no view after the next one has it, the move is this host's to make.
    await lateKeeper(cluster, cluster.host(turn), [newest, next]).tend(address, noCounts(), signal);
    assert.deepEqual((await recordAt('d')).replicas.toSorted(), ['d', 'e', 'f']);
  }
});

test('what is told of a block that does not move names what each host has of it', async () => {
  await using cluster = await TestCluster.of(['a', 'b', 'c'], 3, { checkIntervalMs: 1e9 });
  const address = mutableAddress();
  await cluster.host('a').store.commit([{ update: [{ address, expect: 'absent', payload: Buffer.from('x') }] }]);
  const to = view(2, ['a', 'b', 'd']);
  const told = await lateKeeper(cluster, cluster.host('a'), [view(1, ['a', 'b', 'c']), to]).account(address, to, new AbortController().signal);
  const hosts = told['hosts'] as readonly { peer: string; accepted: { version: number } | undefined }[];
  assert.deepEqual([told['found'], (told['wanted'] as string[]).toSorted()], ['resolved', ['a', 'b', 'd']]);
  assert.deepEqual(hosts.map(({ peer }) => peer).toSorted(), ['a', 'b', 'c']);
  assert.ok(hosts.filter(({ accepted }) => accepted?.version === 1).length >= 2);
});
