import assert from 'node:assert/strict';
import { test } from 'node:test';

import { nodeKinds } from '../../src/node/kinds.ts';
import { kinds } from '../../src/store/kinds.ts';

test('the store and the node name no message kind twice', () => {
  const all = [...Object.values(kinds), ...Object.values(nodeKinds)];
  assert.equal(new Set(all).size, all.length);
});
