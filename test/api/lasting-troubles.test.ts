import assert from 'node:assert/strict';
import { test } from 'node:test';

import { lastingTroubles } from '../../src/api/index.ts';

const now = Date.parse('2026-11-28T12:00:00Z');
const about = (kind: string, peer: string): { kind: string; about: string; message: string } => ({
  kind,
  about: peer,
  message: `${kind} of ${peer}`,
});

test('of wrong clocks those are said that are wrong still, and of hosts that do not answer what was known', () => {
  const troubles = [about('clock', 'right'), about('clock', 'wrong'), about('clock', 'silent'), about('duplicate-identity', 'right')];
  const hosts = [
    { peer: 'right', time: '2026-11-28T12:00:03Z' },
    { peer: 'wrong', time: '2025-11-28T12:00:00Z' },
    { peer: 'nonsense', time: 'noon' },
  ];
  assert.deepEqual(lastingTroubles(troubles, hosts, now), [troubles[1], troubles[2], troubles[3]]);
  assert.deepEqual(lastingTroubles([about('clock', 'nonsense')], hosts, now).length, 1);
});
