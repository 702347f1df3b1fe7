import { messageOf } from '../base/index.ts';
import type { VolumeCore } from './core.ts';
import { errnoOf, isPassing } from './failure.ts';
import type { Inode } from './inode.ts';
import { hurrySlots } from './content-journal.ts';
import { checkpointSlots } from './journal.ts';

/** Changes reach the store at most this much later unless told otherwise. */
export const defaultFlushDelayMs = 1000;
/** So many operations on names do not wait for the timer. */
const hurryOperations = 1024;
/** So many do not fit into memory: whoever adds one waits. */
export const maxOperations = 32_768;
/** Records that one background commit writes. */
const recordsPerCommit = 64;
/** Delays between attempts while the store takes nothing: doubled up to this. */
const maxRetryMs = 10_000;

/** Writes out in the background what changed: contents and records, then names, then now and then a checkpoint. Failures stay dirty and are tried again. */
export class Flusher {
  readonly #core: VolumeCore;
  readonly #delayMs: number;
  readonly #dirty = new Set<Inode>();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #retryMs = 0;
  #failure: unknown;
  #begun = false;
  #stopped = false;

  constructor(core: VolumeCore) {
    this.#core = core;
    this.#delayMs = core.context.options.flushDelayMs ?? defaultFlushDelayMs;
  }

  /**
   * The mount is complete. Before, nothing is written out in the background: a record says that it covers all that earlier sessions journaled, which must all
   * be in memory by then.
   */
  begin(): void {
    this.#begun = true;
    if (this.#pending) this.#schedule(this.#delayMs);
  }

  /** Why nothing can be written out at present; undefined where it could the last time. */
  get failure(): unknown {
    return this.#failure;
  }

  add(inode: Inode): void {
    this.#dirty.add(inode);
    this.#schedule(this.#delayMs);
  }

  done(inode: Inode): void {
    this.#dirty.delete(inode);
  }

  namesChanged(): void {
    if (this.#core.log.length >= hurryOperations) this.hurry();
    else this.#schedule(this.#delayMs);
  }

  /** Writes out soon, whatever the timer says. */
  hurry(): void {
    if (this.#retryMs > 0 || this.#running !== undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#schedule(0);
  }

  /** Waits while there are more operations in memory than is good. */
  room(): Promise<void> | undefined {
    if (this.#core.log.length < maxOperations) return undefined;
    // For a few batches only: who waits has a deadline, and the journal may have to make room first.
    return this.#core.names.flush(this.#core.log.last - maxOperations + hurryOperations);
  }

  /** Everything in memory at the call is durable afterwards. @throws InfinitError with the first failure, after everything was tried. */
  async flushAll(): Promise<void> {
    const through = this.#core.log.last;
    await this.#keepAll();
    // What names made new is old now.
    await this.#flushRecords([...this.#dirty].filter((inode) => inode.lastOperation <= through));
  }

  /** As {@link flushAll}, but what the journal has need not be in its place. */
  async #keepAll(): Promise<void> {
    const { log, names, redo } = this.#core;
    const mark = redo?.mark();
    const unborn = [...this.#dirty].filter(({ born }) => !born).map((inode) => ({ inode, revision: inode.revision }));
    await settleAll([this.#flushRecords([...this.#dirty]), names.flush(log.last)]);
    // They may have been written to after the commit that made them had begun, and before this did.
    await this.#flushRecords(unborn.filter(({ inode, revision }) => inode.writtenRevision < revision).map(({ inode }) => inode));
    if (mark !== undefined) redo!.trim(mark);
  }

  /** Makes these durable, by the content journal where that takes them. Returns what failed. */
  async keep(inodes: readonly Inode[]): Promise<ReadonlyMap<Inode, unknown>> {
    const { contents } = this.#core;
    const left = inodes.map(async (inode) => (inode.isRegular && (await contents.sync(inode).catch(() => false)) ? [] : [inode]));
    return this.#commitRecords((await Promise.all(left)).flat());
  }

  /** {@link flushAll} and a checkpoint: the store needs no journal to make sense. */
  async settle(): Promise<void> {
    await this.flushAll();
    if (!this.#core.checkpoint.idle) await this.#core.checkpoint.run();
    if (!this.#core.state.current) await this.#core.state.write({});
  }

  /** No further background work; what is under way is waited for. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  get #pending(): boolean {
    const { log, checkpoint, compactor } = this.#core;
    return this.#dirty.size > 0 || log.length > 0 || !checkpoint.idle || !compactor.idle;
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== undefined || !this.#begun || this.#stopped || this.#running !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#running = this.#background().finally(() => {
        this.#running = undefined;
        const { log, budget, contents, redo } = this.#core;
        const busy = redo?.filling === true || log.length >= hurryOperations || budget.bytes > budget.limit / 2 || contents.used >= hurrySlots;
        if (this.#pending) this.#schedule(this.#retryMs > 0 ? this.#retryMs : busy ? 0 : this.#delayMs);
      });
    }, delayMs);
    this.#timer.unref();
  }

  async #background(): Promise<void> {
    const { log, checkpoint, journal, state, compactor, budget, redo, context } = this.#core;
    const calm = log.length === 0;
    try {
      await this.#keepAll().catch(async (error: unknown) => {
        // The checkpoint takes removed files out of the store: what finds no room may be waiting for just that.
        if (errnoOf(error) === 'ENOSPC' && !checkpoint.idle) await checkpoint.run();
        throw error;
      });
      // In quiet moments, or when the journal has grown.
      if (!checkpoint.idle && (calm || journal.used >= checkpointSlots)) await checkpoint.run();
      else if (calm && !state.current) await state.write({});
      if (calm) await compactor.run();
      this.#retryMs = 0;
      this.#failure = undefined;
    } catch (error) {
      this.#failure = error;
      this.#retryMs = Math.min(maxRetryMs, Math.max(this.#delayMs, this.#retryMs * 2));
      context.logger.warn('changes could not be written out; they are kept and tried again', { inMs: this.#retryMs, error: messageOf(error) });
      // Nobody waits for something that may never come: writers are refused instead, see Files.write.
      budget.release();
      redo?.release();
    }
  }

  /** @throws InfinitError with the first failure, after all were tried. */
  async #flushRecords(inodes: readonly Inode[]): Promise<void> {
    for (const error of (await this.#commitRecords(inodes)).values()) throw error;
  }

  /** Commits inodes that exist in the store already, some at a time. Returns what failed. */
  async #commitRecords(inodes: readonly Inode[]): Promise<ReadonlyMap<Inode, unknown>> {
    const due = inodes.filter((inode) => inode.born && !inode.gone);
    const failures = new Map<Inode, unknown>();
    for (let at = 0; at < due.length; at += recordsPerCommit) {
      const group = due.slice(at, at + recordsPerCommit).filter((inode) => inode.dirty && !inode.gone);
      for (const [inode, error] of await this.#core.records.commitEach(group)) {
        failures.set(inode, error);
        // What is only out of reach now is kept and tried again, by the next fsync too: nothing is lost that a program had to hear of.
        if (!isPassing(error) && inode.content?.exposed === true) this.#core.failed(inode, errnoOf(error));
      }
      for (const inode of group) if (!inode.dirty) this.#dirty.delete(inode);
    }
    return failures;
  }
}

/** Waits for all, then throws the first failure. */
async function settleAll(work: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === 'rejected') throw result.reason;
}
