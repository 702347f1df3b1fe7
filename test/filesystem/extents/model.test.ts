import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Address } from '../../../src/block/index.ts';
import { ExtentNodeCache, type ExtentCommit } from '../../../src/filesystem/extents/index.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { seeded } from '../../suites/seeded.ts';
import { inodeAddress, type TestBlock, TestFile } from './support.ts';

/** Where a byte of the file is. */
interface Place {
  readonly address: Address;
  readonly at: number;
}
/** A hole that room is set aside for. */
const room = 'room';
type Model = (Place | typeof room | undefined)[];

/** As a look-up shows it. */
const shown = (model: Model): Model => model.map((place) => (place === room ? undefined : place));

const fileUnits = 600;
const unit = 4096;
/** The file begins with 15 TiB of hole. */
const base = 15 * 2 ** 40;

function at(position: number): number {
  return base + position * unit;
}

/** A map of tiny nodes next to an array of units. */
class Run {
  readonly file: TestFile;
  readonly random: () => number;
  model: Model = Array.from({ length: fileUnits });

  constructor(store: MemoryBlockStore, seed: number) {
    this.random = seeded(seed);
    const options = { nodeBytes: 256, recentBytes: 200 + Math.floor(this.random() * 600), cache: new ExtentNodeCache(8) };
    this.file = new TestFile(store, options, seed % 2 === 0 ? () => Promise.resolve() : undefined);
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  async mutate(): Promise<void> {
    const kind = this.random();
    const offset = this.below(fileUnits - 1);
    const length = 1 + this.below(Math.min(this.random() < 0.7 ? 4 : 80, fileUnits - offset));
    if (kind < 0.6) await this.#write(offset, length, this.file.newBlock(length * unit), 0);
    else if (kind < 0.75) await this.#writePacked();
    else if (kind < 0.9) {
      await this.file.punch(at(offset), length * unit);
      this.model.fill(undefined, offset, offset + length);
    } else if (kind < 0.95) await this.#truncate(offset);
    else {
      await this.file.load(at(offset), length * unit);
      this.file.map.reserve(at(offset), length * unit);
      this.model.fill(room, offset, offset + length);
    }
  }

  async #write(offset: number, length: number, block: TestBlock, blockAt: number): Promise<void> {
    await this.file.write(at(offset), length * unit, block, blockAt * unit);
    for (let i = 0; i < length; i++) this.model[offset + i] = { address: block.address, at: (blockAt + i) * unit };
  }

  /** Scattered small writes in one block. */
  async #writePacked(): Promise<void> {
    const offsets = new Set(Array.from({ length: 1 + this.below(6) }, () => this.below(fileUnits / 2) * 2));
    const block = this.file.newBlock(offsets.size * 2 * unit);
    for (const [i, offset] of [...offsets].toSorted((a, b) => a - b).entries()) await this.#write(offset, 2, block, i * 2);
  }

  async #truncate(size: number): Promise<void> {
    const { map } = this.file;
    for (;;) {
      const step = await map.truncateStep(at(size));
      assert.ok(step >= at(size));
      await this.file.load(step, Infinity);
      map.truncate(step);
      if (step === at(size)) break;
    }
    this.model.fill(undefined, size);
  }

  /** Holds the map against the model. */
  async check(): Promise<void> {
    const { map } = this.file;
    assert.equal(map.allocatedBytes, this.model.filter((place) => place !== undefined).length * unit);
    const start = this.below(fileUnits);
    const end = start + 1 + this.below(fileUnits - start);
    const found: Model = Array.from({ length: fileUnits });
    let position = at(start);
    let hole = false;
    for (const segment of await map.lookup(at(start), at(end) - at(start))) {
      assert.equal(segment.offset, position);
      assert.ok(segment.length > 0);
      for (let done = 0; segment.address !== undefined && done < segment.length; done += unit)
        found[(position + done - base) / unit] = { address: segment.address, at: segment.blockOffset + done };
      assert.ok(!hole || segment.address !== undefined, 'holes are merged');
      hole = segment.address === undefined;
      position += segment.length;
    }
    assert.equal(position, at(end));
    assert.deepEqual(found.slice(start, end), shown(this.model).slice(start, end));
    const data = this.model.findIndex((place, i) => i >= start && place !== undefined);
    assert.equal(await map.seekData(at(start)), data < 0 ? undefined : at(data));
    const gap = this.model.findIndex((place, i) => i >= start && place === undefined);
    assert.equal(await map.seekHole(at(start)), at(gap < 0 ? fileUnits : gap));
  }
}

/** The store holds what the map owns, and of data blocks that is what the model refers to. */
async function checkBlocks({ file, model }: Run): Promise<void> {
  const [data, nodes] = await file.owned();
  assert.deepEqual([...data].toSorted(), [...new Set(shown(model).flatMap((place) => (place as Place | undefined)?.address ?? []))].toSorted());
  assert.deepEqual([...data, ...nodes].toSorted(), [...file.store.immutableAddresses()].toSorted());
}

test('a map agrees with an array of bytes, over commits and reopening, and no block leaks', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const run = new Run(new MemoryBlockStore(), seed);
    for (let i = 0; i < 150; i++) {
      await run.mutate();
      if (run.random() < 0.3) await run.check();
      if (run.random() < 0.2) {
        await run.file.commit();
        if (run.random() < 0.5) await run.file.reopen();
        await run.check();
      }
    }
    await run.file.commit();
    await run.file.reopen();
    for (let i = 0; i < 5; i++) await run.check();
    await checkBlocks(run);
    assert.deepEqual(run.file.store.droppedTwice, []);
  }
});

test('a crash between any two block writes leaves the last committed state, and all of its blocks', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = seeded(seed + 1000);
    const store = new MemoryBlockStore({ random });
    const run = new Run(store, seed);
    let durable: Model = [...run.model];
    for (let life = 0; life < 6; life++) {
      store.crashAfter(Math.floor(random() * 60));
      let attempted = durable;
      let before = store.peek(inodeAddress)?.version;
      try {
        for (;;) {
          for (let i = 0; i < 4; i++) await run.mutate();
          before = store.peek(inodeAddress)?.version;
          attempted = [...run.model];
          await run.file.commit();
          durable = attempted;
        }
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'closed');
      }
      // Crashed behind the inode's write: only the drops are missing.
      if (store.peek(inodeAddress)?.version !== before) durable = attempted;
      store.restart();
      await run.file.reopen();
      run.model = [...durable];
      await run.check();
      const held = store.immutableAddresses();
      for (const address of (await run.file.owned()).flatMap((some) => [...some]))
        assert.ok(held.has(address), 'no block that is referred to is missing');
    }
    assert.deepEqual(store.droppedTwice, []);
  }
});

test('changes made while a commit is under way belong to the next, and a failed commit loses neither changes nor drops', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = seeded(seed + 2000);
    let fail = false;
    const store = new MemoryBlockStore({ fate: () => (fail ? 'failed' : 'normal') });
    const run = new Run(store, seed);
    for (let i = 0; i < 40; i++) {
      for (let j = 0; j < 3; j++) await run.mutate();
      const commit: ExtentCommit = await run.file.map.prepareCommit();
      const committed = [...run.model];
      const puts = run.file.take();
      for (let j = 0; j < 3; j++) await run.mutate();
      fail = random() < 0.4;
      await run.file.run(commit, puts);
      await run.check();
      if (!fail && random() < 0.3) {
        await run.file.reopen();
        run.model = committed;
        await run.check();
      }
      fail = false;
    }
    await run.file.commit();
    await run.file.commit();
    await run.file.reopen();
    await run.check();
    await checkBlocks(run);
    assert.deepEqual(store.droppedTwice, []);
  }
});
