import assert from 'node:assert/strict';

import type { Volume } from '../../src/filesystem/index.ts';

/** What is nothing once all was synced, and nothing has changed since. */
const afterSync = ['unwrittenXattrBytes', 'late', 'operations', 'contentBlocks', 'unread', 'held'] as const;
/** And once all is in its place: what is removed holds memory, and its journal, until then. */
const afterRecall = [...afterSync, 'dirtyBytes', 'uncommittedBytes', 'lateBytes', 'dirty', 'nameBlocks', 'uncertain'] as const;

/** A volume that had nothing to do since is at rest: what stays in use then stays so for good, and shows only in that things become slow, or come to an end when there is too much of it. */
export function assertRests(volume: Volume, after: 'sync' | 'recall'): void {
  const { memory } = volume;
  const names = after === 'sync' ? afterSync : afterRecall;
  assert.deepEqual(
    Object.fromEntries(names.flatMap((name) => (memory[name] === 0 ? [] : [[name, memory[name]]]))),
    {},
    `not at rest after a ${after}`,
  );
}
