import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import type { Inode } from '../../src/filesystem/inodes/inode.ts';
import { Unsettled, type UnsettledInode } from '../../src/filesystem/journal/unsettled.ts';
import { VolumeUsage } from '../../src/filesystem/usage.ts';

/** A file as far as this is concerned. */
function file(number: number, accounted = 0): Inode {
  return { number, gone: false, content: { accounted } } as Inode;
}

/** The volume's own block, of which each write may fail. */
class OwnBlock {
  readonly usage = new VolumeUsage({ allocated: 0, files: 1 });
  readonly unsettled: Unsettled = new Unsettled(this.usage, () => this.write());
  named: readonly UnsettledInode[] = [];
  writes = 0;
  failing = false;

  write(): Promise<void> {
    this.writes++;
    const named = this.unsettled.take(false);
    if (this.failing) return Promise.reject(new InfinitError('unknown-outcome', 'injected'));
    this.named = named;
    this.unsettled.taken(named);
    return Promise.resolve();
  }

  /** A file is written, and has so many bytes then. */
  async change(inode: Inode, bytes: number): Promise<void> {
    await this.unsettled.cover([inode]);
    this.usage.add(bytes - inode.content!.accounted, 0);
    inode.content!.accounted = bytes;
    this.unsettled.written(inode.number, bytes);
  }

  has(number: number): boolean {
    return this.named.some(({ inode }) => inode === number);
  }
}

test('who is named is counted with the next write, and forgotten when many others were written since', async () => {
  const block = new OwnBlock();
  for (let number = 1; number <= 400; number++) await block.change(file(number), 10);
  assert.equal(block.usage.allocated, 4000);
  assert.ok(block.named.length < 300 && block.has(400) && !block.has(1));
  await block.write();
  assert.equal(block.usage.counted.allocated, 4000);
});

test('who was named before a write of which nobody knows is named anew before it is written', async () => {
  const block = new OwnBlock();
  const first = file(1);
  await block.change(first, 10);
  for (let number = 2; number <= 256; number++) await block.change(file(number), 10);
  block.failing = true;
  await assert.rejects(block.change(file(500), 10));
  block.failing = false;
  // It may not be in the store any more.
  const { writes } = block;
  await block.change(first, 20);
  assert.equal(block.writes, writes + 1);
  assert.ok(block.has(1));
});

test('who is being written, or is removed and in no journal yet, stays named, however many others there are', async () => {
  const block = new OwnBlock();
  const [writing, removed] = [file(1), file(2)];
  await block.unsettled.cover([writing]);
  await block.change(removed, 10);
  block.unsettled.gone(removed.number);
  for (let number = 3; number <= 400; number++) await block.change(file(number), 10);
  assert.ok(block.has(1) && block.has(2));
  block.unsettled.removed(2);
  block.unsettled.written(1, 0);
  for (let number = 500; number < 510; number++) await block.change(file(number), 10);
  assert.ok(!block.has(1) && !block.has(2));
});

test('more files than the block can name are not written at once', async () => {
  const block = new OwnBlock();
  const files = Array.from({ length: 2048 }, (_, index) => file(index + 1));
  await block.unsettled.cover(files);
  assert.equal(block.writes, 1);
  await assert.rejects(block.unsettled.cover([file(5000)]), { code: 'overloaded' });
  block.unsettled.written(7, 0);
  await block.unsettled.cover([file(5000)]);
  assert.ok(block.has(5000) && !block.has(7));
});
