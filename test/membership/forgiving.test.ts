import assert from 'node:assert/strict';
import { test } from 'node:test';

import { agreeToForgive } from '../../src/membership/forgiving.ts';
import { lossOf } from '../../src/membership/losses.ts';
import type { MembershipStore } from '../../src/membership/membership.ts';
import { encodeRosterState } from '../../src/membership/roster-state.ts';
import type { UpdateOutcome } from '../../src/store/index.ts';
import { stateOf, view } from './situations.ts';

test('whether a loss is accepted is unknown where a disk without room kept it from being known, and refused where nothing was changed', async () => {
  const loss = lossOf(view(1, 'a', 'b', 'c', 'd', 'e'), (peer) => 'abc'.includes(peer))!;
  const state = { ...stateOf(view(3, 'd', 'e')), losses: { list: [loss], forgiven: 0 } };
  for (const [status, code] of [
    ['unknown', 'unknown-outcome'],
    ['failed', 'disk-full'],
  ] as const) {
    const outcome: UpdateOutcome = { status, code: 'disk-full', message: 'no room' };
    const store = {
      fetch: () => Promise.resolve({ version: 1, payload: encodeRosterState(state) }),
      commit: () => Promise.resolve({ done: false, stage: 0, outcomes: [outcome] }),
      housekeeping: { aboveLost: 0 },
    } as unknown as MembershipStore;
    await assert.rejects(agreeToForgive(store, 'a cluster', state, ['a', 'b', 'c']), { code });
  }
});
