import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import type { Clock } from '../../src/base/index.ts';
import { addressesOf, Cluster } from './fixture.ts';
import { eventually } from '../suites/transport-suite.ts';

const dayMs = 24 * 60 * 60 * 1000;

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
