import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Roster } from '../../src/placement/index.ts';
import { asPlaced, hostsSeen, whoIsMissing } from '../../src/node/members/hosts-seen.ts';

function members(...liveness: ('alive' | 'suspect' | 'down')[]): Parameters<typeof hostsSeen>[0] {
  return liveness.map((how, index) => ({ name: `h${index}`, peer: `p${index}`, self: index === 0, capacity: 1, state: 'up', liveness: how }));
}

test('without a majority the silent hosts are named', () => {
  assert.equal(whoIsMissing(members('alive', 'down', 'down'), [], 3), '2 of 3 hosts do not answer (h1, h2); see `infinit status`');
  assert.equal(whoIsMissing(members('alive', 'suspect', 'down'), [], 3), '2 of 3 hosts do not answer (h1, h2); see `infinit status`');
  assert.equal(whoIsMissing(members('alive', 'down'), [], 3), '1 of 2 hosts does not answer (h1); see `infinit status`');
});

test('with a majority, or for hosts that are missed no longer, nobody is named', () => {
  assert.equal(whoIsMissing(members('alive', 'alive', 'down'), [], 3), undefined);
  assert.equal(whoIsMissing(members('alive'), [], 3), undefined);
  assert.equal(whoIsMissing(members('alive', 'alive', 'alive', 'down', 'down'), ['p3', 'p4'], 3), undefined);
});

test('hosts that store nothing, left or were counted out count neither as up nor as lost', () => {
  const [own, left, other] = members('alive', 'down', 'down');
  const all = [own!, { ...left!, state: 'left' as const }, { ...other!, capacity: 0 }];
  assert.deepEqual(hostsSeen(all, [], 3), { wanted: 3, storing: 1, up: 1, lost: 0 });
  // A suspect is neither.
  assert.deepEqual(hostsSeen(members('alive', 'suspect', 'down'), [], 3), { wanted: 3, storing: 3, up: 1, lost: 1 });
});

test('a host that drains counts as one that stores until the newest view gives it no room', () => {
  const [own, draining, down] = members('alive', 'alive', 'down');
  const all = [own!, { ...draining!, state: 'draining' as const }, down!];
  const view = (capacity: number) => ({
    number: 1,
    roster: Roster.of(all.map(({ peer }) => ({ peer, zone: '', capacity: peer === 'p1' ? capacity : 1 }))),
    replicas: 3,
  });
  assert.equal(whoIsMissing(asPlaced(all, view(1)), [], 3), undefined);
  assert.equal(whoIsMissing(asPlaced(all, view(0)), [], 3), '1 of 3 hosts does not answer (h2); see `infinit status`');
  assert.equal(whoIsMissing(asPlaced(all, undefined), [], 3), undefined);
});
