import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import type { Address } from '../../src/block/index.ts';
import { type DiskEntry, MemoryDisk, scrub } from '../../src/disk/index.ts';
import { code, numbered, valueOf } from './support.ts';

/** A disk that every other question meets in a moment without descriptors. */
class FlakyDisk extends MemoryDisk {
  lasts = false;
  #asked = 0;

  override async read(address: Address): Promise<Uint8Array | undefined> {
    this.#fail();
    return super.read(address);
  }

  override async list(after: Address | undefined, limit: number): Promise<DiskEntry[]> {
    this.#fail();
    return super.list(after, limit);
  }

  #fail(): void {
    if (this.lasts || this.#asked++ % 2 === 0) throw new InfinitError('overloaded', 'a test said so');
  }
}

test('a moment in which nothing can be read does not end a scrub, and is no damage', async () => {
  await using disk = new FlakyDisk();
  for (let number = 0; number < 5; number++) await disk.write([{ type: 'put', address: numbered(number), bytes: valueOf(number, 100) }]);
  disk.damage(numbered(3));
  const damaged: Address[] = [];
  const report = await scrub(disk, { bytesPerSecond: 1e9, onDamaged: (address) => void damaged.push(address) });
  assert.deepEqual([report.finished, report.blocks, report.damaged, damaged], [true, 4, 1, [numbered(3)]]);
});

test('whoever stops a scrub does not wait for such a moment to pass', async (t) => {
  await using disk = new FlakyDisk();
  disk.lasts = true;
  // No pause ends by itself.
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const stop = new AbortController();
  const stopped = assert.rejects(scrub(disk, { bytesPerSecond: 1e9, onDamaged: () => {}, signal: stop.signal }), code('overloaded'));
  stop.abort();
  await stopped;
});
