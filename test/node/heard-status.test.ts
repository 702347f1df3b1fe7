import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Cluster, type ClusterContext } from '../../src/node/members/cluster.ts';
import { heardStatus } from '../../src/node/members/heard-status.ts';
import { nodeKinds } from '../../src/node/kinds.ts';
import { sketch } from '../api/cluster-statuses.ts';
import { Cluster as Hosts } from '../overlay/fixture.ts';
import { eventually } from '../suites/transport-suite.ts';

test('what hosts say of themselves is taken as it is, under the name of the connection', () => {
  const repair = {
    phase: 'idle' as const,
    done: 0,
    total: 0,
    bytesPerSecond: 0,
    lastCheck: {
      ageSeconds: 1,
      open: false,
      counts: { immutable: 1, mutable: 1, named: 1, tombstones: 0, underReplicated: 0, underQuorum: 0, surplus: 0, damaged: 0, givenUp: 0 },
    },
    repaired: 0,
    scrub: { running: false, blocks: 0, bytes: 0, damaged: 0, repaired: 0, runs: 0 },
  };
  for (const status of sketch(3, [{}, { readOnly: true }, { repair }]).hosts) {
    const crossed: unknown = JSON.parse(JSON.stringify({ ...status, peer: 'somebody else', later: { more: 1 } }));
    const { peer, ...heard } = heardStatus('x', crossed) as typeof status & { later: unknown };
    const { peer: _own, ...said } = status;
    assert.deepEqual(heard, { ...said, later: { more: 1 } });
    assert.equal(peer, 'x');
  }
});

test('a host that says nonsense is not understood, whatever it says', () => {
  const [status] = sketch(1, [{}]).hosts;
  const wrong: readonly unknown[] = [
    null,
    7,
    [],
    {},
    { ...status, name: undefined },
    { ...status, disk: null },
    { ...status, disk: { ...status!.disk, damaged: 'many' } },
    { ...status, roster: {} },
    { ...status, health: { state: 'HEALTHY', reasons: 'none' } },
    { ...status, mounted: [{}] },
    { ...status, waiting: 5 },
    { ...status, repair: { phase: 'idle' } },
    { ...status, uptimeSeconds: null },
  ];
  for (const said of wrong) assert.throws(() => heardStatus('x', said), { code: 'unsupported' }, JSON.stringify(said));
});

test('how the cluster is can be seen though one of its hosts says nonsense: that one counts as silent, and why is said', async () => {
  await using hosts = await Hosts.inMemory();
  const a = await hosts.first();
  const b = await hosts.join('b', a);
  await eventually(() => a.transport.connected().length === 1 && a.members().length === 2, 'both are connected');
  const own = sketch(1, [{}]).hosts[0]!;
  const membership = { status: () => ({ countedOut: [] }), isKnown: false };
  using cluster = new Cluster({ overlay: a, membership, status: () => Promise.resolve(own) } as unknown as ClusterContext);
  b.transport.handle(nodeKinds.status, () => Buffer.from('null'));
  const { hosts: heard, silent } = await cluster.status();
  assert.equal(heard.length, 1);
  assert.deepEqual(
    silent.map(({ name, reason }) => [name, reason]),
    [['b', 'it answers what this host does not understand: its status is no object']],
  );
});
