import { InfinitError, messageOf } from '../base/index.ts';
import type { VolumeCore } from './core.ts';
import { errnoOf, isForRoom, isPassing } from './failure.ts';
import { FileSystemError } from './file-system.ts';
import { Miss } from './miss.ts';
import type { Inode } from './inodes/inode.ts';
import { LateInodes } from './inodes/late-inodes.ts';
import { maxUnwrittenXattrBytes } from './inodes/unwritten-xattrs.ts';
import { carryOver } from './redo/redo-carry.ts';
import { hurrySlots } from './journal/content-journal.ts';
import { checkpointSlots } from './journal/journal.ts';
import type { RedoLog, RedoMark } from './redo/redo-log.ts';

/** Changes reach the store at most this much later unless told otherwise. */
export const defaultFlushDelayMs = 1000;
/** So many operations on names do not wait for the timer. */
const hurryOperations = 1024;
/** So many do not fit into memory: whoever adds one waits. */
export const maxOperations = 32_768;
/** So many while other hosts wait for what is done to names: each of them waits for all that was done before. */
export const sharedOperations = 64;
/** That goes on for so long after one waited, in ms. */
const sharedMs = 1000;
/** Dirty bytes over the budget from which on writers are refused: the store takes nothing. */
const refuseFactor = 2;
/** Records that one background commit writes. */
const recordsPerCommit = 64;
/** Delays between attempts while the store takes nothing: doubled up to this. */
const maxRetryMs = 10_000;

/**
 * Writes out in the background what changed: contents and records, then names, then now and then a checkpoint. Failures stay dirty and are tried again; what fails by itself,
 * by itself ({@link LateInodes}).
 */
export class Flusher {
  readonly #core: VolumeCore;
  readonly #delayMs: number;
  /** What is to be written out, but for what is late. */
  readonly #dirty = new Set<Inode>();
  readonly late: LateInodes;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #retryMs = 0;
  #failure: unknown;
  /** While a checkpoint that failed is not to be tried again, and for how long that was. */
  #resting: NodeJS.Timeout | undefined;
  #restMs = 0;
  /** Until what the checkpoint could not bring to its place is tried again, and for how long that is. */
  #retrying: NodeJS.Timeout | undefined;
  #stuckMs = 0;
  #retried: Promise<void> | undefined;
  /** Other hosts wait for names, by the monotonic clock. */
  #sharedUntilMs = -Infinity;
  #begun = false;
  #stopped = false;

  constructor(core: VolumeCore) {
    this.#core = core;
    this.#delayMs = core.context.options.flushDelayMs ?? defaultFlushDelayMs;
    this.late = new LateInodes(core.context, this.#delayMs, (inode) => this.#writeLate(inode));
  }

  /**
   * The mount is complete. Before, nothing is written out in the background: a record says that it covers all that earlier sessions journaled, which must all
   * be in memory by then.
   */
  begin(): void {
    this.#begun = true;
    if (this.#pending) this.#schedule(this.#delayMs);
    this.retryStuck();
  }

  /** Why nothing can be written out at present; undefined where it could the last time. */
  get failure(): unknown {
    return this.#failure;
  }

  /**
   * For whoever is about to write.
   * @throws FileSystemError where memory is full of what the store does not take; Miss where more write at once than there is memory for, and nothing is amiss.
   */
  checkRoom(): void {
    const { budget } = this.#core;
    const { pressing, late, limit } = budget;
    if (pressing <= limit) return;
    // What lacks room fills its own share and others': what they write now would wait with it.
    if (late > limit && this.late.lacksRoom) throw new FileSystemError('ENOSPC', 'memory is full of what the store has no room for');
    if (pressing <= refuseFactor * limit) return;
    const failure = this.#failure ?? this.late.failure;
    if (failure === undefined) throw new Miss(budget.wait()!);
    throw new FileSystemError(errnoOf(failure), 'the store takes no writes and memory is full of them');
  }

  /** As {@link checkRoom}, for whoever is about to set an extended attribute: what is out of reach for the moment is waited for longer. */
  checkXattrRoom(): void {
    const { bytes } = this.#core.unwrittenXattrs;
    const failure = this.#failure ?? this.late.failure;
    if (failure === undefined || bytes <= (isPassing(failure) ? refuseFactor : 1) * maxUnwrittenXattrBytes) return;
    throw new FileSystemError(errnoOf(failure), 'the store takes no extended attributes and memory is full of them');
  }

  add(inode: Inode): void {
    if (this.late.has(inode)) return;
    this.#dirty.add(inode);
    this.#schedule(this.#delayMs);
  }

  done(inode: Inode): void {
    this.#dirty.delete(inode);
    this.late.delete(inode);
    this.#core.unwrittenXattrs.written(inode);
  }

  /** An inode is to be taken out of the store: what lacks room does not wait for the timer. */
  removing(inode: Inode): void {
    const wanted = this.#lacksRoom;
    this.done(inode);
    if (!wanted) return;
    clearTimeout(this.#resting);
    this.#resting = undefined;
    this.#hurryAnew();
  }

  /** As {@link hurry}, also after a failure: what it came from may be over. */
  #hurryAnew(): void {
    if (this.#running === undefined) this.#retryMs = 0;
    this.hurry();
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

  /** Another host waits for names. */
  awaited(): void {
    this.#sharedUntilMs = this.#core.context.setup.clock.monotonicMs() + sharedMs;
  }

  /** Waits while there are more operations in memory than is good. */
  room(): Promise<void> | undefined {
    const { log, names, context } = this.#core;
    // For a few batches only: who waits has a deadline, and the journal may have to make room first.
    if (log.length >= maxOperations) return names.flush(log.last - maxOperations + hurryOperations);
    if (log.length < sharedOperations || context.setup.clock.monotonicMs() >= this.#sharedUntilMs) return undefined;
    // What fails is said to whoever asked for it.
    return names.flush(log.last - sharedOperations).catch(() => void (this.#sharedUntilMs = -Infinity));
  }

  /** Everything in memory at the call is durable afterwards. @throws InfinitError with the first failure, after everything was tried. */
  async flushAll(): Promise<void> {
    const { redo, held, unread, log } = this.#core;
    // They may be in reach again.
    if (held.size > 0) await unread.retry();
    const through = log.last;
    const mark = redo?.mark();
    const { failed, names } = await this.#write([...this.#dirty, ...this.late], () => false);
    throwFirst(failed);
    if (names !== undefined) throw names;
    if (held.size > 0) throw held.failure;
    if (mark !== undefined) redo!.trim(mark);
    // What names made new is old now.
    throwFirst(await this.#commitRecords([...this.#dirty, ...this.late].filter((inode) => inode.lastOperation <= through)));
  }

  /**
   * As {@link flushAll}, but what the journal has need not be in its place, and what is late or cannot be written out by itself is left for later.
   * @throws InfinitError where nothing can be written out, or names cannot.
   */
  async keepMost(): Promise<void> {
    const { redo } = this.#core;
    const mark = redo?.mark();
    const left = new Set(this.late);
    // Which of those that go together is out of reach is found out later: that takes as long again.
    const { failed, names, lost } = await this.#write([...this.#dirty], isPassing);
    if (lost) throwFirst(failed);
    for (const [inode, error] of failed) {
      // Somebody else may have written it since, or removed it.
      if (!inode.dirty || inode.gone) continue;
      left.add(inode);
      this.#dirty.delete(inode);
      this.late.add(inode, error);
    }
    if (failed.size > 1) this.late.hurry();
    if (names !== undefined) throw names;
    if (mark !== undefined)
      await this.#trim(
        redo!,
        mark,
        [...left].filter(({ dirty, gone }) => dirty && !gone),
      );
  }

  /** @param left inodes that may not be durable as they were at the mark. */
  async #trim(redo: RedoLog, mark: RedoMark, left: readonly Inode[]): Promise<void> {
    if (left.length === 0 && this.#core.held.size === 0) return redo.trim(mark);
    if (redo.whole && !redo.filling) return;
    if (!(await carryOver(this.#core, redo, left, mark))) throw new InfinitError('overloaded', 'more than the redo log holds cannot be written out');
  }

  /** Writes out these, and all names. Returns what failed. `lost`: the store is out of reach. */
  async #write(
    inodes: readonly Inode[],
    together: (error: unknown) => boolean,
  ): Promise<{ readonly failed: ReadonlyMap<Inode, unknown>; readonly names: unknown; readonly lost: boolean }> {
    const { log, names } = this.#core;
    const unborn = inodes.filter(({ born }) => !born).map((inode) => ({ inode, revision: inode.revision }));
    const named = names.flush(log.last).then(
      () => undefined,
      (error: unknown) => error,
    );
    const records = await this.#commitRecords(inodes, together);
    const failure = await named;
    // They may have been written to after the commit that made them had begun, and before this did.
    const again = unborn.filter(({ inode, revision }) => inode.writtenRevision < revision).map(({ inode }) => inode);
    const failed = new Map([...records, ...(await this.#commitRecords(again, together))]);
    return { failed, names: failure, lost: failed.size > recordsPerCommit && failed.size >= inodes.length && [...failed.values()].every(isPassing) };
  }

  /** What it failed with. */
  async #writeLate(inode: Inode): Promise<unknown> {
    const failed = await this.#commitRecords([inode]);
    if (failed.size > 0) this.#letGo();
    if (failed.size === 0) {
      this.late.delete(inode);
      if (inode.dirty && !inode.gone) this.add(inode);
      // It may have been what could not be carried over.
      if (this.#core.redo?.filling === true) this.#hurryAnew();
      else if (this.#pending) this.#schedule(this.#delayMs);
    }
    return failed.get(inode);
  }

  /** What could not be written out by itself may be more than its share: nobody else waits for that. They are refused instead, see {@link checkRoom}. */
  #letGo(): void {
    const { budget } = this.#core;
    if (budget.late > budget.limit) budget.release();
  }

  /** Makes these durable, by the content journal where that takes them. Returns what failed. */
  async keep(inodes: readonly Inode[]): Promise<ReadonlyMap<Inode, unknown>> {
    const { contents } = this.#core;
    const left = inodes.map(async (inode) => (inode.isRegular && (await contents.sync(inode).catch(() => false)) ? [] : [inode]));
    return this.#commitRecords((await Promise.all(left)).flat());
  }

  /** {@link flushAll} and a checkpoint: the store needs no journal to make sense. */
  async settle(): Promise<void> {
    const { checkpoint } = this.#core;
    // First, since a record that can be read now has contents to be written out.
    if (checkpoint.isStuck) await checkpoint.retry();
    await this.flushAll();
    if (!checkpoint.idle) await checkpoint.run();
    if (!this.#core.state.current) await this.#core.state.write({});
  }

  /** No further background work; what is under way is waited for. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#resting);
    clearTimeout(this.#retrying);
    this.#core.unwrittenXattrs.release();
    await Promise.all([this.#running, this.#retried, this.late.stop()]);
  }

  get #lacksRoom(): boolean {
    return this.late.lacksRoom || isForRoom(this.#failure);
  }

  /** There is more to be written out than waits for the timer. */
  get #busy(): boolean {
    const { log, budget, contents, redo, unwrittenXattrs, unread } = this.#core;
    if (redo?.filling === true || unwrittenXattrs.pressing || log.length >= hurryOperations || budget.pressing > budget.limit / 2) return true;
    // What is late may be what keeps the places there.
    return contents.used >= hurrySlots && this.late.size === 0 && !unread.hasContents;
  }

  get #pending(): boolean {
    const { log, checkpoint, compactor, redo, held } = this.#core;
    if (this.#dirty.size > 0 || log.length > 0 || redo?.filling === true) return true;
    // What was done while a flush ran may have become durable with it: another one, which has nothing to write, gives the log's memory back.
    if (redo !== undefined && redo.room.used > 0 && this.late.size === 0 && held.size === 0) return true;
    // What rests comes back by itself.
    return this.#resting === undefined && !(checkpoint.idle && compactor.idle);
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== undefined || !this.#begun || this.#stopped || this.#running !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#running = this.#background().finally(() => {
        this.#running = undefined;
        this.#core.unwrittenXattrs.release();
        if (this.#pending) this.#schedule(this.#retryMs > 0 ? this.#retryMs : this.#busy ? 0 : this.#delayMs);
      });
    }, delayMs);
    this.#timer.unref();
  }

  async #background(): Promise<void> {
    const { log, budget, redo, context } = this.#core;
    const calm = log.length === 0;
    try {
      await this.keepMost();
      // The store is back, for what is late as well.
      if (this.#failure !== undefined) this.late.hurry();
      this.#retryMs = 0;
      this.#failure = undefined;
      this.#letGo();
    } catch (error) {
      this.#failure = error;
      this.#retryMs = Math.min(maxRetryMs, Math.max(this.#delayMs, this.#retryMs * 2));
      context.logger.warn('changes could not be written out; they are kept and tried again', { inMs: this.#retryMs, error: messageOf(error) });
      // Nobody waits for something that may never come: writers are refused instead, see Files.write.
      budget.release();
      redo?.room.release();
    }
    if (this.#failure === undefined || isForRoom(this.#failure)) await this.#settleSome(calm);
  }

  /**
   * Brings what the journal has to its place, in quiet moments, when the journal has grown, and where something finds no room, which may be waiting for what is to be removed. What
   * fails rests for a while and holds up nothing of what is to become durable.
   */
  async #settleSome(calm: boolean): Promise<void> {
    if (this.#resting !== undefined) return;
    const { checkpoint, journal, state, compactor, context } = this.#core;
    const makesRoom = checkpoint.removes && this.#lacksRoom;
    try {
      if (!checkpoint.idle && (calm || makesRoom || journal.used >= checkpointSlots)) {
        await checkpoint.run();
        if (makesRoom) {
          this.#retryMs = 0;
          this.late.hurry();
        }
      } else if (calm && !state.current) await state.write({});
      if (calm) await compactor.run();
      this.#restMs = 0;
    } catch (error) {
      this.#restMs = Math.min(maxRetryMs, Math.max(this.#delayMs, this.#restMs * 2));
      context.logger.warn('what the journal has could not be brought to its place; it stays there', { inMs: this.#restMs, error: messageOf(error) });
      if (this.#stopped) return;
      this.#resting = setTimeout(() => {
        this.#resting = undefined;
        if (this.#pending) this.#schedule(0);
      }, this.#restMs);
      this.#resting.unref();
    } finally {
      this.retryStuck();
    }
  }

  /** What the checkpoint could not bring to its place is tried by itself, ever less often. */
  retryStuck(): void {
    const { checkpoint } = this.#core;
    if (!this.#begun) return;
    if (!checkpoint.isStuck) this.#stuckMs = 0;
    else if (!this.#stopped && this.#retrying === undefined) {
      this.#stuckMs = Math.min(maxRetryMs, Math.max(this.#delayMs, 2 * this.#stuckMs));
      this.#retrying = setTimeout(() => {
        this.#retried = checkpoint.retry().finally(() => {
          this.#retrying = undefined;
          this.retryStuck();
          if (this.#pending) this.#schedule(this.#delayMs);
        });
      }, this.#stuckMs);
      this.#retrying.unref();
    }
  }

  /** Commits inodes that exist in the store already, some at a time. Returns what failed. */
  async #commitRecords(inodes: readonly Inode[], together: (error: unknown) => boolean = () => false): Promise<ReadonlyMap<Inode, unknown>> {
    const due = inodes.filter((inode) => inode.born && !inode.gone);
    const failures = new Map<Inode, unknown>();
    for (let at = 0; at < due.length; at += recordsPerCommit) {
      const group = due.slice(at, at + recordsPerCommit).filter((inode) => inode.dirty && !inode.gone);
      const failed = await this.#core.records.commitEach(group, together);
      for (const [inode, error] of failed) {
        failures.set(inode, error);
        // What is only out of reach now is kept and tried again, by the next fsync too: nothing is lost that a program had to hear of.
        if (!isPassing(error) && inode.content?.exposed === true) this.#core.failed(inode, errnoOf(error));
      }
      for (const inode of group) if (!inode.dirty) this.#dirty.delete(inode);
      // The store is out of reach: there is no need to wait for that with each of them.
      if (failures.size < at + recordsPerCommit || failures.size <= recordsPerCommit || ![...failures.values()].every(isPassing)) continue;
      const [error] = failures.values();
      for (const inode of due.slice(at + recordsPerCommit)) failures.set(inode, error);
      break;
    }
    return failures;
  }
}

function throwFirst(failures: ReadonlyMap<Inode, unknown>): void {
  for (const error of failures.values()) throw error;
}
