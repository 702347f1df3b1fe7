import { setTimeout as sleep } from 'node:timers/promises';

import { codeOf, messageOf } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';
import type { BlockStore } from '../../store/index.ts';
import { contentSlots } from '../journal/content-journal-codec.ts';
import type { VolumeSetup } from '../context.ts';
import type { VolumeCore } from '../core.ts';
import { isPassing, versionsOf } from '../failure.ts';
import type { Inode } from '../inodes/inode.ts';
import { journalSlots } from '../journal/journal.ts';
import { attempt } from '../miss.ts';
import { mount } from '../mount.ts';
import { rootInode } from '../root-inode.ts';
import { firstPosition } from '../names/name-hash.ts';
import { inParallel } from '../parallel.ts';

/** Names read, and inodes removed, in one step. */
const pageNames = 256;
/** What a step may leave to the rest of the host: it sleeps as long as it worked, and at least this many ms. */
const minPauseMs = 1;
const parallelRemovals = 16;

/** What a purge removed. */
export interface PurgeReport {
  readonly inodes: number;
  /** Bytes of file contents. */
  readonly bytes: number;
}

/**
 * Removes all blocks of a volume that nobody has mounted or ever will: files before the directory that names them, directories before
 * their parents, the volume's own block last. So whatever a crash leaves is still reached from the root, and a second run goes on with
 * it. What cannot be read is left behind (its blocks still say whose they are); what cannot be reached ends the run.
 * @throws InfinitError `unavailable` …, `cancelled`: call it again later.
 */
export async function purgeVolume(setup: VolumeSetup, signal?: AbortSignal): Promise<PurgeReport> {
  let core: VolumeCore;
  try {
    // What is lost of it is no reason to keep the rest.
    core = await mount({ ...setup, lost: [] }, false);
  } catch (error) {
    if (codeOf(error) !== 'not-found') throw error;
    // Never mounted, or all but finished.
    return { inodes: 0, bytes: 0 };
  }
  try {
    return await new Purge(core, signal).run();
  } finally {
    await core.flusher.stop();
  }
}

interface OpenDirectory {
  readonly inode: Inode;
  after: number;
}

class Purge {
  readonly #core: VolumeCore;
  readonly #signal: AbortSignal | undefined;
  /** Could not be removed, and are not tried again. */
  readonly #left = new Set<number>();
  #inodes = 0;
  #bytes = 0;
  #stepBegan = performance.now();

  constructor(core: VolumeCore, signal: AbortSignal | undefined) {
    this.#core = core;
    this.#signal = signal;
  }

  async run(): Promise<PurgeReport> {
    // What the last mount left to do, files without a name among it.
    await this.#core.flusher.settle();
    const { unread } = this.#core;
    // What only the journal knows of would be left for good.
    if (unread.size > 0 && isPassing(unread.failure)) throw unread.failure;
    const root = await this.#load(rootInode);
    // A path of directories, not a recursion: trees may be deep.
    const path: OpenDirectory[] = root?.directory === undefined ? [] : [{ inode: root, after: firstPosition - 1 }];
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const below = await this.#step(top);
      if (below === 'done') path.pop();
      else if (below !== undefined) path.push({ inode: below, after: firstPosition - 1 });
      await this.#pause();
    }
    await this.#removeOwnBlocks();
    return { inodes: this.#inodes, bytes: this.#bytes };
  }

  /** Removes the files of a page of names; a directory among them is gone into first, and the page read again afterwards. */
  async #step(directory: OpenDirectory): Promise<Inode | 'done' | undefined> {
    const { inode, after } = directory;
    // Pages of its names that are lost would keep all the others. What is only told to be may be there again, and names what is to be removed.
    if (after < firstPosition) await this.#readable(inode.number, () => inode.directory!.tree.mend(false));
    const page = await this.#readable(inode.number, () => attempt(() => inode.directory!.list(after, pageNames)));
    const files = new Map<number, Inode>();
    for (const { inode: number } of page?.entries ?? []) {
      const child = await this.#load(number);
      if (child === undefined || child === inode || this.#left.has(number)) continue;
      if (child.isDirectory) return child;
      files.set(number, child);
    }
    await this.#remove([...files.values()]);
    if (page !== undefined && !page.done) {
      directory.after = page.until;
      return undefined;
    }
    await this.#remove([inode]);
    return 'done';
  }

  async #remove(inodes: readonly Inode[]): Promise<void> {
    const bytes = new Map(inodes.map((inode) => [inode, inode.content?.durableAllocated ?? 0]));
    for (const [inode, error] of await this.#core.remover.remove(inodes)) {
      await this.#readable(inode.number, () => Promise.reject(error));
      bytes.delete(inode);
      this.#left.add(inode.number);
    }
    this.#inodes += bytes.size;
    for (const size of bytes.values()) this.#bytes += size;
  }

  #load(number: number): Promise<Inode | undefined> {
    return this.#readable(number, () => this.#core.table.load(number));
  }

  /** What is damaged must not keep all the rest from being deleted. */
  async #readable<T>(number: number, work: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!['damaged', 'not-found', 'wrong-key', 'wrong-version'].includes(codeOf(error))) throw error;
      this.#core.context.logger.warn('a part of a removed volume cannot be read; some of its blocks stay', {
        inode: number,
        error: messageOf(error),
      });
      return undefined;
    }
  }

  async #removeOwnBlocks(): Promise<void> {
    const { context } = this.#core;
    await this.#core.orphans.destroy();
    const slots = Array.from({ length: journalSlots }, (_, slot) => context.address(`journal:${slot}`));
    const contents = Array.from({ length: contentSlots }, (_, slot) => context.address(`content:${slot}`));
    await inParallel([...slots, ...contents, context.address('inodes')], parallelRemovals, (address) => removeBlock(context.store, address));
    await removeBlock(context.store, context.address('volume'));
  }

  async #pause(): Promise<void> {
    this.#signal?.throwIfAborted();
    const worked = performance.now() - this.#stepBegan;
    await sleep(Math.max(minPauseMs, worked));
    this.#stepBegan = performance.now();
  }
}

/** Removes a mutable block, whatever is in it. */
export async function removeBlock(store: BlockStore, address: Address): Promise<void> {
  const block = await store.fetch(address);
  if (block !== undefined) versionsOf(await store.commit([{ update: [{ address, expect: block.version, payload: null }] }]));
}
