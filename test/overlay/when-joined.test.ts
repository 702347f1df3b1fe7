import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Joining, whenJoined } from '../../src/overlay/when-joined.ts';

const waiting: Joining = { isIn: () => false, whyNot: () => 'nobody answers', onMembersChange: () => () => {}, onTrouble: () => () => {} };

test('a wait to be let in that nobody waits for any more ends at once', { timeout: 2000 }, async () => {
  await assert.rejects(whenJoined(waiting, AbortSignal.abort()), { code: 'cancelled', message: 'nobody answers' });
  await whenJoined({ ...waiting, isIn: () => true }, AbortSignal.abort());
});
