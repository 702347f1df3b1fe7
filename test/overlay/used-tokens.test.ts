import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import type { Overlay } from '../../src/overlay/index.ts';
import { eventually } from '../suites/transport-suite.ts';
import { addressesOf, Cluster } from './fixture.ts';

const heartbeat = { intervalMs: 40, suspectMs: 400, downMs: 800 };

function idOf(tokenFile: string): string {
  return /token-(\w+)$/.exec(tokenFile)![1]!;
}

/** Which hosts used a token, as a host knows it. */
async function usersOf(tokenFile: string, host: Overlay): Promise<readonly string[]> {
  return (await host.tokens()).find(({ id }) => id === idOf(tokenFile))?.peers ?? [];
}

test('a member that takes a further token stays among the users of the first, which it uses no more', async () => {
  await using cluster = await Cluster.inMemory({ heartbeat });
  const a = await cluster.first();
  const join = [`memory:${a.self}`];
  const first = await cluster.tokenFile(a, { uses: 1 });
  const b = await cluster.open('b', { tokenFile: first, join });
  await b.whenJoined();
  const second = await cluster.tokenFile(a, { uses: 1, rights: ['store', 'write', 'invite'] });
  await b.join([], await readFile(second, 'utf8'));
  await eventually(() => a.rightsOf(b.self).includes('invite'), 'its new rights are known');
  for (const token of [first, second]) assert.deepEqual(await usersOf(token, a), [b.self]);
  // Started with the first token still in its environment it keeps what the second gave it.
  await cluster.stop(b);
  const again = await cluster.open('b', { tokenFile: first, join });
  await eventually(() => again.transport.isConnected(a.self), 'b is back');
  assert.ok(again.rightsOf(again.self).includes('invite'));
});

const hourMs = 3_600_000;

/** A host of an identity of its own that may not come in by this member with the token. */
async function refused(cluster: Cluster, name: string, tokenFile: string, by: Overlay, why: RegExp): Promise<void> {
  const host = await cluster.open(name, { tokenFile, join: addressesOf(by) });
  await assert.rejects(host.whenJoined(AbortSignal.timeout(20_000)), { code: 'denied', message: why });
  await cluster.stop(host);
}

async function restart(cluster: Cluster, host: Overlay): Promise<Overlay> {
  const { name } = host.members()[0]!;
  await cluster.stop(host);
  return cluster.open(name);
}

test('a host that was expelled does not come back under a new identity with the token that it joined with; who joined with it beside stays', async () => {
  await using cluster = await Cluster.onLoopback();
  const a = await cluster.first();
  const join = addressesOf(a);
  const tokenFile = await cluster.tokenFile(a, { uses: 3 });
  const b = await cluster.open('b', { tokenFile, join });
  await b.whenJoined();
  const c = await cluster.open('c', { tokenFile, join });
  await c.whenJoined();
  await eventually(() => c.member(b.self) !== undefined, 'c knows b');
  await a.revokeHost(b.self);
  await eventually(() => c.expelled().has(b.self), 'c knows that b is expelled');
  await cluster.stop(b);
  for (const by of [a, c]) await refused(cluster, `b by ${by.self}`, tokenFile, by, /the token of host \w+ was revoked/);
  const again = await restart(cluster, a);
  await refused(cluster, 'b once more', tokenFile, again, /the token of host \w+ was revoked/);
  await eventually(() => again.transport.isConnected(c.self), 'c is in as ever');
  // Whoever comes later knows it too.
  const d = await cluster.join('d', again);
  await refused(cluster, 'b by d', tokenFile, d, /the token of host \w+ was revoked/);
  await eventually(() => d.transport.isConnected(c.self), 'd takes c, which joined with that token in its time');
  assert.deepEqual(
    (await again.tokens()).filter(({ revoked }) => revoked).map(({ id }) => id),
    [idOf(tokenFile)],
  );
});

test('a token stays used up though the passport made with it has ended, after a restart and for members that came later', async () => {
  let ahead = 0;
  const clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() + ahead };
  await using cluster = await Cluster.onLoopback({ clock });
  const a = await cluster.first();
  const tokenFile = await cluster.tokenFile(a, { uses: 1, passportMs: hourMs });
  const b = await cluster.open('b', { tokenFile, join: addressesOf(a) });
  await b.whenJoined();
  await eventually(() => a.member(b.self) !== undefined, 'a knows b');
  ahead = 2 * hourMs;
  await cluster.stop(b);
  const again = await restart(cluster, a);
  const usedUp = /good for one host, which has joined already/;
  await refused(cluster, 'c', tokenFile, again, usedUp);
  const d = await cluster.join('d', again);
  await refused(cluster, 'e', tokenFile, d, usedUp);
  assert.deepEqual(await usersOf(tokenFile, d), [b.self]);
});

test('a host that was refused with a token and came in by another is no user of the first, on no host', async () => {
  await using cluster = await Cluster.onLoopback();
  const a = await cluster.first();
  const join = addressesOf(a);
  const ended = await cluster.tokenFile(a, { uses: 3 });
  await a.revokeToken(idOf(ended));
  const b = await cluster.open('b', { tokenFile: ended, join });
  await assert.rejects(b.whenJoined(AbortSignal.timeout(20_000)), { code: 'denied', message: /was revoked/ });
  // What was tried before is tried again where somebody asks for it.
  const good = await cluster.tokenFile(a, { uses: 1 });
  const fruitless = await cluster.tokenFile(a, { uses: 1 });
  await a.revokeToken(idOf(fruitless));
  for (const token of [fruitless, ended, good]) await b.join(join, await readFile(token, 'utf8'));
  await b.whenJoined(AbortSignal.timeout(20_000));
  await eventually(() => a.member(b.self) !== undefined, 'a knows b');
  const c = await cluster.join('c', a);
  await eventually(() => c.member(b.self) !== undefined, 'c knows b');
  // Started with the refused token still in its environment it stays what the good one made it.
  await cluster.stop(b);
  const again = await cluster.open('b', { tokenFile: ended, join });
  await eventually(() => again.transport.isConnected(a.self) && again.transport.isConnected(c.self), 'b is back');
  for (const host of [a, c, again]) {
    assert.deepEqual(host.hostsOfToken(idOf(ended)), []);
    assert.deepEqual([await usersOf(ended, host), await usersOf(fruitless, host), await usersOf(good, host)], [[], [], [b.self]]);
  }
});

test('a host whose clock is years ahead ends the invitation of a host that it expels, too', async () => {
  let ahead = 0;
  const clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() + ahead };
  await using cluster = await Cluster.onLoopback();
  const a = await cluster.first('a', { clock });
  const tokenFile = await cluster.tokenFile(a, { uses: 3 });
  const b = await cluster.open('b', { tokenFile, join: addressesOf(a) });
  await b.whenJoined();
  const c = await cluster.join('c', a);
  await eventually(() => a.member(b.self) !== undefined && c.member(b.self) !== undefined, 'all know b');
  ahead = 5 * 365 * 24 * hourMs;
  await cluster.stop(a);
  const again = await cluster.open('a', { clock });
  await again.revokeHost(b.self);
  await eventually(() => c.expelled().has(b.self), 'c knows that b is expelled');
  await cluster.stop(b);
  await refused(cluster, 'b by c', tokenFile, c, /the token of host \w+ was revoked/);
});
