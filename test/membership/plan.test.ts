import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import * as fc from 'fast-check';

import { plan, type Report, type Situation, whyItMustStay } from '../../src/membership/plan.ts';
import {
  countingHosts,
  decodeRosterState,
  encodeRosterState,
  foundingState,
  newestView,
  retirement,
  type RosterState,
} from '../../src/membership/roster-state.ts';
import { gigabyte, host, member, names, report, silentFor, situation, stateOf, view } from './situations.ts';

test('a host that leaves counts as missing while it is still there to say goodbye', () => {
  const state = stateOf(view(1, 'a', 'b', 'c'));
  const all = [host('a'), host('b'), host('c')];
  assert.equal(whyItMustStay({ state, neighbours: all }, 'b'), undefined);
  const leaving = [host('a', { state: 'left' }), ...all.slice(1)];
  assert.match(whyItMustStay({ state, neighbours: leaving }, 'b')!, /a is missing too/);
});

describe('a new view', () => {
  test('has all hosts that wait and know the present state', () => {
    const state = stateOf(view(1, 'a'));
    const fresh = report(state, { standing: 'fresh' });
    const reports = new Map([
      ['a', report(state)],
      ['b', fresh],
      ['c', fresh],
      ['d', { ...fresh, serial: 9 }],
      ['e', { ...fresh, standing: 'outcast' as const }],
      ['f', { ...fresh, standing: 'stranger' as const }],
    ]);
    const { next, joining } = plan(
      situation(
        state,
        ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((peer) => host(peer)),
        { reports },
      ),
    );
    assert.deepEqual(names(next), ['a', 'b', 'c']);
    assert.equal(next!.serial, 11);
    assert.equal(newestView(next!).number, 2);
    assert.ok(joining);
  });

  test('is not made for a little more room, but for a lot, and for another zone', () => {
    const state = stateOf(view(1, 'a', 'b', 'c'));
    const others = [host('a'), host('b')];
    assert.equal(plan(situation(state, [...others, host('c', { capacity: 1.1 * gigabyte })])).next, undefined);
    const grown = plan(situation(state, [...others, host('c', { capacity: 2 * gigabyte })])).next;
    assert.equal(newestView(grown!).roster.get('c')?.capacity, 2 * gigabyte);
    const moved = plan(situation(state, [...others, host('c', { zone: 'y' })])).next;
    assert.equal(newestView(moved!).roster.get('c')?.zone, 'y');
  });

  test('waits while as many as may be are in force, and says so', () => {
    const state = stateOf(view(1, 'a'), view(2, 'a', 'b'), view(3, 'a', 'b', 'c'), view(4, 'a', 'b', 'c', 'd'));
    const hosts = ['a', 'b', 'c', 'd', 'e'].map((peer) => host(peer));
    const reports = new Map(
      hosts.map(({ peer }) => [peer, report(state, { standing: peer === 'e' ? 'fresh' : 'member', newest: peer === 'a' ? 1 : 4 })]),
    );
    const { next, troubles } = plan(situation(state, hosts, { reports }));
    assert.equal(next, undefined);
    assert.match(troubles[0]!, /4 views of the roster are in force/);
  });

  test('never is without a host that stores', () => {
    const state = stateOf(view(1, 'a'));
    const { next, troubles } = plan(situation(state, [host('a', { state: 'draining' })]));
    assert.equal(next, undefined);
    assert.match(troubles[0]!, /cannot leave/);
  });
});

describe('the oldest view', () => {
  const state = stateOf(view(1, 'a', 'b'), view(2, 'a', 'b', 'c'));
  const hosts = ['a', 'b', 'c'].map((peer) => host(peer));

  test('begins to retire when every host that counts knows a newer one', () => {
    assert.equal(plan(situation(state, hosts)).next?.retiring, 1);
    const reports = new Map(hosts.map(({ peer }) => [peer, report(state, { newest: peer === 'b' ? 1 : 2 })]));
    assert.equal(plan(situation(state, hosts, { reports })).next, undefined);
  });

  test('does not while one of them is away', () => {
    assert.equal(plan(situation(state, [host('a'), host('b'), host('c', { alive: false })])).next, undefined);
  });

  test('is retired when every one of them resolved what it holds since then', () => {
    const retiring = { ...state, retiring: 1 };
    const reports = new Map(hosts.map(({ peer }) => [peer, report(retiring, { resolved: 1 })]));
    const { next } = plan(situation(retiring, hosts, { reports }));
    assert.deepEqual(
      next!.views.map(({ number }) => number),
      [2],
    );
    assert.equal(next!.retiring, 0);
    // Versions of blocks that its hosts forgot are not used again where other hosts keep the block.
    reports.set('b', report(retiring, { resolved: 1, floor: 9 }));
    assert.equal(plan(situation({ ...retiring, floor: 7 }, hosts, { reports })).next!.floor, 9);
    assert.equal(plan(situation({ ...retiring, floor: 11 }, hosts, { reports })).next!.floor, 11);
    reports.set('c', report(retiring));
    assert.equal(plan(situation(retiring, hosts, { reports })).next, undefined);
  });
});

describe('several old views', () => {
  const state = stateOf(view(1, 'a', 'b'), view(2, 'a', 'b', 'c'), view(3, 'a', 'c'), view(4, 'a', 'b', 'c'));
  const hosts = ['a', 'b', 'c'].map((peer) => host(peer));
  const numbers = ({ views }: RosterState): number[] => views.map(({ number }) => number);

  test('retire together, as many as are past for every host that counts', () => {
    assert.equal(plan(situation(state, hosts)).next?.retiring, 3);
    const reports = new Map(hosts.map(({ peer }) => [peer, report(state, { newest: peer === 'b' ? 3 : 4 })]));
    const { next } = plan(situation(state, hosts, { reports }));
    assert.equal(next?.retiring, 2);
    assert.deepEqual(retirement(next)!.from.concat(retirement(next)!.to), state.views.slice(0, 3));
  });

  test('are retired together, and those that came meanwhile begin to', () => {
    const retiring = { ...state, retiring: 2 };
    const reports = new Map(hosts.map(({ peer }) => [peer, report(retiring, { resolved: 2 })]));
    const { next } = plan(situation(retiring, hosts, { reports }));
    assert.deepEqual(numbers(next!), [3, 4]);
    assert.equal(next!.retiring, 3);
  });

  test('go one by one for a host that knows no better', () => {
    const retiring = { ...state, retiring: 3 };
    const reports = new Map(hosts.map(({ peer }) => [peer, report(retiring, { resolved: peer === 'b' ? 1 : 3 })]));
    const { next } = plan(situation(retiring, hosts, { reports }));
    assert.deepEqual(numbers(next!), [2, 3, 4]);
    assert.equal(next!.retiring, 3);
  });

  test('are written so that such a host reads the oldest alone', () => {
    const bytes = encodeRosterState({ ...state, retiring: 3 });
    assert.equal((JSON.parse(Buffer.from(bytes).toString()) as { retiring: number }).retiring, 1);
    for (const retiring of [0, 1, 2, 3]) assert.equal(decodeRosterState(encodeRosterState({ ...state, retiring })).retiring, retiring);
    assert.throws(() => decodeRosterState(encodeRosterState({ ...state, retiring: 4 })), { code: 'damaged' });
  });
});

describe('a silent host', () => {
  const away = { alive: false };

  test('is replaced and counted out where enough others are there', () => {
    const state = stateOf(view(1, 'a', 'b', 'c', 'd'));
    const { next } = plan(silentFor(state, [host('a'), host('b'), host('c'), host('d', away)], 'd'));
    assert.deepEqual(names(next), ['a', 'b', 'c']);
    assert.deepEqual(next!.countedOut, [{ peer: 'd', settled: false }]);
    assert.deepEqual(countingHosts(next!).toSorted(), ['a', 'b', 'c']);
  });

  test('is not where a majority of the others still hears it', () => {
    const state = stateOf(view(1, 'a', 'b', 'c', 'd'));
    const hosts = [host('a'), host('b'), host('c'), host('d', away)];
    const reports = new Map([
      ['a', report(state, { silent: ['d'] })],
      ['b', report(state, { silent: ['d'] })],
      ['c', report(state)],
    ]);
    assert.equal(plan(situation(state, hosts, { reports })).next, undefined);
  });

  test('is not where nobody could take its place', () => {
    const state = stateOf(view(1, 'a', 'b', 'c'));
    const { next, troubles } = plan(silentFor(state, [host('a'), host('b'), host('c', away)], 'c'));
    assert.equal(next, undefined);
    assert.match(troubles[0]!, /^c is silent for long .* too few hosts for 3 copies$/);
  });

  test('is replaced but not counted out while another is missing too: together they may be the majority of a block', () => {
    const state = stateOf(view(1, 'a', 'b', 'c', 'd', 'e'));
    const hosts = [host('a'), host('b'), host('c'), host('d', away), host('e', away)];
    const { next, troubles } = plan(silentFor(state, hosts, 'd', 'e'));
    assert.deepEqual(names(next), ['a', 'b', 'c']);
    assert.deepEqual(next!.countedOut, []);
    assert.match(troubles[0]!, /^d is silent for long and is not counted out: while e is missing too/);
  });

  test('has no say, and views retire without it, only once all that counts knows and a term has passed', () => {
    const state = { ...stateOf(view(1, 'a', 'b', 'c', 'd'), view(2, 'a', 'b', 'c')), countedOut: [{ peer: 'd', settled: false }] };
    const hosts = [host('a'), host('b'), host('c'), host('d', away)];
    assert.equal(plan(silentFor(state, hosts, 'd')).next, undefined);
    const { next } = plan({ ...silentFor(state, hosts, 'd'), expired: true });
    assert.equal(next!.retiring, 1);
    assert.deepEqual(next!.countedOut, [{ peer: 'd', settled: true }]);
  });

  describe('that is back before all that counts knows for a term', () => {
    const state = { ...stateOf(view(1, 'a', 'b', 'c', 'd'), view(2, 'a', 'b', 'c')), countedOut: [{ peer: 'd', settled: false }] };
    const hosts = ['a', 'b', 'c', 'd'].map((peer) => host(peer));
    const reportsWith = (change: Partial<Report>) => new Map(hosts.map(({ peer }) => [peer, report(state, peer === 'd' ? change : {})]));

    test('is taken back first, then into a view, also where the term is over', () => {
      for (const expired of [false, true]) {
        const { next, joining } = plan(situation(state, hosts, { expired }));
        assert.deepEqual(next, { ...state, serial: 11, countedOut: [] });
        assert.ok(!joining, 'that waits for nobody');
        assert.deepEqual(names(plan(situation(next, hosts)).next), ['a', 'b', 'c', 'd']);
      }
    });

    test('is not while it is not known to know, seems silent, leaves or was expelled', () => {
      const isOut = (change: Partial<Situation>): void =>
        assert.deepEqual(plan(situation(state, hosts, { expired: true, ...change })).next!.countedOut, [{ peer: 'd', settled: true }]);
      isOut({ reports: reportsWith({ serial: 9 }) });
      isOut({ reports: reportsWith({ standing: 'outcast' }) });
      isOut({ reports: new Map(hosts.map(({ peer }) => [peer, report(state, { silent: ['d'] })])) });
      isOut({ neighbours: [...hosts.slice(0, 3), host('d', { alive: false })] });
      isOut({ neighbours: [...hosts.slice(0, 3), host('d', { state: 'left' })] });
      isOut({ revoked: new Set(['d']) });
    });

    test('has missed no retirement: what retires waits for it, and no longer once nobody relies on it', () => {
      const retiring = { ...state, retiring: 1 };
      const reports = new Map(['a', 'b', 'c'].map((peer) => [peer, report(retiring, { resolved: 1 })]));
      const away = [...hosts.slice(0, 3), host('d', { alive: false })];
      assert.equal(plan(situation(retiring, away, { reports })).next, undefined);
      const past = { ...retiring, countedOut: [{ peer: 'd', settled: true }] };
      assert.equal(plan(situation(past, away, { reports })).next!.views.length, 1);
    });
  });

  test('comes back only when it is fresh and the views that it was in are past', () => {
    const out = [{ peer: 'd', settled: true }];
    const hosts = ['a', 'b', 'c', 'd'].map((peer) => host(peer));
    const withD = { ...stateOf(view(1, 'a', 'b', 'c', 'd'), view(2, 'a', 'b', 'c')), countedOut: out, retiring: 1 };
    const reportsOf = (state: RosterState, standing: Report['standing']) =>
      new Map(hosts.map(({ peer }) => [peer, report(state, { standing: peer === 'd' ? standing : 'member' })]));
    const early = plan(situation(withD, hosts, { reports: reportsOf(withD, 'fresh') }));
    assert.equal(early.next, undefined);
    assert.match(early.troubles[0]!, /^d was counted out/);
    const later = { ...stateOf(view(2, 'a', 'b', 'c')), countedOut: out };
    assert.equal(plan(situation(later, hosts, { reports: reportsOf(later, 'outcast') })).next, undefined);
    const { next } = plan(situation(later, hosts, { reports: reportsOf(later, 'fresh') }));
    assert.deepEqual(names(next), ['a', 'b', 'c', 'd']);
    assert.deepEqual(next!.countedOut, []);
  });

  test('that was replaced but not counted out is a member again at once', () => {
    const state = stateOf(view(1, 'a', 'b', 'c', 'd'), view(2, 'a', 'b', 'c'));
    const { next } = plan(
      situation(
        { ...state },
        ['a', 'b', 'c', 'd'].map((peer) => host(peer)),
      ),
    );
    assert.deepEqual(names(next), ['a', 'b', 'c', 'd']);
  });
});

describe('hosts that leave', () => {
  test('one that drains keeps its room while too few of the others are there to make new blocks', () => {
    const state = stateOf(view(1, 'a', 'b', 'c'));
    const draining = host('a', { state: 'draining' });
    const waits = plan(situation(state, [draining, host('b'), host('c', { alive: false })]));
    assert.equal(waits.next, undefined);
    assert.match(waits.troubles.join(), /a is to give its blocks away, and waits while c is missing/);
    // Of four that are left one may be missing.
    const more = stateOf(view(1, 'a', 'b', 'c', 'd'));
    const goes = plan(situation(more, [draining, host('b'), host('c', { alive: false }), host('d')]));
    assert.equal(newestView(goes.next!).roster.get('a')!.capacity, 0);
  });

  test('one that drains keeps its place without room, then goes', () => {
    const state = stateOf(view(1, 'a', 'b', 'c', 'd'));
    const hosts = [host('a'), host('b'), host('c'), host('d', { state: 'draining' })];
    const { next } = plan(situation(state, hosts));
    assert.equal(newestView(next!).roster.get('d')?.capacity, 0);
    const emptied = { ...state, views: [newestView(next!)] };
    assert.deepEqual(names(plan(situation(emptied, hosts)).next), ['a', 'b', 'c']);
  });

  test('one that was expelled is counted out at once, however few are left', () => {
    const state = stateOf(view(1, 'a', 'b', 'c'));
    const { next } = plan(situation(state, [host('a'), host('b')], { revoked: new Set(['c']) }));
    assert.deepEqual(names(next), ['a', 'b']);
    assert.deepEqual(next!.countedOut, [{ peer: 'c', settled: false }]);
  });

  test('nor is one that was expelled waited for where no further view has room without it', () => {
    const peers = ['a', 'b', 'c', 'd'];
    const full = stateOf(...[1, 2, 3, 4].map((number) => view(number, ...peers)));
    const left = [host('a'), host('b')];
    const revoked = new Set(['c', 'd']);
    const out = plan(situation(full, left, { revoked })).next!;
    assert.deepEqual(out.countedOut.map(({ peer }) => peer).toSorted(), ['c', 'd']);
    assert.equal(out.views.length, 4);
    const settled = plan(situation(out, left, { revoked, expired: true })).next!;
    assert.equal(settled.retiring, 3);
    const resolved = new Map(['a', 'b'].map((peer) => [peer, report(settled, { resolved: 3 })]));
    const retired = plan(situation(settled, left, { revoked, reports: resolved })).next!;
    assert.deepEqual(
      retired.views.map(({ number }) => number),
      [4, 5],
    );
    assert.deepEqual(names(retired), ['a', 'b']);
    // Of others the copies count while they may return.
    assert.equal(plan(situation(full, left)).next?.countedOut.length ?? 0, 0);
  });
});

describe('whatever happens', () => {
  const peers = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
  const anyHost = fc.record({ alive: fc.boolean(), state: fc.constantFrom('up' as const, 'up' as const, 'draining' as const, 'left' as const) });
  const anyReport = fc.record({
    fresh: fc.boolean(),
    stale: fc.boolean(),
    resolved: fc.boolean(),
    silent: fc.subarray(peers),
  });
  const anyRound = fc.record({
    hosts: fc.array(anyHost, { minLength: 7, maxLength: 7 }),
    reports: fc.array(anyReport, { minLength: 7, maxLength: 7 }),
    expired: fc.boolean(),
  });

  test('no host is counted out with which the majority of any set could go, and no view is lost or renumbered', () => {
    fc.assert(
      fc.property(fc.array(anyRound, { minLength: 1, maxLength: 25 }), (rounds) => {
        let state = foundingState(member('a'), 3);
        const sets = new Map<number, string>();
        for (const { hosts, reports, expired } of rounds) {
          const neighbours = hosts.map((change, index) => host(peers[index]!, change));
          const told = new Map(
            reports.flatMap(({ fresh, stale, resolved, silent }, index) => {
              const peer = peers[index]!;
              if (hosts[index]?.alive !== true) return [];
              return [
                [
                  peer,
                  report(state, {
                    standing: fresh ? 'fresh' : 'member',
                    serial: state.serial - (stale ? 1 : 0),
                    resolved: resolved ? state.retiring : (retirement(state)?.from.at(-2)?.number ?? 0),
                    silent,
                  }),
                ] as const,
              ];
            }),
          );
          const before = state;
          const { next } = plan(situation(state, neighbours, { reports: told, expired }));
          if (next === undefined) continue;
          state = next;
          assert.equal(state.serial, before.serial + 1);
          assert.deepEqual(
            decodeRosterState(encodeRosterState(state)).views.map(({ number, roster }) => [number, roster.id]),
            state.views.map(({ number, roster }) => [number, roster.id]),
          );
          for (const { number, roster } of state.views) {
            assert.equal(sets.get(number) ?? roster.id, roster.id, 'a number means one set');
            sets.set(number, roster.id);
            assert.ok(roster.size > 0);
          }
          const fresh = state.countedOut.filter(({ peer }) => !before.countedOut.some((known) => known.peer === peer));
          for (const { peer } of fresh) {
            for (const { roster } of state.views) {
              if ((roster.get(peer)?.capacity ?? 0) === 0) continue;
              const missing = roster.eligible.filter(
                (other) =>
                  state.countedOut.some((out) => out.peer === other.peer) || hosts[peers.indexOf(other.peer)]?.alive !== true || other.peer === peer,
              );
              assert.ok(missing.length * 2 < Math.min(3, roster.size), 'a majority of each set is left');
            }
          }
        }
      }),
      { numRuns: 400 },
    );
  });
});
