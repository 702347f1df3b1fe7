import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger, systemClock } from '../../src/base/index.ts';
import { Keeper, type KeeperOptions } from '../../src/membership/keeper.ts';
import type { Report } from '../../src/membership/plan.ts';
import { decodeRosterState, encodeRosterState, type RosterState } from '../../src/membership/roster-state.ts';
import { Roster } from '../../src/placement/index.ts';

const members = ['a', 'b', 'c'].map((peer) => ({ peer, zone: 'z', capacity: 2 ** 30 }));
const known: RosterState = { serial: 5, views: [{ number: 1, roster: Roster.of(members), replicas: 3 }], retiring: 0, countedOut: [], floor: 3 };

/** Host a looks once, after c said that it left; the roster block has this floor. `returns`: c is back by the time that the block could be read. */
async function lookWith(floor: number, returns = false): Promise<{ readonly committed: RosterState[]; readonly learnt: RosterState[] }> {
  const [committed, learnt]: [RosterState[], RosterState[]] = [[], []];
  const { promise, resolve } = Promise.withResolvers<void>();
  const report: Report = { serial: 5, newest: 1, standing: 'member', resolved: 0, floor: 0, silent: [] };
  let left = true;
  const stateOf = (peer: string): string => (left && peer === 'c' ? 'left' : 'up');
  const options = {
    store: {
      fetch: () => {
        if (returns) left = false;
        return Promise.resolve({ version: 4, payload: encodeRosterState({ ...known, floor }) });
      },
      commit: ([{ update }]: readonly [{ readonly update: readonly { readonly payload: Uint8Array }[] }]) => {
        committed.push(decodeRosterState(update[0]!.payload));
        return Promise.resolve({ done: true });
      },
    },
    neighbourhood: {
      self: 'a',
      clusterId: 'cluster',
      transport: { isConnected: () => false },
      neighbours: () => members.map((member) => ({ ...member, name: member.peer, state: stateOf(member.peer), alive: true })),
      revoked: () => new Set(),
    },
    evictionDelayMs: 600_000,
    sayClock: { now: () => 0 },
    logger: silentLogger,
    reports: () => new Map([['a', report]]),
    learn: (state: RosterState) => {
      learnt.push(state);
      resolve();
      return Promise.resolve();
    },
    tell: () => {},
    onAgreed: () => returns && setImmediate(resolve),
  };
  new Keeper(options as unknown as KeeperOptions).look(known, systemClock.monotonicMs());
  await promise;
  return { committed, learnt };
}

test('a floor that only the roster block knows is learnt before anything is planned on top of it', async () => {
  const { committed, learnt } = await lookWith(7);
  assert.deepEqual([committed, learnt.map(({ floor }) => floor)], [[], [7]]);
});

test('a floor that the roster block lost through a host of an earlier version goes into the next state', async () => {
  const { committed } = await lookWith(0);
  assert.deepEqual(
    committed.map(({ serial, floor }) => [serial, floor]),
    [[6, 3]],
  );
});

test('what is not to change any longer when the roster block could be read is left as it is', async () => {
  assert.deepEqual(await lookWith(0, true), { committed: [], learnt: [] });
});
