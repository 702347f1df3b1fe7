import assert from 'node:assert/strict';
import { test } from 'node:test';

import { staticViews } from '../../src/membership/index.ts';
import { Roster } from '../../src/placement/index.ts';

test('a single view that never changes has nothing to retire', () => {
  const views = staticViews({ number: 1, roster: Roster.of([{ peer: 'a', zone: '', capacity: 1 }]), replicas: 3 });
  assert.equal(views.inForce().length, 1);
  assert.equal(views.inForce(), views.inForce());
  assert.equal(views.retiring(), undefined);
  assert.equal(views.countedOut().size, 0);
});
