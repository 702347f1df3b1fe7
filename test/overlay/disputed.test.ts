/** Two hosts that may expel, on the two sides of a cut, each of which expels the other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Overlay } from '../../src/overlay/index.ts';
import { eventually } from '../suites/transport-suite.ts';
import { Cluster } from './fixture.ts';

const heartbeat = { intervalMs: 40, suspectMs: 400, downMs: 800 };

test('hosts that expelled each other on the two sides of a cut: members say that they do not agree, until one is expelled for all', async () => {
  await using cluster = await Cluster.inMemory({ heartbeat });
  const a = await cluster.first();
  const join = [`memory:${a.self}`];
  const [b, c, d] = [await cluster.join('b', a, { join }), await cluster.join('c', a, { join }), await cluster.join('d', a, { join })];
  await eventually(() => [a, b, c, d].every((host) => host.members().length === 4), 'all know each other');
  for (const host of [b, c]) await a.grant(host.self);
  await eventually(() => [a, b, c, d].every((host) => [b, c].every(({ self }) => host.rightsOf(self).includes('invite'))), 'b and c may expel');
  cluster.network!.partition([a.self, c.self], [b.self, d.self]);
  await eventually(() => [a, c].every((host) => host.transport.connected().length === 1), 'they are cut off');
  await a.revokeHost(b.self);
  await b.revokeHost(a.self);
  await eventually(() => c.expelled().has(b.self) && d.expelled().has(a.self), 'each side has heard its own');
  cluster.network!.heal();
  const dispute = (host: Overlay): readonly string[] =>
    host.troubles().flatMap(({ kind, about, by }) => (kind === 'disputed' ? [`${about} ${by}`] : []));
  await eventually(() => dispute(c).includes(`${a.self} ${d.self}`), 'c says that d holds a for expelled');
  assert.match(c.troubles().find(({ kind }) => kind === 'disputed')!.message, /expel host/);
  assert.ok(!c.expelled().has(a.self), 'the word of an expelled host counts for nothing by hearsay');
  await c.revokeHost(a.self);
  for (const host of [c, d]) await eventually(() => [a, b].every(({ self }) => host.expelled().has(self)), 'all agree');
  assert.deepEqual(dispute(d), []);
});
