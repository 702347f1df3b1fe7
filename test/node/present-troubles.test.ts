import assert from 'node:assert/strict';
import { test } from 'node:test';

import { presentTroubles } from '../../src/node/members/present-troubles.ts';

const now = Date.parse('2026-11-28T12:00:00Z');
const about = (kind: string, peer: string): { kind: string; about: string; message: string } => ({
  kind,
  about: peer,
  message: `${kind} of ${peer}`,
});

test('clocks are told as they are: set right since they were heard, wrong since, and what was known where a host does not answer', () => {
  const others = [about('clock', 'silent'), about('clock', 'nonsense'), about('duplicate-identity', 'right')];
  const hosts = [
    { peer: 'right', time: '2026-11-28T12:00:03Z' },
    { peer: 'wrong', time: '2025-11-28T12:00:00Z' },
    { peer: 'jumped', time: '2026-11-28T13:05:00Z' },
    { peer: 'nonsense', time: 'noon' },
  ];
  assert.deepEqual(presentTroubles([about('clock', 'right'), about('clock', 'wrong'), ...others], hosts, now), [
    ...others,
    { kind: 'clock', about: 'wrong', message: "the clock of host wrong is 365 days behind this one's: set the wrong one right" },
    { kind: 'clock', about: 'jumped', message: "the clock of host jumped is 65 minutes ahead of this one's: set the wrong one right" },
  ]);
});
