import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import type { Address } from '../../src/block/index.ts';
import type { CommitResult, Stage, StoredBlock, UpdateOutcome } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { bytes, contentOf, errnoOf, look, open, put, root } from './harness.ts';

/** A store that can be out of reach for a while. */
class FailingStore extends MemoryBlockStore {
  failing = false;

  override commit(stages: readonly Stage[]): Promise<CommitResult> {
    if (this.failing) return Promise.reject(new InfinitError('unavailable', 'out of reach'));
    return super.commit(stages);
  }
}

const first = new Uint8Array(20_000).fill(1);
const second = new Uint8Array(20_000).fill(2);
const whole = Buffer.concat([first, second]);

test('a file that replaces another is never found with a part of its content, though an earlier flush of it failed', async () => {
  let interrupted = 0;
  for (let writes = 0; ; writes++) {
    const store = new FailingStore();
    const volume = await open(store);
    await put(volume, root, 'f', 'old', true);
    const inode = await put(volume, root, 'new', first);
    store.failing = true;
    await assert.rejects(async () => volume.fsync(inode, 0, false));
    store.failing = false;
    await volume.write(inode, 0, first.length, second, false);
    await volume.rename(root, 'new', root, 'f', 0);
    store.crashAfter(writes);
    const done = await volume.syncfs().then(
      () => true,
      () => false,
    );
    await volume.abandon();
    store.restart();
    const after = await open(store);
    const content = await contentOf(after, (await look(after, root, 'f'))!);
    if (!content.equals(whole)) assert.deepEqual(content, Buffer.from(bytes('old')), `after ${writes} writes`);
    assert.equal(await look(after, root, 'new'), undefined);
    assert.equal((await after.check()).problems.length, 0);
    await after.abandon();
    if (done) {
      assert.deepEqual(content, whole);
      break;
    }
    interrupted++;
  }
  assert.ok(interrupted > 1);
});

/** A store that does not say that a commit took effect, after which it is out of reach for further blocks and then crashes. */
class SilentStore extends MemoryBlockStore {
  crashesAfter: number | undefined;
  #silent = false;

  override async commit(stages: readonly Stage[]): Promise<CommitResult> {
    if (this.crashesAfter === undefined) return super.commit(stages);
    if (this.#silent && stages.some(({ put: blocks }) => blocks !== undefined)) throw new InfinitError('unavailable', 'out of reach');
    const result = await super.commit(stages);
    if (this.#silent) return result;
    this.#silent = true;
    this.crashAfter(this.crashesAfter);
    return { done: false, stage: stages.length - 1, outcomes: [{ status: 'unknown', code: 'unknown-outcome', message: 'no answer' }] };
  }
}

test('nor where nobody knows whether that took effect, and its blocks are out of reach then', async () => {
  for (let writes = 0; writes < 8; writes++) {
    const store = new SilentStore();
    const volume = await open(store);
    await put(volume, root, 'f', 'old', true);
    await put(volume, root, 'new', whole);
    await volume.rename(root, 'new', root, 'f', 0);
    store.crashesAfter = writes;
    const synced = await errnoOf(() => volume.fsync(root, 0, false));
    await volume.syncfs().catch(() => {});
    await volume.abandon();
    store.crashesAfter = undefined;
    store.restart();
    const after = await open(store);
    const content = await contentOf(after, (await look(after, root, 'f'))!);
    // Its content may be in the content journal then, and its name durable.
    if (!content.equals(whole)) assert.deepEqual([content, synced !== 'none'], [Buffer.from(bytes('old')), true], `after ${writes} writes`);
    assert.equal((await after.check()).problems.length, 0);
    await after.abandon();
  }
});

const failed: UpdateOutcome = { status: 'failed', code: 'unavailable', message: 'out of reach' };
const silent: UpdateOutcome = { status: 'unknown', code: 'unknown-outcome', message: 'no answer' };

/** A commit writes the first block of its last stage, and not the others there, and answers so; then the next block of names alone fails, as do further contents, and the store crashes. */
class MixedStore extends MemoryBlockStore {
  mixed: { readonly first: UpdateOutcome; readonly second: UpdateOutcome; readonly crashesAfter: number } | undefined;
  /** What the next commits and reads meet. */
  #refuses: 'nothing' | 'a read' | 'names' | 'contents' = 'nothing';

  override async fetch(address: Address): Promise<StoredBlock | undefined> {
    if (this.#refuses !== 'a read') return super.fetch(address);
    this.#refuses = 'names';
    throw new InfinitError('unavailable', 'out of reach');
  }

  override async commit(stages: readonly Stage[]): Promise<CommitResult> {
    const { mixed } = this;
    if (mixed !== undefined) {
      this.mixed = undefined;
      const last = stages.at(-1)!;
      assert.equal(last.update?.length, 2);
      await super.commit([...stages.slice(0, -1), { update: [last.update[0]!] }]);
      this.#refuses = mixed.second.status === 'conflict' ? 'a read' : 'names';
      this.crashAfter(mixed.crashesAfter);
      return { done: false, stage: stages.length - 1, outcomes: [mixed.first, mixed.second] };
    }
    if (this.#refuses !== 'nothing' && stages.some(({ put: blocks }) => blocks !== undefined)) throw new InfinitError('unavailable', 'out of reach');
    if (this.#refuses === 'names') {
      this.#refuses = 'contents';
      return { done: false, stage: 0, outcomes: stages[0]!.update!.map(() => failed) };
    }
    return super.commit(stages);
  }

  override restart(): void {
    this.#refuses = 'nothing';
    super.restart();
  }
}

for (const [name, outcomes] of Object.entries({
  'that took effect, and another block with it did not': { first: { status: 'committed', version: 1 }, second: failed },
  'of which nobody knows whether it took effect, and another block did not': { first: silent, second: failed },
  'of which nobody knows whether it took effect, and it cannot be tried again': { first: silent, second: { status: 'conflict', current: undefined } },
} satisfies Record<string, { first: UpdateOutcome; second: UpdateOutcome }>))
  test(`nor behind a block of names ${name}`, async () => {
    for (let writes = 0; writes < 6; writes++) {
      const store = new MixedStore();
      const volume = await open(store);
      await put(volume, root, 'f', 'old', true);
      await put(volume, root, 'new', whole);
      await volume.rename(root, 'new', root, 'f', 0);
      store.mixed = { ...outcomes, crashesAfter: writes };
      await errnoOf(() => volume.fsync(root, 0, false));
      await volume.abandon();
      assert.equal(store.mixed, undefined);
      store.restart();
      const after = await open(store);
      const content = await contentOf(after, (await look(after, root, 'f'))!);
      if (!content.equals(whole)) assert.deepEqual(content, Buffer.from(bytes('old')), `after ${writes} writes`);
      assert.equal((await after.check()).problems.length, 0);
      await after.abandon();
    }
  });
