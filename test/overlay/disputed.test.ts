/** Two hosts that may expel, on the two sides of a cut, each of which expels the other. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';

import type { Overlay } from '../../src/overlay/index.ts';
import { StateFiles } from '../../src/overlay/state-files.ts';
import { eventually } from '../suites/transport-suite.ts';
import { Cluster } from './fixture.ts';

const heartbeat = { intervalMs: 40, suspectMs: 400, downMs: 800 };

const dispute = (host: Overlay): readonly string[] =>
  host.troubles().flatMap(({ kind, about, by }) => (kind === 'disputed' ? [`${about} ${by}`] : []));

interface Parted {
  readonly a: Overlay;
  readonly b: Overlay;
  readonly c: Overlay;
  readonly d: Overlay;
}

/** The founder `a` with `c`, and `b` with `d`, were cut off from each other, and `a` and `b` expelled each other meanwhile. @param granted May expel, beside the founder. */
async function parted(cluster: Cluster, granted: readonly ('b' | 'c')[]): Promise<Parted> {
  const a = await cluster.first();
  const join = [`memory:${a.self}`];
  const [b, c, d] = [await cluster.join('b', a, { join }), await cluster.join('c', a, { join }), await cluster.join('d', a, { join })];
  await eventually(() => [a, b, c, d].every((host) => host.members().length === 4), 'all know each other');
  const may = granted.map((name) => ({ b, c })[name]);
  for (const host of may) await a.grant(host.self);
  await eventually(() => [a, b, c, d].every((host) => may.every(({ self }) => host.rightsOf(self).includes('invite'))), 'they may expel');
  cluster.network!.partition([a.self, c.self], [b.self, d.self]);
  await eventually(() => [a, c].every((host) => host.transport.connected().length === 1), 'they are cut off');
  await a.revokeHost(b.self);
  await b.revokeHost(a.self);
  await eventually(() => c.expelled().has(b.self) && d.expelled().has(a.self), 'each side has heard its own');
  cluster.network!.heal();
  await eventually(() => dispute(c).includes(`${a.self} ${d.self}`), 'c says that d holds a for expelled');
  return { a, b, c, d };
}

test('hosts that expelled each other on the two sides of a cut: members say that they do not agree, until one is expelled for all', async () => {
  await using cluster = await Cluster.inMemory({ heartbeat });
  const { a, b, c, d } = await parted(cluster, ['b', 'c']);
  assert.match(c.troubles().find(({ kind }) => kind === 'disputed')!.message, /expel host/);
  assert.ok(!c.expelled().has(a.self), 'the word of an expelled host counts for nothing by hearsay');
  await c.revokeHost(a.self);
  for (const host of [c, d]) await eventually(() => [a, b].every(({ self }) => host.expelled().has(self)), 'all agree');
  assert.deepEqual(dispute(d), []);
});

test('where nobody else may expel, the cluster’s key on a host that both sides hear ends it', async () => {
  await using cluster = await Cluster.inMemory({ heartbeat });
  const { a, b, c, d } = await parted(cluster, ['b']);
  await assert.rejects(c.revokeHost(a.self), { code: 'denied' });
  const [from, to] = await Promise.all(['a', 'c'].map((name) => StateFiles.open(path.join(cluster.directory, name))));
  await to!.writeKey('cluster.key', (await from!.readKey('cluster.key'))!);
  await c.revokeHost(a.self);
  for (const host of [c, d]) await eventually(() => [a, b].every(({ self }) => host.expelled().has(self)), 'all agree');
});

test('or the host that holds to the other word is expelled, and is told so by who is a member to it', async () => {
  await using cluster = await Cluster.inMemory({ heartbeat });
  const { a, c, d } = await parted(cluster, ['b']);
  await a.revokeHost(d.self);
  await eventually(() => c.expelled().has(d.self), 'c agrees');
  await eventually(() => d.halted !== undefined, 'd takes no part any more');
  assert.deepEqual(
    c.members().flatMap(({ self, peer }) => (self ? [] : [peer])),
    [a.self],
  );
});
