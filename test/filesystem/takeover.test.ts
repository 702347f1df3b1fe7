import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Address, namedAddress } from '../../src/block/index.ts';
import { contentSlots } from '../../src/filesystem/content-journal-codec.ts';
import { journalSlots } from '../../src/filesystem/journal.ts';
import type { BlockStore, CommitResult, Stage } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { bytes, contentOf, look, namesOf, open, put, readAt, root, volumeId } from './harness.ts';

/** A host's way to a store, whose writes of some blocks are held up on the way until they are let through. */
class SlowWay implements BlockStore {
  readonly #store: BlockStore;
  readonly #slow: ReadonlySet<Address>;
  readonly #arrived = Promise.withResolvers<void>();
  readonly #let = Promise.withResolvers<void>();
  armed = false;

  constructor(store: BlockStore, ring: string, slots: number) {
    this.#store = store;
    this.#slow = new Set(Array.from({ length: slots }, (_, slot) => namedAddress(volumeId, `${ring}:${slot}`)));
  }

  /** Resolves when a write is held up. */
  get arrived(): Promise<void> {
    return this.#arrived.promise;
  }

  letThrough(): void {
    this.#let.resolve();
  }

  get(address: Address): Promise<Uint8Array> {
    return this.#store.get(address);
  }

  fetch(address: Address): ReturnType<BlockStore['fetch']> {
    return this.#store.fetch(address);
  }

  async commit(stages: readonly Stage[]): Promise<CommitResult> {
    const versions: (readonly number[])[] = [];
    for (const stage of stages) {
      if (this.armed && (stage.update ?? []).some(({ address }) => this.#slow.has(address))) {
        this.#arrived.resolve();
        await this.#let.promise;
      }
      const result = await this.#store.commit([stage]);
      if (!result.done) return result;
      versions.push(...result.versions);
    }
    return { done: true, versions };
  }
}

test('a name that was on its way when the volume went to another host never comes without its file', async () => {
  const store = new MemoryBlockStore();
  const way = new SlowWay(store, 'journal', journalSlots);
  const before = await open(way);
  await put(before, root, 'synced', 'old', true);
  way.armed = true;
  // The file's record is durable, the block that names it is held up.
  const late = put(before, root, 'late', 'new', true);
  await way.arrived;
  const after = await open(store);
  way.letThrough();
  await assert.rejects(late);
  await put(after, root, 'more', 'text', true);
  for (const volume of [after, await open(store)]) {
    const names = await namesOf(volume, root);
    assert.ok(names.includes('synced') && names.includes('more'));
    for (const name of names) assert.ok((await contentOf(volume, (await look(volume, root, name))!)).length > 0, name);
  }
});

test('an fsync that was on its way when the volume went to another host does not come over what is written there', async () => {
  const store = new MemoryBlockStore();
  const way = new SlowWay(store, 'content', contentSlots);
  const before = await open(way);
  const size = 100_000;
  const inode = await put(before, root, 'f', new Uint8Array(size), true);
  await before.recall();
  way.armed = true;
  const handle = await before.open(inode, 2);
  await before.write(inode, handle, 0, bytes('late'), false);
  const late = before.fsync(inode, handle, false) as Promise<void>;
  await way.arrived;
  const after = await open(store);
  way.letThrough();
  await assert.rejects(late);
  await after.write(inode, await after.open(inode, 2), 5000, bytes('after'), false);
  await after.fsync(inode, 0, false);
  // After a crash.
  const last = await open(store);
  assert.equal((await readAt(last, inode, 5000, 5)).toString(), 'after');
  assert.equal((await readAt(last, inode, 0, 4)).toString('latin1'), '\0\0\0\0');
  assert.equal((await last.getattr(inode)).size, size);
});
