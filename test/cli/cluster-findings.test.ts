import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { ClusterStatus } from '../../src/api/index.ts';
import { clusterFindings, linkFindings } from '../../src/cli/cluster-findings.ts';
import { renderStatus } from '../../src/cli/commands/status.ts';
import { now, sketch } from '../api/cluster-statuses.ts';

function findings(status: ClusterStatus): string[] {
  return clusterFindings(status, Date.parse(now) + 100).map(({ topic, level, finding }) => `${level} ${topic}: ${finding}`);
}

test('a sound cluster is found sound', () => {
  assert.deepEqual(findings(sketch(3, [{}, {}, {}])), [
    'ok hosts: all 3 hosts of cluster cccccccccccc answer',
    'ok version: all hosts run 1.0.0',
    'ok clocks: within 3 s of each other',
  ]);
  assert.deepEqual(findings(sketch(1, [{}])), ['ok cluster: this host is alone, with one copy of each block']);
});

test('a lone host that wants three copies is told how to get more', () => {
  assert.deepEqual(findings(sketch(3, [{}])), ['warning cluster: this host is alone, and 3 copies of each block are wanted']);
});

test('the only host of a cluster counts itself among those that store', () => {
  const [own] = sketch(3, [{}]).hosts;
  assert.deepEqual(
    findings({ ...sketch(3, [{}]), clusterId: 'c'.repeat(12), hosts: [{ ...own!, hosts: [] }] })[1],
    'warning copies: 3 copies of each block are wanted, 1 host stores blocks',
  );
});

test('silent hosts, too few hosts, mixed versions, wrong clocks and ending passports are each found', () => {
  const all = findings(
    sketch(3, [
      { passportExpiresAt: '2026-05-03T12:00:00.000Z' },
      { version: '0.9.0', time: '2026-05-01T13:00:00.000Z' },
      { silent: true, capacity: 0, passportExpiresAt: '2026-04-03T12:00:00.000Z' },
    ]),
  );
  assert.deepEqual(all, [
    'error hosts: h2 does not answer: no connection',
    'warning copies: 3 copies of each block are wanted, 2 hosts store blocks',
    'warning version: several versions run: 1.0.0 (h0), 0.9.0 (h1)',
    "warning clocks: the clock of h1 is 1 hour ahead of this host's",
    'warning passport: the passport of h0 expires in 2 days',
    'error passport: the passport of h2 has expired',
  ]);
});

test('of a silent host nobody says which version it runs', () => {
  assert.equal(
    findings(sketch(3, [{}, {}, { silent: true }])).find((each) => each.includes('version')),
    'ok version: all hosts that answer run 1.0.0',
  );
});

test('a host that hears no majority looks at its own link first, and is not told to remove the others', () => {
  const cut = sketch(3, [{}, { silent: true }, { silent: true }]);
  const all = [...linkFindings(cut), ...clusterFindings(cut, Date.parse(now))];
  assert.equal(all[0]!.finding, 'this host hears fewer than a majority (2 of 3 hosts do not answer): its own link may be cut');
  assert.ok(all.every(({ advice }) => advice?.includes('node rm') !== true));
  const [one] = clusterFindings(sketch(3, [{}, {}, { silent: true }]), Date.parse(now));
  assert.match(one!.advice!, /node rm h2/);
});

test('where so many are silent that blocks have no majority, what to do about their loss is said as it would be taken', () => {
  const [first, second] = clusterFindings(sketch(3, [{}, {}, {}, { silent: true }, { silent: true }]), Date.parse(now));
  for (const [finding, name] of [
    [first, 'h3'],
    [second, 'h4'],
  ] as const)
    assert.match(finding!.advice!, new RegExp(`node rm --unsafe ${name}.*infinit salvage`));
});

test('a host that is no member of its cluster is told so and what to do, and nothing of copies and hosts', () => {
  const trouble = { kind: 'denied', about: 'a', message: 'the token was used up' };
  const other = { kind: 'clock', about: 'b', message: 'a clock is off' };
  const sound = sketch(3, [{}, {}, {}], [trouble, other]);
  const [own, ...others] = sound.hosts;
  for (const [why, advice, more] of [
    ['no member has let this host in', /infinit cluster join/, 2],
    ['this host was expelled from the cluster', /empty --state-dir and a new token/, 2],
    ['its state directory is older than what its cluster has seen of it: so it must not take part', /infinit node rm.*empty state directory/, 2],
    ['no member has let this host in: the token was used up', /infinit cluster token create/, 1],
  ] as const) {
    const all = clusterFindings({ ...sound, hosts: [{ ...own!, outside: why }, ...others] }, Date.parse(now));
    assert.equal(`${all[0]!.level}: ${all[0]!.finding}`, `error: not a member of the cluster, so no volume is served: ${why}`);
    assert.match(all[0]!.advice!, advice);
    // What was said is not said again.
    assert.equal(all.filter(({ topic }) => topic === 'network').length, more);
    assert.equal(all.length, 1 + more);
  }
});

test('every trouble of the network comes with advice', () => {
  for (const kind of ['unreachable', 'denied', 'wrong-version', 'self', 'duplicate-identity', 'older-state', 'clock']) {
    const found = clusterFindings(sketch(1, [{}], [{ kind, about: 'x', message: 'm' }]), Date.parse(now));
    const alone = clusterFindings({ ...sketch(3, [{}, {}, {}], [{ kind, about: 'x', message: 'm' }]) }, Date.parse(now));
    assert.ok(
      [...found, ...alone].some(({ topic, advice }) => topic === 'network' && advice !== undefined),
      kind,
    );
  }
});

test('status begins with one word, names who is silent, and shows every member', () => {
  const status = sketch(3, [
    {},
    {
      repair: {
        phase: 'moving',
        done: 50,
        total: 200,
        bytesPerSecond: 2 ** 20,
        etaSeconds: 90,
        repaired: 0,
        scrub: { running: false, blocks: 0, bytes: 0, damaged: 0, repaired: 0, runs: 0 },
      },
    },
    { silent: true },
  ]);
  const text = renderStatus({ ...status, health: { state: 'DEGRADED', reasons: ['h2 does not answer: no connection'] } });
  const lines = text.split('\n');
  assert.equal(lines[0], 'DEGRADED');
  assert.equal(lines[1], '  - h2 does not answer: no connection');
  assert.match(text, /^h0 \* +HEALTHY/m);
  assert.match(text, /^h1 +HEALTHY .*moving 25 %, 1\.00 MiB\/s, 1 minute left/m);
  assert.match(text, /^h2 +DOWN/m);
});

test('status says what the last checks found and how old they are', () => {
  const counts = { immutable: 1, mutable: 1, named: 1, tombstones: 0, underReplicated: 2, underQuorum: 0, surplus: 3, damaged: 0, givenUp: 0 };
  const scrub = { running: false, blocks: 0, bytes: 0, damaged: 0, repaired: 0, runs: 0 };
  const checked = (ageSeconds: number, open = false) => ({
    repair: {
      phase: open ? ('open' as const) : ('idle' as const),
      done: 0,
      total: 0,
      bytesPerSecond: 0,
      lastCheck: { ageSeconds, counts, open },
      repaired: 0,
      scrub,
    },
  });
  assert.match(
    renderStatus(sketch(3, [checked(5), checked(3700), {}])),
    /^Copies: +4 blocks with too few, 0 without a majority, 6 surplus, 0 damaged; checked 5 seconds to 1 hour ago, not yet on h2$/m,
  );
  assert.match(renderStatus(sketch(1, [checked(60)])), /; checked 1 minute ago$/m);
  assert.match(renderStatus(sketch(2, [checked(1), checked(6)])), /; checked 1 to 6 seconds ago$/m);
  assert.doesNotMatch(renderStatus(sketch(1, [{}])), /Copies/);
  const unfinished = renderStatus(sketch(2, [checked(60), checked(60, true)]));
  assert.match(unfinished, /; checked 1 minute ago; not all could be looked at or mended on h1$/m);
  assert.match(unfinished, /^h1 +HEALTHY .*not finished, tries again/m);
});
