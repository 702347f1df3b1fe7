import { type BlockService, type BlockState } from '../../api/index.ts';
import { codeOf, InfinitError } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';

/** A watched block is read so often without a notice of a change, in ms: what makes up for a notice that was lost. */
const rereadMs = 5000;
const readDeadlineMs = 5000;
/** A block is watched for so long after the last who waited for it: clients ask again at once, in ms. */
const lingerMs = 5000;
/** Blocks that programs of this host watch at once. */
const maxWatched = 16_384;
/** With these a watch has no sense, now or later. */
const fatal: readonly string[] = ['denied', 'bad-argument', 'bug'];

/** Has `listener` told when the block may have changed. */
export type FollowBlock = (address: Address, listener: () => void) => Disposable;

/** Blocks that programs wait for. However many wait for one block, it is read once a change. */
export class BlockWatches implements Disposable {
  readonly #blocks: BlockService;
  readonly #follow: FollowBlock;
  readonly #watches = new Map<Address, Watch>();

  constructor(blocks: BlockService, follow: FollowBlock) {
    this.#blocks = blocks;
    this.#follow = follow;
  }

  /** Blocks that are watched now. */
  get size(): number {
    return this.#watches.size;
  }

  /**
   * The block's state as soon as it is another than the known one (version 0: that there is no block); `unchanged` when the time is up.
   * Linearizable: it is never older than what was known.
   * @throws InfinitError `overloaded`, `denied`.
   */
  async wait(address: Address, known: number, deadlineMs: number, signal: AbortSignal): Promise<BlockState | undefined | 'unchanged'> {
    let watch = this.#watches.get(address);
    if (watch === undefined) {
      if (this.#watches.size >= maxWatched) throw new InfinitError('overloaded', `${maxWatched} blocks are watched on this host`);
      watch = new Watch(
        () => this.#blocks.get(address, { deadlineMs: readDeadlineMs }),
        () => this.#watches.delete(address),
      );
      this.#watches.set(address, watch);
      watch.start((listener) => this.#follow(address, listener));
    }
    return watch.wait(known, deadlineMs, signal);
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches.values()) watch[Symbol.dispose]();
  }
}

/** Whenever it was read: a higher version. Of a block that is known not to be there any version may be from before. */
function isNewer(version: number, known: number): boolean {
  return known > 0 && version > known;
}

interface Waiter {
  readonly known: number;
  /** Reads that began before this one of the count may be older than what is known. */
  readonly since: number;
  readonly resolve: (state: BlockState | undefined | 'unchanged') => void;
  readonly reject: (error: unknown) => void;
}

/** One watched block. */
class Watch implements Disposable {
  readonly #read: () => Promise<BlockState | undefined>;
  readonly #onIdle: () => void;
  readonly #waiters = new Set<Waiter>();
  #feed: Disposable | undefined;
  /** What was read last, in which read; undefined: nothing yet. */
  #seen: { readonly state: BlockState | undefined; readonly serial: number } | undefined;
  /** Counts the reads that were begun. */
  #reads = 0;
  #reading = false;
  #stale = false;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(read: () => Promise<BlockState | undefined>, onIdle: () => void) {
    this.#read = read;
    this.#onIdle = onIdle;
  }

  start(follow: (listener: () => void) => Disposable): void {
    this.#feed = follow(() => this.#refresh());
  }

  wait(known: number, deadlineMs: number, signal: AbortSignal): Promise<BlockState | undefined | 'unchanged'> {
    const { promise, resolve, reject } = Promise.withResolvers<BlockState | undefined | 'unchanged'>();
    const waiter: Waiter = { known, since: this.#reads + 1, resolve, reject };
    const version = this.#seen?.state?.version ?? 0;
    // Otherwise it may have been read before what is known: read again.
    if (this.#seen !== undefined && isNewer(version, known)) return Promise.resolve(this.#seen.state);
    const leave = (): void => {
      if (this.#waiters.has(waiter)) this.#settle(waiter, 'unchanged');
    };
    const timer = setTimeout(leave, deadlineMs);
    signal.addEventListener('abort', leave, { once: true });
    this.#waiters.add(waiter);
    // Else it is read when that is due. Nobody who comes puts that off: with many of them it would never be.
    if (this.#seen === undefined || version !== known) this.#refresh();
    if (signal.aborted) leave();
    return promise.finally(() => {
      clearTimeout(timer);
      signal.removeEventListener('abort', leave);
    });
  }

  /** Reads again; a read under way may be older than what it is to show, so another follows it. */
  #refresh(): void {
    if (this.#reading) {
      this.#stale = true;
      return;
    }
    this.#reading = true;
    void this.#readOnce().finally(() => {
      this.#reading = false;
      // It may have ended while the read was under way, and another watch of the block have begun.
      if (this.#ended) return;
      if (this.#stale) {
        this.#stale = false;
        this.#refresh();
      } else this.#schedule();
    });
  }

  async #readOnce(): Promise<void> {
    const serial = ++this.#reads;
    try {
      const state = await this.#read();
      this.#seen = { state, serial };
      const version = state?.version ?? 0;
      for (const waiter of this.#waiters)
        if (isNewer(version, waiter.known) || (waiter.since <= serial && version !== waiter.known)) this.#settle(waiter, state);
    } catch (error) {
      if (!fatal.includes(codeOf(error))) return; // No quorum: the next read may find one.
      for (const waiter of this.#waiters) {
        this.#waiters.delete(waiter);
        waiter.reject(error);
      }
    }
  }

  #settle(waiter: Waiter, state: BlockState | undefined | 'unchanged'): void {
    this.#waiters.delete(waiter);
    waiter.resolve(state);
  }

  /** The next look: at the block, or at whether anybody waits for it still. */
  #schedule(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        if (this.#waiters.size > 0) this.#refresh();
        else this[Symbol.dispose]();
      },
      this.#waiters.size > 0 ? rereadMs : lingerMs,
    );
    this.#timer.unref();
  }

  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#feed?.[Symbol.dispose]();
    for (const waiter of this.#waiters) this.#settle(waiter, 'unchanged');
    this.#onIdle();
  }
}
