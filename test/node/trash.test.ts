import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseVolumeOptions } from '../../src/api/index.ts';
import { show } from '../../src/node/trash.ts';

test('a removed volume that nobody keeps is shown as being deleted from the first moment on', () => {
  const removed = { name: 'a', id: '00', createdAt: '2026-01-01T00:00:00Z', trashedAt: '2026-02-01T00:00:00.000Z' };
  const shown = (options: object, more: object = {}): readonly unknown[] => {
    const { state, deletedAt } = show({ ...removed, ...more, options: parseVolumeOptions(options) });
    return [state, deletedAt];
  };
  assert.deepEqual(shown({ 'on-remove': 'delete' }), ['deleting', undefined]);
  assert.deepEqual(shown({}), ['kept', '2026-02-08T00:00:00.000Z']);
  assert.deepEqual(shown({ 'on-remove': 'retain' }), ['kept', undefined]);
  assert.deepEqual(shown({}, { purging: true }), ['deleting', undefined]);
  assert.equal(shown({ 'on-remove': 'delete' }, { restoringAs: 'b' })[0], 'restoring');
});
