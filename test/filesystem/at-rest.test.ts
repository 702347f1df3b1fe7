/** Many things are asked for at once, of few files: whatever met whatever on its way, nothing stays in use. */
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import { FileSystemError, type Volume } from '../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { seeded } from '../suites/seeded.ts';
import { assertRests } from './at-rest.ts';
import { open, root, user } from './harness.ts';

/** So many runs; a long search sets more. */
const seeds = Number(process.env['SEEDS'] ?? 60);
const first = Number(process.env['SEED'] ?? 1);
/** Of a search: an inode whose record was written before the journal had it. */
const found = 1789;
const steps = 150;
const atOnce = 6;
const names = ['a', 'b', 'c', 'd', 'e'];
const lengths = [10, 500, 9000, 70_000, 600_000, 1_100_000];
const smallLengths = 4;
const fates = ['failed', 'full', 'unknown-lost', 'unknown-applied'] as const;
const punchHole = 3;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class Crowd {
  readonly #volume: Volume;
  readonly #chance: () => number;
  readonly #inodes: number[] = [];

  constructor(volume: Volume, chance: () => number) {
    this.#volume = volume;
    this.#chance = chance;
  }

  async run(): Promise<void> {
    const underWay = new Set<Promise<void>>();
    for (let step = 0; step < steps; step++) {
      const done = this.#step().catch((error: unknown) => {
        if (!(error instanceof FileSystemError) && !(error instanceof InfinitError)) throw error;
      });
      const ended = done.finally(() => underWay.delete(ended));
      underWay.add(ended);
      while (underWay.size >= atOnce) await Promise.race(underWay);
      if (this.#chance() < 0.3) await turn();
    }
    await Promise.all(underWay);
  }

  #below(limit: number): number {
    return Math.floor(this.#chance() * limit);
  }

  async #step(): Promise<void> {
    const volume = this.#volume;
    const name = names[this.#below(names.length)]!;
    const file = this.#inodes[this.#below(this.#inodes.length)];
    const offset = this.#below(this.#chance() < 0.3 ? 5_000_000 : 60_000);
    const length = lengths[this.#below(this.#chance() < 0.2 ? lengths.length : smallLengths)]!;
    const what = this.#chance();
    if (what < 0.12 || file === undefined) return this.#make(name, length);
    if (what < 0.17) return volume.unlink(root, name);
    if (what < 0.22) return volume.rename(root, name, root, names[this.#below(names.length)]!, 0);
    if (what < 0.45) return void (await volume.write(file, 0, offset, Buffer.alloc(length, this.#below(256)), false));
    if (what < 0.67) return volume.fsync(file, 0, false);
    if (what < 0.73) return void (await volume.setattr(file, { size: this.#chance() < 0.5 ? 0 : offset }));
    if (what < 0.79) return volume.syncfs();
    if (what < 0.84) return volume.fallocate(file, 0, this.#chance() < 0.5 ? punchHole : 0, offset, length);
    if (what < 0.89) return volume.setxattr(file, `user.${name}`, Buffer.alloc(this.#below(2000)), 0, false);
    if (what < 0.94) return void (await volume.setattr(file, { mode: 0o600 + this.#below(8) }));
    if (what < 0.95) return volume.recall();
    await volume.copyFileRange(file, 0, 0, this.#inodes[this.#below(this.#inodes.length)]!, 0, offset, length);
  }

  async #make(name: string, length: number): Promise<void> {
    const { attributes, handle } = await this.#volume.create(root, name, 0o644, 0, 2, user);
    const { inode } = attributes;
    this.#inodes.push(inode);
    if (this.#chance() < 0.5) await this.#volume.write(inode, handle, 0, Buffer.alloc(length, 1), false);
    await this.#volume.release(inode, handle);
    this.#volume.forget(inode, 1);
  }
}

for (const [what, fails] of [
  ['', 0],
  [', and the store refused some of it', 0.15],
] as const)
  test(`whatever is asked for at once, a volume is at rest when all is synced${what}`, async () => {
    for (const seed of [...Array.from({ length: seeds }, (_, index) => first + index), found]) {
      const chance = seeded(seed);
      let broken = false;
      const store = new MemoryBlockStore({
        random: chance,
        across: chance() < 0.7,
        verify: false,
        delay: () => (chance() < 0.3 ? turn() : undefined),
        fate: () => (broken && chance() < fails ? fates[Math.floor(chance() * fates.length)]! : 'normal'),
      });
      const volume = await open(store);
      broken = true;
      await new Crowd(volume, chance).run();
      broken = false;
      // What failed before is tried again first, and what that leaves with the second.
      for (let time = 0; fails > 0 && time < 2; time++) await volume.recall();
      try {
        await volume.syncfs();
        assertRests(volume, 'sync');
        await volume.recall();
        assertRests(volume, 'recall');
      } catch (error) {
        throw new Error(`SEED=${seed} SEEDS=1`, { cause: error });
      }
      await volume.close();
    }
  });
