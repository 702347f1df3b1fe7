import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { type Address, immutableAddress, mutableAddress } from '../../src/block/index.ts';
import { Repair } from '../../src/repair/index.ts';
import { rosterAddress } from '../../src/membership/roster-state.ts';
import { place } from '../../src/placement/index.ts';
import { type Host, Hosts, until } from '../membership/hosts.ts';

/** The host's own mover makes room for the real one. */
function repairOn(host: Host): Repair {
  host.moves = false;
  const { store, transport, membership } = host;
  return Repair.start({ store, transport, views: membership, settings: { checkIntervalMs: 500, tombstoneMs: 200 }, logger: silentLogger });
}

async function copiesOf(hosts: readonly Host[], address: Address): Promise<number> {
  const held = await Promise.all(hosts.map(({ disk }) => disk.has(address)));
  return held.filter(Boolean).length;
}

test('a silent host is counted out, its copies are made again, it returns empty and takes its share once more', { timeout: 300_000 }, async () => {
  const cluster = new Hosts({ evictionDelayMs: 1000 });
  await using _ = cluster;
  await using repairs = new AsyncDisposableStack();
  const hosts: Host[] = [];
  for (let index = 0; index < 5; index++) {
    const host = index === 0 ? await cluster.found('h0') : await cluster.start(`h${index}`);
    repairs.use(repairOn(host));
    hosts.push(host);
  }
  await cluster.settled(5);
  const registers = Array.from({ length: 30 }, () => mutableAddress());
  const copies: Address[] = [];
  for (const [index, address] of registers.entries()) {
    const sealed = Buffer.from(`block ${index}`);
    copies.push(immutableAddress(sealed));
    const stages = [
      { put: [{ address: copies.at(-1)!, sealed }] },
      { update: [{ address, expect: 'absent' as const, payload: Buffer.from(address) }] },
    ];
    assert.ok((await hosts[0]!.store.commit(stages)).done);
  }
  await hosts[4]!.stop();
  await cluster.settled(4, 60_000);
  const left = hosts.slice(0, 4);
  await until(async () => (await Promise.all(copies.map((address) => copiesOf(left, address)))).every((count) => count === 3), 30_000);
  for (const address of registers) assert.equal(Buffer.from((await hosts[1]!.store.fetch(address))!.payload).toString(), address);
  const returned = await cluster.start('h4');
  repairs.use(repairOn(returned));
  await cluster.settled(5, 60_000);
  assert.equal(returned.membership.status().standing, 'member');
  const all = [...left, returned];
  await until(async () => (await Promise.all(copies.map((address) => copiesOf(all, address)))).every((count) => count === 3), 30_000);
  for (const address of registers) {
    assert.equal(Buffer.from((await returned.store.fetch(address))!.payload).toString(), address);
    assert.notEqual((await returned.store.housekeeping.inspect(address))?.lost, true);
  }
});

test('of two silent hosts neither is counted out, and blocks that have a majority get their third copy again', { timeout: 300_000 }, async () => {
  const cluster = new Hosts({ evictionDelayMs: 1000 });
  await using _ = cluster;
  await using repairs = new AsyncDisposableStack();
  for (let index = 0; index < 7; index++) {
    const host = index === 0 ? await cluster.found('h0') : await cluster.start(`h${index}`);
    repairs.use(repairOn(host));
  }
  await cluster.settled(7);
  const [view] = cluster.running[0]!.membership.inForce();
  const kept = place(rosterAddress('cluster'), view!.roster, 3).slice(0, 2);
  const victims = cluster.running.filter(({ self }) => !kept.includes(self)).slice(0, 2);
  const registers = Array.from({ length: 40 }, () => mutableAddress()).filter(
    (address) => victims.filter(({ self }) => place(address, view!.roster, 3).includes(self)).length < 2,
  );
  for (const address of registers)
    assert.ok((await cluster.running[0]!.store.commit([{ update: [{ address, expect: 'absent', payload: Buffer.from(address) }] }])).done);
  for (const victim of victims) await victim.stop();
  const left = cluster.running;
  await until(() => left[0]!.membership.status().hosts === 5);
  const isWhole = async (address: Address): Promise<boolean> => {
    const copies = (await left[0]!.store.inspect(address)).flatMap((copy) =>
      copy.kind === 'register' && copy.accepted?.pointer === false ? [copy] : [],
    );
    return copies.length === 3 && copies.every(({ accepted }) => accepted!.record.replicas.every((peer) => left.some(({ self }) => self === peer)));
  };
  await until(async () => (await Promise.all(registers.map(isWhole))).every(Boolean), 60_000);
  assert.equal(left[0]!.membership.countedOut().size, 0);
  for (const address of registers) assert.equal(Buffer.from((await left[1]!.store.fetch(address))!.payload).toString(), address);
});
