import { messageOf } from '../../base/index.ts';
import type { VolumeContext } from '../context.ts';
import { isForRoom } from '../failure.ts';
import type { Inode } from './inode.ts';

/** So many are tried at once. */
const parallelAttempts = 8;
/** Delays between attempts: doubled up to this. */
const maxRetryMs = 10_000;

/**
 * Inodes that could not be written out when others could: a full or lost host has their blocks, or one of their own is damaged. Each is tried by itself, ever less often, and holds up nothing
 * else; what is in memory of them has a part of the budget to itself, and of the redo log.
 */
export class LateInodes implements Iterable<Inode> {
  readonly #context: VolumeContext;
  readonly #delayMs: number;
  readonly #write: (inode: Inode) => Promise<unknown>;
  readonly #failures = new Map<Inode, unknown>();
  /** Those that lack room. */
  readonly #lacking = new Set<Inode>();
  #retryMs = 0;
  #timer: NodeJS.Timeout | undefined;
  /** To be tried in this round. */
  #due: Inode[] = [];
  readonly #attempts = new Map<Inode, Promise<void>>();
  #stopped = false;
  #waiting: (() => void)[] = [];

  /** @param write writes out what is in memory of an inode, and resolves to what it failed with; where it does not fail it takes the inode out of here. */
  constructor(context: VolumeContext, delayMs: number, write: (inode: Inode) => Promise<unknown>) {
    this.#context = context;
    this.#delayMs = delayMs;
    this.#write = write;
  }

  [Symbol.iterator](): Iterator<Inode> {
    return this.#failures.keys();
  }

  get size(): number {
    return this.#failures.size;
  }

  has(inode: Inode): boolean {
    return this.#failures.has(inode);
  }

  /** What the last attempt failed with. */
  failureOf(inode: Inode): unknown {
    return this.#failures.get(inode);
  }

  /** Of the first of them; undefined: there is none. */
  get failure(): unknown {
    return this.#failures.values().next().value;
  }

  /** One of them lacks nothing but room in the store. */
  get lacksRoom(): boolean {
    return this.#lacking.size > 0;
  }

  add(inode: Inode, failure: unknown): void {
    const isFirst = this.#failures.size === 0;
    if (!this.#failures.has(inode)) this.#retryMs = this.#delayMs;
    this.#failed(inode, failure);
    if (isFirst) this.#log();
    if (inode.content !== undefined) inode.content.late = true;
    this.#schedule(this.#retryMs);
  }

  /** It is written out, or gone. */
  delete(inode: Inode): void {
    if (!this.#failures.delete(inode)) return;
    this.#lacking.delete(inode);
    if (inode.content !== undefined) inode.content.late = false;
    this.release();
  }

  /** They are tried at once: there may be room now. */
  hurry(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#retryMs = this.#delayMs;
    this.#schedule(0);
  }

  /** Until one of them was tried again. */
  wait(): Promise<void> | undefined {
    if (this.#stopped) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Lets everybody go on. */
  release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** No further attempts; those under way are waited for. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.release();
    await Promise.all(this.#attempts.values());
  }

  #schedule(delayMs: number): void {
    if (this.#stopped || this.#timer !== undefined || this.#failures.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#retryMs = Math.min(maxRetryMs, 2 * this.#retryMs);
      this.#log();
      this.#due = [...this.#failures.keys()];
      this.#begin();
      this.#schedule(this.#retryMs);
    }, delayMs);
    this.#timer.unref();
  }

  /** One that takes long holds up no others. */
  #begin(): void {
    while (this.#attempts.size < parallelAttempts && !this.#stopped) {
      const inode = this.#due.shift();
      if (inode === undefined) return;
      if (!this.#failures.has(inode) || this.#attempts.has(inode)) continue;
      const attempt = this.#attempt(inode).finally(() => {
        this.#attempts.delete(inode);
        this.#begin();
      });
      this.#attempts.set(inode, attempt);
    }
  }

  async #attempt(inode: Inode): Promise<void> {
    const failure = await this.#write(inode);
    if (failure !== undefined && this.#failures.has(inode)) this.#failed(inode, failure);
    this.release();
  }

  #failed(inode: Inode, failure: unknown): void {
    this.#failures.set(inode, failure);
    if (isForRoom(failure)) this.#lacking.add(inode);
    else this.#lacking.delete(inode);
  }

  /** One line for all of them. */
  #log(): void {
    const [first] = this.#failures;
    if (first === undefined) return;
    const [{ number }, error] = first;
    const details = { files: this.#failures.size, inode: number, error: messageOf(error) };
    this.#context.logger.warn('what could not be written out by itself is kept and tried again', details);
  }
}
