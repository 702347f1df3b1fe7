import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { mutableAddress } from '../../src/block/index.ts';
import {
  forgive,
  joinLosses,
  type Loss,
  type Losses,
  lossOf,
  maxLosses,
  mayBeLost,
  noLosses,
  percentLost,
  saysLosses,
} from '../../src/membership/losses.ts';
import { plan } from '../../src/membership/plan.ts';
import { decodeRosterState, encodeRosterState, lossesOf, type RosterState } from '../../src/membership/roster-state.ts';
import { adopt } from '../../src/membership/standing.ts';
import { place } from '../../src/placement/index.ts';
import { host, report, situation, stateOf, view } from './situations.ts';

const five = view(1, 'a', 'b', 'c', 'd', 'e');
const addresses = Array.from({ length: 200 }, () => mutableAddress());

function lossOfHosts(of: RosterState['views'][number], ...gone: readonly string[]): Loss | undefined {
  return lossOf(of, (peer) => gone.includes(peer));
}

const eight = 'abcdefgh'.split('');
const losses = (...list: readonly Loss[]): Losses => ({ list, forgiven: 0 });

test('blocks may be lost without a trace only where so many of their hosts are lost that a majority may have been among them', () => {
  assert.equal(lossOfHosts(five, 'a'), undefined);
  assert.equal(lossOfHosts(view(1, 'a', 'b'), 'a'), undefined);
  const all = losses(lossOfHosts(five, 'a', 'b', 'c')!);
  for (const address of addresses) {
    const lost = place(address, five.roster, five.replicas).filter((peer) => 'abc'.includes(peer)).length;
    assert.equal(mayBeLost(all, address), lost >= 2, `${lost} of three`);
  }
  assert.ok(addresses.some((address) => mayBeLost(all, address)) && addresses.some((address) => !mayBeLost(all, address)));
  assert.ok(addresses.every((address) => !mayBeLost(noLosses, address)));
});

test('how many may be lost is reckoned: seven of ten where three of five hosts are lost, all where nobody knows which', () => {
  const address = (): ReturnType<typeof mutableAddress> => mutableAddress();
  const percent = percentLost(losses(lossOfHosts(five, 'a', 'b', 'c')!), address);
  assert.ok(percent > 60 && percent < 80, String(percent));
  assert.equal(percentLost(losses({ view: 1, placed: undefined }), address), 100);
  assert.equal(percentLost(noLosses, address), 0);
});

describe('what is known of losses', () => {
  const one = lossOfHosts(five, 'a', 'b', 'c')!;
  const other = lossOfHosts(view(2, 'a', 'b', 'c', 'd'), 'a', 'b')!;

  test('is what either host knows, but for what a person accepted, whoever has heard of that', () => {
    const known = losses(one);
    assert.equal(joinLosses(known, losses(one)), known);
    assert.equal(joinLosses(known, noLosses), known);
    const both = joinLosses(known, losses(other));
    assert.deepEqual(both.list, [one, other]);
    const accepted = forgive(both, ['a', 'b', 'c']) as Losses;
    assert.deepEqual(accepted, { list: [], forgiven: 2 });
    assert.deepEqual(joinLosses(both, accepted), accepted);
    assert.equal(joinLosses(accepted, both), accepted);
    const later = lossOfHosts(view(3, 'c', 'd', 'e'), 'c', 'd')!;
    assert.deepEqual(joinLosses(accepted, losses(one, later)).list, [later]);
  });

  test('is said with what to do, in this order', () => {
    assert.match(
      saysLosses(losses(one)),
      /^3 hosts were lost together, .*volume check first, then infinit salvage --give-up --force --lost a b c\)$/,
    );
    assert.match(saysLosses(losses({ view: 1, placed: undefined })), /^hosts were lost together, .*--give-up --force\)$/);
  });

  test('is accepted where all are named with whom blocks may have gone', () => {
    assert.deepEqual([...(forgive(losses(one), ['a']) as string[])].toSorted(), ['b', 'c']);
    // The third alone has no majority.
    assert.deepEqual(forgive(losses(one), ['a', 'b']), { list: [], forgiven: 1 });
  });

  test('of views of the same hosts is kept once, and of many together, as if any block might be lost', () => {
    const again = { ...one, view: 4 };
    assert.deepEqual(joinLosses(losses(one), losses(again)).list, [again]);
    const many = Array.from({ length: maxLosses + 1 }, (_, index) => lossOfHosts(view(index + 1, ...eight.slice(0, index + 3)), 'a', 'b')!);
    const short = joinLosses(noLosses, losses(...many));
    assert.deepEqual(short.list, [{ view: maxLosses + 1, placed: undefined }]);
    assert.ok(addresses.every((address) => mayBeLost(short, address)));
    assert.deepEqual(joinLosses(short, losses(many[0]!)), short);
    assert.deepEqual(forgive(short, []), { list: [], forgiven: maxLosses + 1 });
  });

  test('is in the roster block, where hosts of before do not mind it, and stays where such a host has left it out', () => {
    const state = { ...stateOf(view(3, 'd', 'e')), losses: { list: [one, other], forgiven: 0 } };
    const bytes = encodeRosterState(state);
    const read = decodeRosterState(bytes);
    assert.equal(lossesOf(decodeRosterState(bytes, state)).list[0], one);
    for (const address of addresses) assert.equal(mayBeLost(lossesOf(read), address), mayBeLost(state.losses, address));
    const { losses: _, ...before } = state;
    assert.deepEqual(decodeRosterState(encodeRosterState(before)), before);
    assert.equal(lossesOf(decodeRosterState(encodeRosterState(before))).list.length, 0);
    const known = { standing: 'member', state } as const;
    assert.equal(adopt(known, state, 'd'), known);
    assert.deepEqual(adopt(known, { ...before, serial: 11 }, 'd').state, { ...state, serial: 11 });
    const forgiven = { ...before, serial: 12, losses: { list: [], forgiven: 2 } };
    const after = adopt(known, forgiven, 'd');
    assert.deepEqual(after.state, forgiven);
    assert.deepEqual(adopt(after, state, 'd'), after);
    assert.deepEqual(decodeRosterState(encodeRosterState(forgiven)), forgiven);
    const short = { ...before, losses: { list: [{ view: 2, placed: undefined }], forgiven: 1 } };
    assert.deepEqual(decodeRosterState(encodeRosterState(short)), short);
  });
});

describe('a view that is retired', () => {
  const two = view(2, 'd', 'e');
  const retiring = (...out: readonly string[]): RosterState => ({
    ...stateOf(five, two),
    retiring: 1,
    countedOut: out.map((peer) => ({ peer, settled: true })),
  });
  const retire = (state: RosterState, ...left: readonly string[]): RosterState => {
    const reports = new Map(left.map((peer) => [peer, report(state, { resolved: 1 })]));
    return plan(
      situation(
        state,
        left.map((peer) => host(peer)),
        { reports },
      ),
    ).next!;
  };

  test('leaves what says which blocks its hosts may have taken along', () => {
    const { losses: left } = retire(retiring('a', 'b', 'c'), 'd', 'e');
    assert.deepEqual(left, losses(lossOfHosts(five, 'a', 'b', 'c')!));
    assert.deepEqual(retire({ ...retiring('a', 'b', 'c'), losses: { list: [], forgiven: 1 } }, 'd', 'e').losses, { list: [], forgiven: 1 });
  });

  test('leaves nothing where each block had a majority beside those that are gone', () => {
    assert.equal(retire(retiring('a'), 'b', 'c', 'd', 'e').losses, undefined);
  });

  test('leaves no more than fits into the roster block', () => {
    // Each twice would be too much.
    const names = Array.from({ length: 900 }, (_, index) => `12D3KooW${String(index).padStart(30, '0')}`);
    const large = view(1, ...names);
    const left = view(2, ...names.slice(0, -2));
    const out = names.slice(-2).map((peer) => ({ peer, settled: true }));
    const state = { ...stateOf(large, left), retiring: 1, countedOut: out };
    encodeRosterState(stateOf(left));
    const next = retire(state, ...names.slice(0, -2));
    assert.deepEqual(next.losses?.list, [{ view: 1, placed: undefined }]);
    encodeRosterState(next);
  });
});
