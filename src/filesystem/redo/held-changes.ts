import { codeOf, InfinitError, messageOf } from '../../base/index.ts';
import type { BlockCache } from '../content/block-cache.ts';
import type { Segment } from '../extents/index.ts';
import type { Content } from '../content/content.ts';
import { isReadLater } from '../failure.ts';
import type { Inode } from '../inodes/inode.ts';
import type { RedoLog } from './redo-log.ts';
import type { RedoChange, RedoStored } from './redo-records.ts';

/** A change to be made again. `stored`: as it lies in the store, unread. `revealed`: the store has it. */
export type Redone = RedoChange | { readonly kind: 'revealed'; readonly inode: number; readonly start: number; readonly end: number };

/** Once the inode's record is durable its block may go, as blocks do that are put together with others: then the store has what was written, or what came of it. */
export async function readBack(blocks: BlockCache, record: RedoStored, content: Content | undefined): Promise<Redone> {
  const { offset, length, address, at } = record;
  const revealed = { kind: 'revealed' as const, inode: record.inode, start: offset, end: offset + length };
  const segments = await segmentsOf(content, offset, length);
  if (segments.some((segment) => segment.address === address)) return revealed;
  try {
    return { kind: 'write', inode: record.inode, offset, data: await blocks.loadPart(address, at, length) };
  } catch (error) {
    if (codeOf(error) === 'not-found') return revealed;
    throw error;
  }
}

/**
 * Likewise, of a file that the log itself makes: all that it has is in the log, and so is known without what it reads. What cannot be read now stays where it is, and whoever reads the file hears of it. No session of
 * before takes it away: see `unreferencedBlocks`.
 */
export async function readMade(blocks: BlockCache, record: RedoStored): Promise<Redone> {
  try {
    return await readBack(blocks, record, undefined);
  } catch (error) {
    if (!isReadLater(error)) throw error;
    return record;
  }
}

async function segmentsOf(content: Content | undefined, offset: number, length: number): Promise<readonly Segment[]> {
  try {
    return (await content?.map?.lookup(offset, length)) ?? [];
  } catch (error) {
    if (codeOf(error) !== 'not-found') throw error;
    // A part of the file's own map is not there: that is this file's trouble, as one that cannot be read is.
    throw new InfinitError('damaged', messageOf(error), { cause: error });
  }
}

/** @param touch the inode has other attributes. */
export function redo(inode: Inode, change: Redone, touch: (inode: Inode) => void): void {
  switch (change.kind) {
    case 'revealed':
      inode.content?.reveal(change.start, change.end);
      break;
    case 'write':
      inode.content?.write(change.offset, change.data);
      break;
    case 'stored':
      inode.content?.adopt(change);
      break;
    case 'punch':
    case 'reserve':
      inode.content?.[change.kind](change.start, change.end);
      break;
    case 'xattrs':
      inode.xattrs = change.xattrs;
      // The record of attributes that follows touches it.
      inode.xattrsRevision = inode.revision + 1;
      break;
    case 'calls':
      inode.calls = change.calls;
      inode.callsRevision = inode.revision + 1;
      break;
    case 'attributes':
      inode.become(change.attributes);
      touch(inode);
      break;
  }
}

/** Logging anew stops for other work after so many bytes. */
const sliceBytes = 1024 * 1024;

interface Held {
  readonly changes: RedoChange[];
  /** What the store had of it was read. */
  ready: readonly Redone[] | undefined;
  failure: unknown;
}

/**
 * What a killed daemon left of inodes whose records, or blocks that were put, are out of reach: made again in the very moment in which they are read, and in the redo log until then, so that it outlives this process as
 * well. There is no more of it than that log had, since nobody can change such an inode.
 */
export class HeldChanges {
  readonly #blocks: BlockCache;
  readonly #held = new Map<number, Held>();
  #bytes = 0;

  constructor(blocks: BlockCache) {
    this.#blocks = blocks;
  }

  /** Of content. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Of how many inodes there is something. */
  get size(): number {
    return this.#held.size;
  }

  has(inode: number): boolean {
    return this.#held.has(inode);
  }

  inodes(): Iterable<number> {
    return this.#held.keys();
  }

  /** Why that of some inode cannot be brought to its place; undefined: there is none. */
  get failure(): unknown {
    const [first] = this.#held.values();
    return first?.failure;
  }

  /** The inode cannot be read. */
  failed(inode: number, failure: unknown): void {
    const held = this.#held.get(inode);
    if (held !== undefined) held.failure = failure;
  }

  /** @param change its bytes may be a view of the log, where they do not stay. */
  hold(inode: number, change: RedoChange): void {
    const own = change.kind === 'write' ? { ...change, data: Uint8Array.from(change.data) } : change;
    if (own.kind === 'write') this.#bytes += own.data.length;
    const held = this.#held.get(inode);
    if (held === undefined) this.#held.set(inode, { changes: [own], ready: undefined, failure: undefined });
    else held.changes.push(own);
  }

  /** Before an inode is told to be read: what it needs of the store to have its changes. undefined: nothing. @throws InfinitError; then it is not read. */
  prepare(inode: number, content: () => Content | undefined): Promise<void> | undefined {
    const held = this.#held.get(inode);
    if (held?.changes.some(({ kind }) => kind === 'stored') !== true) return undefined;
    return (async () => {
      const known = content();
      // One after the other: a change counts as read when all of it is.
      const ready: Redone[] = [];
      for (const change of held.changes) ready.push(change.kind === 'stored' ? await readBack(this.#blocks, change, known) : change);
      held.ready = ready;
    })();
  }

  /** All that there is of it, for the inode itself from now on. In the log as well, behind what a flush that is under way has passed: that does not have it. */
  take(inode: number, log: RedoLog | undefined): readonly Redone[] {
    const held = this.#held.get(inode);
    if (held === undefined) return [];
    if (log !== undefined) for (const change of held.changes) log.again(change);
    this.drop(inode);
    return held.ready ?? held.changes.flatMap((change) => (change.kind === 'stored' ? [] : [change]));
  }

  /** The inode is gone, or lost. */
  drop(inode: number): void {
    for (const change of this.#held.get(inode)?.changes ?? []) if (change.kind === 'write') this.#bytes -= change.data.length;
    this.#held.delete(inode);
  }

  /** Into the log anew, behind the rest, as far as it is held by then. */
  async carry(log: RedoLog): Promise<void> {
    let bytes = 0;
    for (const [inode, held] of this.#held) {
      for (const change of held.changes) {
        if (this.#held.get(inode) !== held) break;
        log.again(change);
        if (change.kind === 'write') bytes += change.data.length;
        if (bytes < sliceBytes) continue;
        bytes = 0;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }
}
