import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import * as fc from 'fast-check';

import { InfinitError } from '../../src/base/index.ts';
import { Confirmations, expiryMs } from '../../src/membership/confirmations.ts';
import { decodeReport } from '../../src/membership/messages.ts';
import { decodeRosterState, encodeRosterState, type RosterState } from '../../src/membership/roster-state.ts';
import { Silence } from '../../src/membership/silence.ts';
import { adopt, type Knowledge } from '../../src/membership/standing.ts';
import { Roster } from '../../src/placement/index.ts';

function state(
  serial: number,
  views: Readonly<Record<number, string>>,
  countedOut: readonly string[] = [],
  replicas = 3,
  settled = true,
): RosterState {
  const list = Object.entries(views).map(([number, peers]) => ({
    number: Number(number),
    roster: Roster.of(peers.split('').map((peer) => ({ peer, zone: 'z', capacity: 1 }))),
    replicas,
  }));
  return { serial, views: list, retiring: 0, countedOut: countedOut.map((peer) => ({ peer, settled })), floor: 0 };
}

const member = (known: RosterState): Knowledge => ({ standing: 'member', state: known });

describe('what a host is once it is told', () => {
  const known = state(5, { 2: 'abc' });

  test('of an older state or the same: what it was', () => {
    const before = member(known);
    assert.equal(adopt(before, known, 'a'), before);
    assert.equal(adopt(before, state(4, { 1: 'a' }), 'a'), before);
  });

  test('the floor never sinks, and rises by a state that is otherwise known', () => {
    const high = { ...known, floor: 7 };
    assert.equal(adopt(member(high), state(6, { 2: 'abc', 3: 'abcd' }), 'a').state!.floor, 7);
    assert.deepEqual(adopt(member(known), high, 'a'), member(high));
    const after = member(state(6, { 2: 'abc', 3: 'abcd' }));
    assert.deepEqual(adopt(after, high, 'a'), { ...after, state: { ...after.state, floor: 7 } });
    const before = member(high);
    assert.equal(adopt(before, known, 'a'), before);
  });

  test('of a view that has it: a member, if it holds nothing of before', () => {
    assert.equal(adopt({ standing: 'fresh', state: known }, state(6, { 2: 'abc', 3: 'abcd' }), 'd').standing, 'member');
    assert.equal(adopt({ standing: 'stranger', state: known }, state(6, { 2: 'abc', 3: 'abcd' }), 'd').standing, 'stranger');
  });

  test('that it was counted out: an outcast', () => {
    assert.equal(adopt(member(known), state(6, { 2: 'abc', 3: 'ab' }, ['c']), 'c').standing, 'outcast');
  });

  test('that it was counted out, and others may rely on it still: a member without a say, and one with it again if they took it back', () => {
    const noticed = adopt(member(known), state(6, { 2: 'abc', 3: 'ab' }, ['c'], 3, false), 'c');
    assert.equal(noticed.standing, 'member');
    const confirmations = new Confirmations('c', 1000);
    confirmations.note('a', 100);
    assert.equal(confirmations.until(noticed.state!), -Infinity);
    const back = adopt(noticed, state(7, { 2: 'abc', 3: 'ab', 4: 'abc' }), 'c');
    assert.equal(back.standing, 'member');
    assert.ok(confirmations.until(back.state!) > 100);
    assert.equal(adopt(noticed, state(7, { 2: 'abc', 3: 'ab' }, ['c']), 'c').standing, 'outcast');
  });

  test('that it was counted out, and a view was retired since: an outcast, whoever retired it', () => {
    const two = state(5, { 1: 'abcd', 2: 'abcd' });
    assert.equal(adopt(member(two), state(6, { 2: 'abcd', 3: 'abc' }, ['d'], 3, false), 'd').standing, 'outcast');
    const fresh: Knowledge = { standing: 'fresh', state: two };
    assert.equal(adopt(fresh, state(6, { 1: 'abcd', 2: 'abcd', 3: 'abc' }, ['d'], 3, false), 'd').standing, 'fresh');
  });

  test('that a newer view is without it, the older not retired: a member still', () => {
    assert.equal(adopt(member(known), state(6, { 2: 'abc', 3: 'ab' }), 'c').standing, 'member');
  });

  test('that all views it knew are past: an outcast, though nobody remembers it or a later view has it', () => {
    assert.equal(adopt(member(known), state(90, { 40: 'xyz' }), 'c').standing, 'outcast');
    assert.equal(adopt(member(known), state(90, { 40: 'cyz' }), 'c').standing, 'outcast');
  });
});

describe('confirmations', () => {
  const term = 1000;

  test('a host of a small roster needs none, another as many as a majority can lose', () => {
    const two = new Confirmations('a', term);
    assert.equal(two.until(state(1, { 1: 'ab' })), Infinity);
    const three = new Confirmations('a', term);
    assert.equal(three.until(state(1, { 1: 'abc' })), -Infinity);
    three.note('b', 100);
    assert.ok(three.until(state(1, { 1: 'abc' })) > 100);
  });

  test('a host whose others were all expelled needs none', () => {
    const left = new Confirmations('a', term);
    const three = state(1, { 1: 'abc' });
    assert.equal(left.until(three, new Set(['b'])), -Infinity);
    assert.equal(left.until(three, new Set(['b', 'c'])), Infinity);
  });

  test('those of strangers and of hosts that were counted out do not count', () => {
    const confirmations = new Confirmations('a', term);
    confirmations.note('x', 100);
    confirmations.note('c', 100);
    assert.equal(confirmations.until(state(1, { 1: 'abcd' }, ['c'])), -Infinity);
  });

  test('what was confirmed counts by the latest of as many hosts as are needed, whatever came in which order, also when the roster changes', () => {
    const confirmations = new Confirmations('a', term);
    // Of five copies two can be lost.
    const seven = state(1, { 1: 'abcdefg' }, [], 5);
    const lastOf = (of: RosterState): number => confirmations.until(of) - (1 - 2 * 0.02) * term;
    const told = [
      ['b', 10],
      ['c', 40],
      ['d', 30],
      ['e', 20],
      ['c', 50],
      ['c', 45],
      ['d', 5],
    ] as const;
    const counted = told.map(([peer, at]) => {
      confirmations.note(peer, at);
      return lastOf(seven);
    });
    assert.deepEqual(counted, [-Infinity, 10, 30, 30, 30, 30, 30]);
    assert.equal(lastOf(state(2, { 1: 'abcdefg' }, ['c'], 5)), 20);
    assert.equal(lastOf(state(3, { 1: 'abcefg' }, [], 5)), 20);
    confirmations.note('b', 60);
    assert.equal(lastOf(state(3, { 1: 'abcefg' }, [], 5)), 50);
  });

  test('they end before anybody relies on it, at the worst rates of both clocks', () => {
    const confirmations = new Confirmations('a', term);
    confirmations.note('b', 0);
    const slowest = confirmations.until(state(1, { 1: 'abc' })) * 1.02;
    const fastest = expiryMs(term) * 0.98;
    assert.ok(slowest <= fastest, `${slowest} > ${fastest}`);
  });
});

test('silence is counted from the last sign of life, and goes on from what was saved', () => {
  const peers = new Set(['a', 'b']);
  const silence = new Silence();
  silence.count(peers, (peer) => peer === 'a', 500);
  silence.count(peers, (peer) => peer === 'a', 500);
  const later = new Silence(silence.entries());
  later.count(peers, () => false, 500);
  assert.deepEqual(later.beyond(1500), ['b']);
  later.count(peers, () => true, 500);
  assert.equal(later.of('b'), 0);
});

test('a roster or a report that is none is refused', () => {
  const bytes = encodeRosterState(state(7, { 1: 'abc', 2: 'abcd' }, ['e']));
  const refuses = (garbage: Uint8Array): void => {
    for (const decode of [decodeRosterState, (body: Uint8Array) => decodeReport(body, undefined)]) {
      try {
        decode(garbage);
      } catch (error) {
        assert.ok(error instanceof InfinitError, String(error));
      }
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), refuses));
  fc.assert(fc.property(fc.json(), (text) => refuses(Buffer.from(text))));
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, byte) => {
      const changed = Uint8Array.from(bytes);
      changed[at] = byte;
      refuses(changed);
    }),
  );
});
