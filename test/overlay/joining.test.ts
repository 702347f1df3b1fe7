import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import type { Clock } from '../../src/base/index.ts';
import { addressesOf, Cluster } from './fixture.ts';
import { freePort } from '../suites/free-port.ts';
import { eventually } from '../suites/transport-suite.ts';

const dayMs = 24 * 60 * 60 * 1000;
const withinReason = (): AbortSignal => AbortSignal.timeout(15_000);

/** A clock that all hosts share and the test turns. */
function commonClock(): { readonly clock: Clock; readonly pass: (ms: number) => void } {
  let ahead = 0;
  return { clock: { monotonicMs: () => performance.now(), wallMs: () => Date.now() + ahead }, pass: (ms) => (ahead += ms) };
}

test('days after its founding a host joins through members that joined with tokens of a day', async () => {
  const { clock, pass } = commonClock();
  await using cluster = await Cluster.onLoopback({ clock });
  const a = await cluster.first();
  const b = await cluster.join('b', a);
  const c = await cluster.join('c', a);
  pass(2 * dayMs);
  const join = [...addressesOf(b), ...addressesOf(c)];
  const d = await cluster.join('d', a, { join });
  await eventually(() => cluster.hosts.every((host) => host.transport.connected().length === 3), 'all are connected');
  assert.deepEqual(d.troubles(), []);
});

test('days after it was granted the right to invite, a host lets others in by itself', async () => {
  const { clock, pass } = commonClock();
  await using cluster = await Cluster.onLoopback({ clock });
  const a = await cluster.first();
  const b = await cluster.join('b', a);
  const c = await cluster.join('c', a);
  await a.grant(b.self);
  await eventually(() => c.rightsOf(b.self).includes('invite'), 'c knows what b may');
  await cluster.stop(a);
  // b has not the cluster's key: c's new passport rests on an invitation of b.
  await eventually(() => b.transport.isConnected(c.self), 'b and c are connected');
  await b.grant(c.self);
  pass(2 * dayMs);
  const d = await cluster.join('d', c);
  await eventually(() => d.transport.isConnected(b.self), 'd knows b too');
  assert.deepEqual(
    d.members().map(({ name, state }) => [name, state]),
    [
      ['d', 'up'],
      ['a', 'up'],
      ['b', 'up'],
      ['c', 'up'],
    ],
  );
  // Nor does it matter who was away when it was granted, and who tells of it.
  await cluster.stop(b);
  await cluster.stop(d);
  const back = await cluster.open('a');
  await eventually(() => back.transport.isConnected(c.self) && back.rightsOf(c.self).includes('invite'), 'a knows what c may');
});

test('a host that was refused and comes in by another token tells of the refusal no more', async () => {
  await using cluster = await Cluster.onLoopback();
  const a = await cluster.first();
  const join = addressesOf(a);
  const used = await cluster.tokenFile(a, { uses: 1 });
  const b = await cluster.open('b', { tokenFile: used, join });
  await b.whenJoined();
  const c = await cluster.open('c', { tokenFile: used, join });
  await assert.rejects(c.whenJoined(AbortSignal.timeout(20_000)), { code: 'denied', message: /it needs a token of its own/ });
  await c.join(join, await readFile(await cluster.tokenFile(a, { uses: 1 }), 'utf8'));
  await eventually(() => c.transport.isConnected(a.self), 'it is let in');
  assert.deepEqual(c.troubles(), []);
});

test('a member that is given a further token stays what it is, also while it is about to leave', async () => {
  await using cluster = await Cluster.onLoopback();
  const a = await cluster.first();
  const b = await cluster.join('b', a);
  const { text } = await a.createToken({});
  await b.join(addressesOf(a), text);
  assert.equal(b.state, 'up');
  await assert.rejects(b.takeBackJoin(), { code: 'already-exists' });
  b.setState('draining');
  await b.join(addressesOf(a), text);
  await eventually(() => a.member(b.self)?.state === 'draining', 'a knows that b drains');
});

test('for how long a host has been lost does not hang on the wall clock', async () => {
  const { clock, pass } = commonClock();
  await using cluster = await Cluster.onLoopback({ clock });
  const a = await cluster.first();
  const b = await cluster.join('b', a);
  await eventually(() => a.member(b.self)?.liveness === 'alive', 'a knows b');
  await cluster.stop(b);
  await eventually(() => a.lostFor().has(b.self), 'a misses b');
  for (const set of [-dayMs, 2 * dayMs]) {
    pass(set);
    const forMs = a.lostFor().get(b.self)!;
    assert.ok(forMs >= 0 && forMs < dayMs / 24, `${forMs} ms`);
  }
});

test('a host that cannot listen does not belong to the cluster, and joins once it can', async () => {
  await using cluster = await Cluster.onLoopback();
  const a = await cluster.first();
  const listen = addressesOf(a)[0]!;
  const b = await cluster.open('b', { listen });
  const { text } = await a.createToken({});
  await assert.rejects(b.join([listen], text), { code: 'bad-argument', message: /another process listens there/ });
  assert.equal(b.clusterId, undefined);
  await cluster.stop(b);
  // Nor after a restart, which would fail else.
  const again = await cluster.open('b');
  assert.equal(again.clusterId, undefined);
  await again.join([listen], text);
  await again.whenJoined(AbortSignal.timeout(15_000));
});

test('a join that nobody answered can be taken back, and another one made', async () => {
  await using cluster = await Cluster.onLoopback();
  const [a, other] = [await cluster.first('a'), await cluster.first('other')];
  const [{ text: wrong }, { text }] = [await other.createToken({}), await a.createToken({})];
  const nobody = `127.0.0.1:${await freePort()}`;
  const b = await cluster.open('b');
  await b.join([nobody], wrong);
  await b.takeBackJoin();
  assert.deepEqual([b.clusterId, b.troubles()], [undefined, []]);
  await cluster.stop(b);
  const again = await cluster.open('b');
  assert.equal(again.clusterId, undefined);
  await again.join([nobody], wrong);
  await again.takeBackJoin();
  await again.join(addressesOf(a), text);
  await again.whenJoined(withinReason());
  assert.equal(again.clusterId, a.clusterId);
  await assert.rejects(again.takeBackJoin(), { code: 'already-exists' });
});

test('--join to a dead address is said and tried for ever', async () => {
  await using cluster = await Cluster.onLoopback();
  const port = await freePort();
  const a = await cluster.first('a', { listen: `127.0.0.1:${port}` });
  const tokenFile = await cluster.tokenFile(a);
  await cluster.stop(a);
  const b = await cluster.open('b', { tokenFile, join: [`127.0.0.1:${port}`, 'no.such.host.invalid:1'] });
  await eventually(() => b.troubles().length === 2, 'both are said');
  for (const { kind, message } of b.troubles()) {
    assert.equal(kind, 'unreachable');
    assert.match(message, /nobody listens there|cannot be resolved/);
  }
  assert.equal(b.members()[0]!.state, 'joining');
  await cluster.open('a', { listen: `127.0.0.1:${port}` });
  await b.whenJoined(withinReason());
  await eventually(() => b.troubles().every(({ about }) => about.startsWith('no.such')), 'the trouble is over');
});

test('--join to the host itself, without a token, or to what is no address is a clear error', async () => {
  await using cluster = await Cluster.onLoopback();
  const a = await cluster.first();
  const tokenFile = await cluster.tokenFile(a);
  const port = await freePort();
  const b = await cluster.open('b', { tokenFile, listen: `127.0.0.1:${port}`, join: [`127.0.0.1:${port}`] });
  await assert.rejects(b.whenJoined(withinReason()), { code: 'bad-argument', message: /: that is this host itself$/ });
  // The same list may be given to all hosts.
  const own = await freePort();
  const e = await cluster.open('e', {
    tokenFile: await cluster.tokenFile(a),
    listen: `127.0.0.1:${own}`,
    join: [`127.0.0.1:${own}`, ...addressesOf(a)],
  });
  await e.whenJoined(withinReason());
  await assert.rejects(cluster.open('c', { join: addressesOf(a) }), {
    code: 'bad-argument',
    message: /needs a token: --token FILE or INFINIT_TOKEN/,
  });
  await assert.rejects(b.join([addressesOf(a)[0]!, '10.0.0.1'], 'no token'), { code: 'bad-argument', message: /"10\.0\.0\.1" is not HOST:PORT/ });
  const d = await cluster.open('d', { tokenFile, join: ['not an address'] });
  await eventually(() => d.troubles().some(({ message }) => /is not HOST:PORT/.test(message)), 'it is said');
  await assert.rejects(d.whenJoined(AbortSignal.timeout(1)), { code: 'cancelled', message: /no member has let this host in: .*is not HOST:PORT/ });
});
