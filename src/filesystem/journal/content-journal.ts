import { commitOver } from './commit-over.ts';
import {
  type ContentBlock,
  type ContentEntry,
  contentSlots,
  decodeContentBlock,
  encodeContentBlock,
  entryCost,
  maxContentBytes,
  maxContentEntries,
  type Stamp,
} from './content-journal-codec.ts';
import { ContentRing } from './content-ring.ts';
import { newestBlock } from './content-search.ts';
import type { VolumeContext } from '../context.ts';
import type { EarlyAnswer } from '../file-system.ts';
import { isReadLater, unlessLost, versionsOf } from '../failure.ts';
import { lostInUse, type LostBlock } from './lost-blocks.ts';
import { inParallel } from '../parallel.ts';
import type { Inode } from '../inodes/inode.ts';
import { callsBytes } from '../inodes/inode-calls.ts';

/** Slots in use from which on files are written out without waiting for the timer. */
export const hurrySlots: number = contentSlots / 2;
/** Versions of slots that are read ahead of their first use. */
const learnAhead = 8;
/** A slot that is out of reach is looked at so often, in ms, while there is need of it. */
const lookMs = 1000;
const parallelReads = 64;

/** A place in the journal: everything before it that concerns a file is in the file as it is now. */
export interface JournalMark {
  readonly stamp: Stamp;
  readonly position: number;
}

interface Request {
  readonly inode: Inode;
  readonly small: boolean;
  readonly answer: EarlyAnswer | undefined;
  readonly resolve: (taken: boolean) => void;
  readonly reject: (error: unknown) => void;
}

export interface ContentJournalEvents {
  /** Everything of the inode is durable; it need not be in its place yet. */
  readonly onSynced: (inode: Inode) => void;
  /** The ring fills: files should be written out. */
  readonly onFilling: () => void;
}

/**
 * Makes a little content durable with one small write: what an fsync finds unsynced goes, bytes and attributes, into one block of a ring of
 * named blocks. The blocks of the file, its extents and its record follow in the background, many changes at once. Each record says up to
 * where it covers the journal ({@link Stamp}), so that a mount after a crash applies just what is missing.
 *
 * One block is on its way at a time; fsyncs that arrive meanwhile, of whatever files, share the next one.
 */
export class ContentJournal {
  readonly #context: VolumeContext;
  readonly #events: ContentJournalEvents;
  readonly #ring: ContentRing;
  /** Where the blocks are that files still need, or what a mount has still to do with one; `count`: of the newest, in this session. */
  readonly #needed = new Map<object, { oldest: number; count: number }>();
  /** Files that need the block that is on its way no longer; undefined: none is. */
  #coveredMeanwhile: Set<object> | undefined;
  #requests: Request[] = [];
  #running = false;
  #position = 0;
  #tail = 0;
  /** Blocks of this session, those that failed included. */
  #count = 0;
  /** The next slot was out of reach. */
  #lacking = false;
  /** By the monotonic clock: not before then it is looked whether it is back. */
  #lookAtMs = -Infinity;

  constructor(context: VolumeContext, events: ContentJournalEvents) {
    this.#context = context;
    this.#events = events;
    this.#ring = new ContentRing(context);
  }

  /** Slots that a crash would need. */
  get used(): number {
    return this.#position - this.#tail;
  }

  /** It has what is nowhere else. */
  get isNeeded(): boolean {
    return this.#needed.size > 0;
  }

  /** For whoever is about to write an inode into its place, as it is in memory now. */
  mark(): JournalMark {
    return { stamp: { session: this.#context.session, count: this.#count }, position: this.#position };
  }

  /**
   * Makes what was done to a regular file durable. False: that is not for the journal (too much, a hole, an extended attribute,
   * no room, the next block is out of reach), the inode is to be committed. @throws InfinitError; then it is committed the next time.
   * @param small one whose content lies in its record as well: the record cannot be written.
   * @param answer is sent with the block, where that can be; then this resolves to true.
   */
  sync(inode: Inode, small = false, answer?: EarlyAnswer): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#requests.push({ inode, small, answer, resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  /** A record that was cut at `mark` is durable. */
  covered(inode: Inode, mark: JournalMark): void {
    if (mark.stamp.count === this.#count) this.#coveredMeanwhile?.add(inode);
    const needed = this.#needed.get(inode);
    if (needed === undefined) return;
    const { oldest } = needed;
    // Not by position: the mark may have been taken while the newest was on its way. What was journaled since the cut may be what the record has, and is not written a second time.
    if (needed.count <= mark.stamp.count || !inode.dirty) this.#needed.delete(inode);
    else needed.oldest = Math.max(oldest, mark.position);
    if (oldest === this.#tail) this.#moveTail();
  }

  /** The inode has what it was needed for, or its removal is durable: before, a crash leaves the file, which must have all that was synced. */
  forget(inode: object): void {
    this.#coveredMeanwhile?.add(inode);
    const needed = this.#needed.get(inode);
    this.#needed.delete(inode);
    if (needed?.oldest === this.#tail) this.#moveTail();
  }

  /** Nothing goes on in the background. */
  settled(): Promise<void> {
    return this.#ring.settled();
  }

  /** The inode is in memory only as the block at `position` has it; `count`: of this session, 0 for one of an earlier session. */
  needed(inode: object, position: number, count = 0): void {
    const needed = this.#needed.get(inode);
    if (needed === undefined) this.#needed.set(inode, { oldest: position, count });
    else needed.count = count;
    if (position < this.#tail) this.#tail = position;
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      while (this.#requests.length > 0) await this.#commit();
    } finally {
      this.#running = false;
    }
  }

  /** One block, with as many of the requests as it holds. */
  async #commit(): Promise<void> {
    const position = this.#position;
    const free = this.#lacking ? this.#isBack() : this.#ring.isFree(position);
    if (free !== true && !(await free)) {
      for (const { resolve } of this.#requests.splice(0)) resolve(false);
      return;
    }
    const { taken, entries } = this.#take();
    if (taken.length === 0) return;
    const tail = this.#tail;
    const revisions = taken.map(([inode]) => inode.revision);
    const block = this.#ring.slot(position);
    const covered = (this.#coveredMeanwhile = new Set<object>());
    const stamp = { session: this.#context.session, count: ++this.#count };
    let across: boolean;
    try {
      const body = encodeContentBlock({ stamp, position, tail, entries });
      const payload = this.#context.sealer.sealPayload(block.address, this.#context.owner(0), body);
      const early = taken.flatMap(([, requests]) => requests.flatMap(({ answer }) => answer ?? []));
      const options = early.length === 0 ? {} : { tell: early.map(({ bytes }) => bytes) };
      const result = await commitOver(this.#context, [block], () => [{ update: [block.update(payload)] }], undefined, options);
      block.written(versionsOf(result)[0]![0]!);
      if (result.done) for (const [index, sent] of (result.told ?? []).entries()) early[index]!.sent = sent;
      // A commit that was this host's alone is one write in any case.
      across = result.done && result.released !== true;
    } catch (error) {
      block.doubt();
      // Nobody is to hear of it, nor the next ones to wait for it: the file goes into its place instead.
      this.#lacking = isReadLater(error);
      for (const [inode, requests] of taken) {
        inode.content!.unsynced.overflow();
        for (const { resolve, reject } of requests) {
          if (this.#lacking) resolve(false);
          else reject(error);
        }
      }
      return;
    } finally {
      this.#coveredMeanwhile = undefined;
    }
    this.#position++;
    taken.forEach(([inode, requests], index) => {
      if (!covered.has(inode) && inode.dirty) this.needed(inode, position, stamp.count);
      if (!inode.gone) {
        inode.journaledRevision = Math.max(inode.journaledRevision, revisions[index]!);
        if (!inode.content!.exposed) this.#events.onSynced(inode);
      }
      for (const { resolve } of requests) resolve(true);
    });
    if (this.#needed.size === 0) this.#tail = this.#position;
    if (this.used >= hurrySlots) this.#events.onFilling();
    this.#learnAhead();
    if (across) this.#ring.makeReady(this.#position, tail);
  }

  /** Whether the next slot is in reach again, as far as is known; it is looked at in the background. */
  #isBack(): Promise<boolean> {
    const now = this.#context.setup.clock.monotonicMs();
    if (now >= this.#lookAtMs) {
      this.#lookAtMs = Infinity;
      const again = (): void => void (this.#lookAtMs = this.#context.setup.clock.monotonicMs() + lookMs);
      this.#ring
        .slot(this.#position)
        .learn()
        .then(
          () => (this.#lacking = false),
          () => {},
        )
        .finally(again);
    }
    return Promise.resolve(!this.#lacking);
  }

  /** Answers requests that need no block or must not have one; what the next block takes is snapshot here. */
  #take(): { taken: (readonly [Inode, readonly Request[]])[]; entries: ContentEntry[] } {
    const byInode = new Map<Inode, Request[]>();
    const left: Request[] = [];
    const entries: ContentEntry[] = [];
    let bytes = 0;
    for (const request of this.#requests) {
      const { inode } = request;
      const together = byInode.get(inode);
      if (together !== undefined) {
        together.push(request);
        continue;
      }
      const cost = this.#costOf(inode, request.small);
      if (cost === 0) request.resolve(true);
      else if (cost === undefined) request.resolve(false);
      else if (entries.length > 0 && (bytes + cost > maxContentBytes || entries.length >= maxContentEntries)) left.push(request);
      else {
        bytes += cost;
        byInode.set(inode, [request]);
        entries.push(entryOf(inode));
      }
    }
    this.#requests = left;
    return { taken: [...byInode], entries };
  }

  /** Bytes of the inode's entry; 0: nothing is to be written; undefined: not in the journal. */
  #costOf(inode: Inode, small: boolean): number | undefined {
    const { content } = inode;
    if (inode.gone) return 0;
    if (content === undefined || !inode.born || inode.xattrsRevision > inode.writtenRevision) return undefined;
    if (!small && content.small(inode.size)) return undefined;
    const { spans, bytes, tooMuch } = content.unsyncedSize();
    if (tooMuch) return undefined;
    if (spans === 0 && Math.max(inode.writtenRevision, inode.journaledRevision) >= inode.revision) return 0;
    // The last slot stays free: the block before the tail must not be overwritten.
    const cost = entryCost(spans, bytes, callsBytes(inode.calls));
    return this.used >= contentSlots - 1 || cost > maxContentBytes ? undefined : cost;
  }

  #moveTail(): void {
    let tail = this.#position;
    for (const { oldest } of this.#needed.values()) if (oldest < tail) tail = oldest;
    this.#tail = tail;
  }

  /** The versions of slots that an earlier mount wrote are asked for before they are needed. */
  #learnAhead(): void {
    const position = this.#position + learnAhead;
    const block = this.#ring.slot(position);
    if (!block.known && this.#ring.isFree(position) === true) block.learn().catch(() => {});
  }

  /**
   * Finds the newest block and, unless the volume was closed in order, returns it with all before it that were still needed then.
   * @param lost takes those that were given up and may have been in use, as a person wants it; without it that throws `lost`.
   * @param fence makes that block and the one that follows those of this session, see {@link Journal.claim} and {@link Journal.fence}: none of an earlier session comes after what is returned.
   */
  async replay(clean: boolean, fence: boolean, lost?: LostBlock[]): Promise<ContentBlock[]> {
    for (;;) {
      const newest = await this.#newest();
      this.#position = newest === undefined ? 0 : newest.position + 1;
      const from = newest?.tail ?? 0;
      const gone: LostBlock[] = [];
      // One that was given up behind the newest that is left may have been the newest.
      while (!clean && gone.length < contentSlots - 1 && (await unlessLost(this.#read(this.#position))) === 'lost')
        gone.push({ journal: 'contents', position: this.#position++ });
      if (lost === undefined) this.#refuse(gone);
      if (!clean && fence && !((await this.#claim(newest)) && (await this.#fence(from)))) continue;
      this.#tail = this.#position;
      if (clean) return [];
      const blocks: ContentBlock[] = [];
      for (let position = from; newest !== undefined && position < newest.position; position += learnAhead) {
        const some = Array.from({ length: Math.min(learnAhead, newest.position - position) }, (_, index) =>
          unlessLost(this.#fetch(position + index)),
        );
        for (const [index, block] of (await Promise.all(some)).entries()) {
          if (block === 'lost') gone.push({ journal: 'contents', position: position + index });
          else if (block !== undefined) blocks.push(block);
        }
      }
      if (lost === undefined) this.#refuse(gone);
      lost?.push(...gone);
      return newest === undefined ? blocks : [...blocks, newest];
    }
  }

  #refuse([first]: readonly LostBlock[]): void {
    if (first !== undefined) throw lostInUse(this.#context.volumeId, first);
  }

  async #newest(): Promise<ContentBlock | undefined> {
    const first = await unlessLost(this.#fetch(0));
    if (first === 'lost') return this.#newestOfAll();
    if (first === undefined) {
      for (let slot = 0; slot < contentSlots; slot++) this.#ring.found(slot, 0);
      return undefined;
    }
    // Of slots that were read in vain, or late, nothing is kept: this mount may have written them by then.
    return newestBlock(
      first,
      (slot) => this.#read(slot),
      ({ slot, version }) => this.#ring.found(slot, version),
    );
  }

  /** Where the first slot was given up, it does not say which turn of the ring this is. */
  async #newestOfAll(): Promise<ContentBlock | undefined> {
    let newest: ContentBlock | undefined;
    const slots = Array.from({ length: contentSlots - 1 }, (_, index) => index + 1);
    await inParallel(slots, parallelReads, async (slot) => {
      const found = await unlessLost(this.#read(slot));
      if (found === 'lost') return;
      this.#ring.found(slot, found.version);
      if (found.block !== undefined && (newest === undefined || found.block.position > newest.position)) newest = found.block;
    });
    return newest;
  }

  /** False: an earlier session wrote it again. */
  async #claim(newest: ContentBlock | undefined): Promise<boolean> {
    if (newest === undefined) return true;
    const { sealer, store } = this.#context;
    const block = this.#ring.slot(newest.position);
    const stored = await store.fetch(block.address);
    if (stored === undefined) return false;
    const { body } = sealer.openPayload(block.address, stored.payload);
    if (body.length === 0) return false;
    const { stamp } = decodeContentBlock(body);
    if (stamp.session !== newest.stamp.session || stamp.count !== newest.stamp.count) return false;
    const payload = sealer.sealPayload(block.address, this.#context.owner(0), body);
    const result = await store.commit([{ update: [{ address: block.address, expect: stored.version, payload }] }]);
    if (!result.done && result.outcomes[0]?.status === 'conflict') return false;
    block.written(versionsOf(result)[0]![0]!);
    return true;
  }

  /** False: an earlier session was faster. */
  async #fence(tail: number): Promise<boolean> {
    // Nobody writes into a ring that is full.
    if (this.#position - tail >= contentSlots - 1) return true;
    if ((await this.#fetch(this.#position))?.position === this.#position) return false;
    const block = this.#ring.slot(this.#position);
    const stamp = { session: this.#context.session, count: ++this.#count };
    const body = encodeContentBlock({ stamp, position: this.#position, tail, entries: [] });
    const payload = this.#context.sealer.sealPayload(block.address, this.#context.owner(0), body);
    const result = await this.#context.store.commit([{ update: [block.update(payload)] }]);
    if (!result.done && result.outcomes[0]?.status === 'conflict') return false;
    block.written(versionsOf(result)[0]![0]!);
    this.#position++;
    return true;
  }

  async #fetch(position: number): Promise<ContentBlock | undefined> {
    const { block, version } = await this.#read(position);
    this.#ring.found(position, version);
    return block;
  }

  async #read(position: number): Promise<{ readonly block: ContentBlock | undefined; readonly version: number }> {
    const { address } = this.#ring.slot(position);
    const stored = await this.#context.store.fetch(address);
    if (stored === undefined) return { block: undefined, version: 0 };
    const { body } = this.#context.sealer.openPayload(address, stored.payload);
    return { block: body.length === 0 ? undefined : decodeContentBlock(body), version: stored.version };
  }
}

function entryOf(inode: Inode): ContentEntry {
  const { number, mode, uid, gid, size, accessed, modified, changed, calls } = inode;
  return { inode: number, mode, uid, gid, size, accessed, modified, changed, calls, pieces: inode.content!.takeUnsynced() };
}
