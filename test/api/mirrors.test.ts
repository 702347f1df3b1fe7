/** What the API tells of the layers below is written down again in src/api, which clients get without those layers. The two must not part. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type * as api from '../../src/api/index.ts';
import type { DiskStatus } from '../../src/disk/index.ts';
import type { MembershipStatus } from '../../src/membership/index.ts';
import type { BlockCounts, RepairStatus, ScrubStatus } from '../../src/repair/index.ts';

/** `true` where the two have the same fields of the same types. */
type Same<A, B> = [A, B, keyof A, keyof B] extends [B, A, keyof B, keyof A] ? true : false;

test('the API speaks of disks, repair and the roster in the words of the layers that know', () => {
  // The types are the test: with a difference this file has no value to assign.
  const disk: Same<api.HostStatus['disk'], DiskStatus> = true;
  const counts: Same<api.BlockCounts, BlockCounts> = true;
  const repair: Same<api.RepairProgress, RepairStatus> = true;
  const scrub: Same<api.ScrubProgress, ScrubStatus> = true;
  const roster: Same<api.RosterStatus, MembershipStatus> = true;
  assert.deepEqual(new Set([disk, counts, repair, scrub, roster]), new Set([true]));
});
