import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import type { Address } from '../../src/block/index.ts';
import type { Entry } from '../../src/disk/entry.ts';
import type { LevelIndex } from '../../src/disk/level-index.ts';
import { listBlocks } from '../../src/disk/listing.ts';
import { RecentTable } from '../../src/disk/recent-table.ts';
import { recordTypes } from '../../src/disk/record.ts';

const addressOf = (number: number): Address => `12${number.toString(16).padStart(62, '0')}` as Address;

/** What each of the numbers comes to in one place: a value of so many bytes, or 0: it was deleted. */
const written = fc.array(fc.tuple(fc.nat(60), fc.nat(3)), { maxLength: 80 });

function entryOf(length: number): Entry {
  return { type: length === 0 ? recordTypes.delete : recordTypes.put, segment: 1, offset: 0, length };
}

function indexOf(entries: readonly (readonly [string, Entry])[]): LevelIndex {
  const sorted = entries.toSorted(([a], [b]) => (a < b ? -1 : 1));
  const list = async (after: string, limit: number): Promise<typeof sorted> => sorted.filter(([id]) => id > after).slice(0, limit);
  return { list } as unknown as LevelIndex;
}

test('pages of what is indexed and of what waits for that, written and deleted in any order, are all that is there, once each', async () => {
  await fc.assert(
    fc.asyncProperty(written, written, written, fc.integer({ min: 1, max: 9 }), async (indexed, frozen, current, limit) => {
      // The index keeps no deleted entries.
      const indexedNow = new Map(indexed.filter(([, length]) => length > 0));
      const recent = new RecentTable();
      for (const [number, length] of frozen) recent.set(addressOf(number), entryOf(length));
      recent.freeze();
      for (const [number, length] of current) recent.set(addressOf(number), entryOf(length));
      const index = indexOf([...indexedNow].map(([number, length]) => [addressOf(number), entryOf(length)] as const));

      const expected = [...new Map([...indexedNow, ...frozen, ...current])]
        .filter(([, length]) => length > 0)
        .map(([number, size]) => ({ address: addressOf(number), size }))
        .sort((a, b) => (a.address < b.address ? -1 : 1));
      const found: typeof expected = [];
      for (;;) {
        const page = await listBlocks(index, recent, found.at(-1)?.address, limit);
        found.push(...page);
        if (page.length < limit) break;
      }
      assert.deepEqual(found, expected);
    }),
    { numRuns: 500 },
  );
});
