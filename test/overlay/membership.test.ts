import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Overlay } from '../../src/overlay/index.ts';
import { eventually } from '../suites/transport-suite.ts';
import { Cluster, seenBy } from './fixture.ts';

const heartbeat = { intervalMs: 40, suspectMs: 120, downMs: 200 };

test(
  'of many hosts one that freezes is down for all, those that do not watch it too, and alive again when it thaws',
  { timeout: 300_000 },
  async () => {
    await using cluster = await Cluster.inMemory();
    const first = await cluster.first('h0');
    const options = { tokenFile: await cluster.tokenFile(first), join: [`memory:${first.self}`] };
    for (let index = 1; index < 20; index++) await cluster.open(`h${index}`, options);
    const { hosts } = cluster;
    const frozen = hosts[7]!;
    const others = hosts.filter((host) => host !== frozen);
    await eventually(() => hosts.every((host) => host.transport.connected().length === 19), 'all know all');
    cluster.network!.freeze(frozen.self);
    await eventually(() => others.every((host) => seenBy(host, frozen)?.liveness === 'down'), 'all have found it');
    for (const host of others) for (const other of others) assert.notEqual(seenBy(host, other)?.liveness, 'down');
    cluster.network!.thaw(frozen.self);
    await eventually(() => others.every((host) => seenBy(host, frozen)?.liveness === 'alive'), 'it is back');
  },
);

test('a hundred hosts join, know each other, and say little when nothing happens', { timeout: 300_000 }, async () => {
  await using cluster = await Cluster.inMemory({ heartbeat: { intervalMs: 1000, suspectMs: 4000, downMs: 8000 } });
  const count = 100;
  const first = await cluster.first('h0');
  const tokenFile = await cluster.tokenFile(first);
  const options = { tokenFile, join: [`memory:${first.self}`] };
  for (let index = 1; index < count; index++) await cluster.open(`h${index}`, options);
  const { hosts } = cluster;
  await eventually(
    () => hosts.every((host) => host.transport.connected().length === count - 1 && host.members().length === count),
    'all know all',
    40_000,
  );
  await eventually(() => new Set(hosts.map((host) => host.members().filter(({ state }) => state === 'up').length)).size === 1, 'all are up');
  const before = first.transport.traffic();
  const began = performance.now();
  await sleep(2000);
  const after = first.transport.traffic();
  const messages = (after.sentMessages - before.sentMessages) / ((performance.now() - began) / 1000);
  assert.ok(messages <= 3 * count, `${messages} messages a second from one host that has nothing to say`);
  for (const victim of hosts.slice(90)) cluster.network!.crash(victim.self);
  assert.ok(hosts.slice(0, 90).every((host) => host.members().filter(({ liveness }) => liveness === 'down').length === 10));
});

test('what was missed during a partition is learnt after it', async () => {
  await using cluster = await Cluster.inMemory({ heartbeat });
  const a = await cluster.first();
  const b = await cluster.join('b', a, { join: [`memory:${a.self}`] });
  const c = await cluster.join('c', a, { join: [`memory:${a.self}`] });
  await eventually(() => cluster.hosts.every((host) => host.members().length === 3), 'all know all');
  cluster.network!.partition([a.self, b.self], [c.self]);
  await eventually(() => seenBy(a, c)?.liveness === 'down' && seenBy(c, a)?.liveness === 'down', 'the cut is seen');
  b.setCapacity(77);
  a.setState('draining');
  await sleep(100);
  assert.notEqual(seenBy(c, b)?.capacity, 77);
  cluster.network!.heal();
  await eventually(() => seenBy(c, b)?.capacity === 77 && seenBy(c, a)?.state === 'draining', 'the news arrive');
});

test('a message that was lost is made up for by the digests in the heartbeats', async () => {
  await using cluster = await Cluster.inMemory({ heartbeat });
  const a = await cluster.first();
  const b = await cluster.join('b', a, { join: [`memory:${a.self}`] });
  cluster.network!.setLoss(1);
  b.setCapacity(123);
  await sleep(20);
  cluster.network!.setLoss(0);
  await eventually(() => seenBy(a, b)?.capacity === 123, 'a learns of it');
});

test('a host that leaves is gone for all, one that was expelled is heard by none', async () => {
  await using cluster = await Cluster.inMemory({ heartbeat });
  const a = await cluster.first();
  const names = ['b', 'c', 'd'];
  const [b, c, d] = (await Promise.all(names.map((name) => cluster.join(name, a, { join: [`memory:${a.self}`] })))) as [Overlay, Overlay, Overlay];
  await eventually(() => cluster.hosts.every((host) => host.members().length === 4), 'all know all');
  await b.leave();
  await eventually(() => [a, c, d].every((host) => host.members().length === 3 && host.departed().length === 1), 'b is gone');
  await cluster.stop(b);
  const again = await cluster.open('b');
  assert.equal(again.halted, 'this host has left the cluster');
  await assert.rejects(again.join([], 'whatever'), { code: 'unavailable', message: /empty state directory/ });
  await sleep(100);
  assert.equal(a.departed().length, 1);
  await a.revokeHost(c.self);
  await eventually(() => [a, d].every((host) => host.members().length === 2 && !host.transport.isConnected(c.self)), 'c is expelled');
  await eventually(() => c.halted !== undefined, 'c knows it');
  await sleep(100);
  assert.ok(!d.transport.isConnected(c.self));
  await assert.rejects(d.revokeHost(a.self), { code: 'denied' });
  await assert.rejects(a.revokeHost('12D3KooWnobody'), { code: 'not-found' });
});

test('a host does not leave unheard', async () => {
  await using cluster = await Cluster.inMemory({ heartbeat });
  const a = await cluster.first();
  const b = await cluster.join('b', a, { join: [`memory:${a.self}`] });
  cluster.network!.cut(a.self, b.self);
  await eventually(() => b.transport.connected().length === 0, 'they are cut off');
  await assert.rejects(b.leave(), { code: 'unavailable', message: /no other host hears/ });
  assert.deepEqual([b.halted, b.state], [undefined, 'up']);
  cluster.network!.heal();
  await eventually(() => seenBy(a, b)?.state === 'up' && a.transport.isConnected(b.self), 'it goes on');
});

test('a host that may not leave after all, once the others have heard it, stays', async () => {
  await using cluster = await Cluster.inMemory({ heartbeat });
  const a = await cluster.first();
  const b = await cluster.join('b', a, { join: [`memory:${a.self}`] });
  const heard: (string | undefined)[] = [];
  const whyNot = (): string => {
    heard.push(a.departed()[0]?.name);
    return 'another leaves too';
  };
  await assert.rejects(b.leave(whyNot), { code: 'in-use', message: 'another leaves too' });
  assert.deepEqual([heard, b.halted, b.state], [['b'], undefined, 'up']);
  await eventually(() => seenBy(a, b)?.state === 'up' && a.departed().length === 0, 'all know that it stays');
  await cluster.stop(b);
  assert.equal((await cluster.open('b')).halted, undefined);
});

test('a host that is told to leave twice at once says goodbye once, and is what it was, or was told to be meanwhile, should it stay', async () => {
  await using cluster = await Cluster.inMemory({ heartbeat });
  const a = await cluster.first();
  const b = await cluster.join('b', a, { join: [`memory:${a.self}`] });
  const whyNot = (): string => 'another leaves too';
  for (const stays of ['up', 'draining'] as const) {
    const both = [b.leave(whyNot), b.leave(whyNot)];
    b.setState(stays);
    assert.equal(b.state, 'left');
    for (const leaving of both) await assert.rejects(leaving, { code: 'in-use' });
    assert.equal(b.state, stays);
    await eventually(() => seenBy(a, b)?.state === stays && a.departed().length === 0, 'all know that it stays');
  }
  await Promise.all([b.leave(), b.leave()]);
  assert.equal(b.halted, 'this host has left the cluster');
  await eventually(() => a.departed().length === 1, 'all know that it is gone');
});

test('a member that was granted all rights invites and expels, after a restart too, and grants them on', async () => {
  await using cluster = await Cluster.inMemory({ heartbeat });
  const a = await cluster.first('a');
  const tokenFile = await cluster.tokenFile(a, { uses: 1 });
  const b = await cluster.open('b', { tokenFile, join: [`memory:${a.self}`] });
  await b.whenJoined();
  const c = await cluster.join('c', a, { join: [`memory:${a.self}`] });
  await assert.rejects(b.createToken({}), { code: 'denied', message: /infinit cluster grant/ });
  await assert.rejects(b.grant(c.self), { code: 'denied' });
  await a.grant(b.self);
  await eventually(() => [a, b, c].every((host) => host.rightsOf(b.self).includes('invite')), 'all know of it');
  await cluster.stop(b);
  const again = await cluster.open('b', { join: [`memory:${a.self}`] });
  await eventually(() => again.transport.isConnected(c.self), 'b is back');
  await again.grant(c.self);
  await eventually(() => [a, again].every((host) => host.rightsOf(c.self).includes('invite')), 'all know of c');
  const d = await cluster.join('d', c, { join: [`memory:${c.self}`] });
  await eventually(() => again.member(d.self) !== undefined, 'd is in');
  await again.revokeHost(d.self);
  await eventually(() => d.halted !== undefined, 'd is told that it was expelled');
  // The token that b joined with stays used: it was good for one host.
  const id = /token-(\w+)$/.exec(tokenFile)![1]!;
  assert.deepEqual(
    (await a.tokens()).filter((token) => token.id === id).map(({ hosts, uses }) => [hosts, uses]),
    [[['b'], 1]],
  );
});

test('who joined with a token is known, until it is expelled', async () => {
  await using cluster = await Cluster.inMemory({ heartbeat });
  const a = await cluster.first();
  const tokenFile = await cluster.tokenFile(a, { uses: 2 });
  const join = [`memory:${a.self}`];
  const b = await cluster.open('b', { tokenFile, join });
  const c = await cluster.join('c', a, { join });
  await b.whenJoined();
  await eventually(() => cluster.hosts.every((host) => host.members().length === 3), 'all know all');
  const id = /token-(\w+)$/.exec(tokenFile)![1]!;
  for (const host of [a, c]) assert.deepEqual(host.hostsOfToken(id), [b.self]);
  await a.revokeHost(b.self);
  assert.deepEqual(a.hostsOfToken(id), []);
  await eventually(() => c.members().length === 2 && a.members().length === 2, 'b is expelled');
});
