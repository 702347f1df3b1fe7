import { type Clock, InfinitError, type Logger } from '../../base/index.ts';
import type { Checkpoint } from './checkpoint.ts';
import { HalfDone, isForRoom, isPassing } from '../failure.ts';
import type { Inode } from '../inodes/inode.ts';
import type { Carried } from './carried.ts';
import type { ContentJournal } from './content-journal.ts';
import type { Journal } from './journal.ts';
import type { JournalInode, JournalName } from './journal-codec.ts';
import { LeavingOut } from './leaving-out.ts';
import type { Batch, OperationLog } from './operation-log.ts';
import type { JournalWrite, RecordCommitter } from './record-committer.ts';
import { batchWithRecords, type RecordsWithin } from './records-within.ts';
import type { RedoLog } from '../redo/redo-log.ts';
import type { ReplacingFiles } from './replacing-files.ts';
import type { Unsettled } from './unsettled.ts';
import type { VolumeUsage } from '../usage.ts';
import type { VolumeState } from './volume-state.ts';

/** Directories that join the commit of an fsync: a record each. */
const maxJoining = 2;

/** After records of new inodes were out of reach the next ones are not tried first for so long, in ms: nobody is to wait for each. */
const withinMs = 10_000;

interface Request {
  readonly through: number;
  /** Inodes to be made durable in the same commit. */
  readonly extras: readonly Inode[];
  extrasDone: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface NameCommitterParts {
  readonly log: OperationLog;
  readonly journal: Journal;
  readonly records: RecordCommitter;
  readonly contents: Pick<ContentJournal, 'forget'>;
  readonly checkpoint: Checkpoint;
  readonly usage: VolumeUsage;
  readonly unsettled: Unsettled;
  readonly redo: RedoLog | undefined;
  readonly replacing: ReplacingFiles;
  readonly state: Pick<VolumeState, 'write' | 'namesLeftOut'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Names in the directory are durable. */
  readonly onNamed: (directory: Inode) => void;
}

/**
 * Takes operations on names from the log into the journal, a batch a commit and one commit at a time. Whoever asks meanwhile joins the
 * next one, so that many fsyncs share a commit. A batch's new inodes, contents and all, are stages before the journal's block: once that
 * is durable everything it names is.
 */
export class NameCommitter {
  readonly #parts: NameCommitterParts;
  readonly #leaving: LeavingOut;
  #requests: Request[] = [];
  #running = false;
  /** The journal's next block may have been written already, by an attempt of which nobody knows how it ended. */
  #doubtful = false;
  /** Until then the records of new inodes go into the journal's block, by the monotonic clock. */
  #withinUntilMs = -Infinity;
  /** The last write of the journal. */
  #written: Promise<unknown> = Promise.resolve();

  constructor(parts: NameCommitterParts) {
    this.#parts = parts;
    this.#leaving = new LeavingOut(parts.journal, parts.state, parts.logger);
  }

  /** All operations up to `through` are durable afterwards, and so are `extras` as they are now. @throws InfinitError; then all is still in the log. */
  flush(through: number, ...extras: readonly Inode[]): Promise<void> {
    const { records, replacing } = this.#parts;
    // Others that ask meanwhile need not wait for it.
    if (extras.some((inode) => replacing.isLate(inode))) return this.flush(through).then(() => records.commit(extras));
    return new Promise((resolve, reject) => {
      this.#requests.push({ through, extras, extrasDone: extras.length === 0, resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  /**
   * Writes anew, behind all that the journal has, what of it is not in its place yet. @param left asked for it when nobody else writes, a block each.
   * @throws InfinitError; then the journal has it where it was.
   */
  carry(left: () => readonly Carried[]): Promise<void> {
    const { journal, redo, log, usage } = this.#parts;
    return this.#alone(async () => {
      await this.#leaving.name();
      for (const carried of left()) {
        const write = async (): Promise<void> => {
          this.#leaving.checkRoom();
          const block = journal.nextBlock();
          const { nextInode, next: sequence } = journal;
          const numbered = redo === undefined ? {} : { numbered: { origin: redo.origin, through: log.durable } };
          await this.#parts.records.commit([], {
            block,
            payload: () => journal.seal({ sequence, nextInode, usage, ...carried, ...numbered }),
            committed: () => journal.advance(nextInode),
            linksOf: () => undefined,
          });
        };
        await write().catch((error: unknown) => this.#leaving.past(error, write));
      }
    });
  }

  /** Nobody else writes the journal meanwhile. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#written.then(work);
    this.#written = done.catch(() => {});
    return done;
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      while (this.#requests.length > 0) {
        try {
          if (this.#parts.clock.monotonicMs() >= this.#withinUntilMs || !(await this.#commitWithin()))
            await this.#commit().catch((error: unknown) => this.#commitElsewhere(error));
          this.#settle();
        } catch (error) {
          const failed = this.#requests;
          this.#requests = [];
          // Of an attempt before this one the names may be durable.
          const told = this.#doubtful ? new HalfDone(error) : error;
          for (const { reject } of failed) reject(told);
        }
      }
    } finally {
      this.#running = false;
    }
  }

  /** Something is out of reach. Where it is the journal's next block, others come after it. @throws InfinitError */
  #commitElsewhere(error: unknown): Promise<void> {
    return this.#leaving
      .past(
        error,
        () => this.#commit(),
        () => this.#leaveOut(),
      )
      .catch((failure: unknown) => this.#commitLess(failure));
  }

  #leaveOut(): Promise<boolean> {
    const { journal } = this.#parts;
    return this.#alone(async () => {
      const { next } = journal;
      const isLeft = await this.#leaving.leaveOut();
      // What an attempt wrote there counts as never written.
      if (journal.next !== next) this.#doubtful = false;
      return isLeft;
    });
  }

  /** While blocks are out of reach those that come soon are looked at in the background. */
  async #explore(): Promise<void> {
    const { journal } = this.#parts;
    // The next one may be on its way.
    const lost = await journal.outOfReach(journal.next + 1);
    await this.#alone(() => Promise.resolve(journal.leaveOut(lost.filter((sequence) => sequence > journal.next))));
  }

  /** Not all of it can be committed. What is not about names, or is but content that can come later, is to hold up no name. @throws InfinitError */
  async #commitLess(error: unknown): Promise<void> {
    if (isPassing(error) && (await this.#commitWithin())) {
      this.#withinUntilMs = this.#parts.clock.monotonicMs() + withinMs;
      return;
    }
    if (isPassing(error) && this.#waitsForContent) return this.#commitFree();
    if (isPassing(error) && (await this.#parts.replacing.letPast([...(this.#parts.log.batch()?.settle ?? [])]))) return this.#commitPast();
    if (!isForRoom(error) && this.#requests.some(({ extrasDone }) => !extrasDone))
      return this.#commit({ most: Infinity }).catch((own: unknown) => {
        if (isPassing(own)) throw own;
        return this.#commitEmpty(() => this.#commitNames());
      });
    if (isPassing(error)) throw error;
    return this.#commitEmpty(() => this.#commitNames()).catch(async (own: unknown) => {
      // The hosts of a new inode's record may be full, and those of the journal not.
      if (!isForRoom(own) || !(await this.#commitWithin())) throw own;
    });
  }

  /** Without files that others were replaced by, and that are out of reach. @throws InfinitError */
  async #commitPast(): Promise<void> {
    await this.#commit({ most: Infinity })
      .catch((error: unknown) => {
        if (isPassing(error) && this.#waitsForContent) return this.#commitFree();
        throw error;
      })
      .catch((error: unknown) => {
        this.#parts.replacing.holdAgain();
        throw error;
      });
  }

  /**
   * The records of new inodes go into the journal's block, and into their places later, as what is late does: one that is out of reach is to hold up nobody else. False: there are no
   * new inodes, or this fails as well.
   */
  async #commitWithin(): Promise<boolean> {
    const { log, records, unsettled } = this.#parts;
    try {
      await this.#makeRoom();
      const found = batchWithRecords(log, records, this.#free);
      if (found !== undefined && !unsettled.hasRoom(found.within.size)) return false;
      if (found !== undefined) await this.#write([], found.batch, false, found.within);
      return found !== undefined;
    } catch {
      return false;
    }
  }

  /** Names that can do without content, and new files without theirs. */
  #commitFree(): Promise<void> {
    return this.#commitEmpty(() => this.#commit({ most: this.#free, empty: true }));
  }

  /** Operations that depend on no content which is not durable. */
  get #free(): number {
    const { log, replacing } = this.#parts;
    return log.before((inode) => replacing.holds(inode));
  }

  /** What comes empty may have a name already, and be all that there is of it: that is undone before. */
  async #commitEmpty(commit: () => Promise<void>): Promise<void> {
    if (this.#doubtful)
      await this.#write([], { through: this.#parts.log.durable, count: 0, names: new Map(), links: new Map(), settle: new Set(), calls: [] });
    return commit();
  }

  /** Contents of new files, which can come later, are part of what comes next. */
  get #waitsForContent(): boolean {
    const free = this.#free;
    const fresh = free === 0 ? [] : [...(this.#parts.log.batch(free)?.links ?? [])];
    return fresh.some(([inode, { gone }]) => !inode.born && !gone && inode.content?.changed === true);
  }

  /**
   * There is no room for all, or some is damaged. Names go on without contents: a removal among them makes room, and nothing that does not fit is to hold up what does.
   * Files that are made so are empty until their contents can be written.
   */
  async #commitNames(): Promise<void> {
    const free = this.#free;
    if (free > 0) return this.#commit({ most: free, empty: true });
    // What replaces a file comes with its content, if that alone fits. If it does not: the file that is replaced makes room.
    await this.#commit({ most: 1 }).catch((error: unknown) => {
      if (isPassing(error)) throw error;
      return this.#commitEmpty(() => this.#commit({ most: 1, empty: true }));
    });
  }

  /** @param part Operations of the batch at the most, then without what else was asked for; `empty`: and without contents. */
  async #commit(part?: { readonly most: number; readonly empty?: boolean }): Promise<void> {
    const { log, records, replacing } = this.#parts;
    const batch = log.batch(part?.most);
    const through = batch?.through ?? log.durable;
    const joined =
      part === undefined
        ? this.#requests.filter(
            ({ extras, extrasDone }) => !extrasDone && extras.every(({ born, lastOperation }) => born || lastOperation <= through),
          )
        : [];
    const extras = joined.flatMap((request) => request.extras);
    if (batch === undefined) {
      const failed = await records.commitEach(extras);
      for (const request of joined) {
        const refused = request.extras.find((inode) => failed.has(inode));
        if (refused !== undefined) this.#refuse(request, failed.get(refused));
      }
    } else {
      await this.#makeRoom();
      const fresh = [...batch.links].filter(([inode, { gone }]) => !inode.born && !gone).map(([inode]) => inode);
      const settled = part?.empty === true ? [] : [...batch.settle].filter((inode) => replacing.holds(inode));
      // A file may be removed by now though the batch still makes it: its record must not be skipped as useless.
      await this.#write([...fresh, ...settled, ...extras, ...joining(batch, extras)], batch, part?.empty);
    }
    for (const request of joined) request.extrasDone = true;
  }

  async #makeRoom(): Promise<void> {
    const { journal, checkpoint } = this.#parts;
    if (journal.hasRoom) return;
    await checkpoint.ended();
    if (!journal.hasRoom) await checkpoint.run();
    if (!journal.hasRoom) throw new InfinitError('overloaded', 'the journal is full and the checkpoint makes no room');
  }

  /** Writes the batch into the journal's next block, and before that these inodes. */
  async #write(inodes: readonly Inode[], batch: Batch, empty = false, within?: RecordsWithin): Promise<void> {
    const { journal, records } = this.#parts;
    const linksOf: JournalWrite['linksOf'] = (inode) => {
      const change = batch.links.get(inode);
      return change === undefined ? undefined : { links: inode.durableLinks + change.delta, parent: change.parent };
    };
    const [payload, committed] = [() => this.#seal(batch, within), () => this.#committed(batch, within)];
    const doubted = (): void => void (this.#doubtful = true);
    await this.#alone(async () => {
      await this.#leaving.name();
      await records.commit(inodes, { block: journal.nextBlock(), payload, committed, doubted, linksOf, empty });
    });
    this.#doubtful = false;
    if (journal.isUnexplored) void this.#explore();
  }

  #refuse(request: Request, error: unknown): void {
    this.#requests = this.#requests.filter((other) => other !== request);
    request.reject(error);
  }

  #settle(): void {
    const { durable } = this.#parts.log;
    const open: Request[] = [];
    for (const request of this.#requests) {
      if (request.extrasDone && request.through <= durable) request.resolve();
      else open.push(request);
    }
    this.#requests = open;
  }

  #seal(batch: Batch, within: RecordsWithin | undefined): Uint8Array {
    const { journal, usage, unsettled, redo } = this.#parts;
    const names: JournalName[] = [];
    for (const [directory, changes] of batch.names)
      for (const { name, dentry } of changes.values())
        names.push({ directory: directory.number, name, inode: dentry?.inode ?? 0, type: dentry?.type ?? 0 });
    const inodes: JournalInode[] = [];
    for (const [inode, { delta, parent, gone }] of batch.links) {
      // Made and removed within the batch: nothing of it was ever written.
      if (gone && !inode.born && inode.block.absent) continue;
      const bytes = gone && inode.born ? unsettled.countedOf(inode) : 0;
      const kept = within?.get(inode);
      const record = kept === undefined ? {} : { record: kept.record };
      inodes.push({ number: inode.number, links: inode.durableLinks + delta, parent, gone, made: !inode.born, bytes, ...record });
    }
    const block = { sequence: journal.next, nextInode: highWater(batch, journal.nextInode), usage, names, inodes };
    return journal.seal({ ...block, ...(redo === undefined ? {} : { numbered: { origin: redo.origin, through: batch.through } }) }, batch.calls);
  }

  #committed(batch: Batch, within: RecordsWithin | undefined): void {
    const { log, journal, contents, checkpoint, unsettled, usage, redo, onNamed } = this.#parts;
    const sequence = journal.next;
    journal.advance(highWater(batch, journal.nextInode));
    log.committed(batch);
    journal.calls.committed(batch.calls);
    if (redo !== undefined) redo.durable = batch.through;
    for (const [directory, changes] of batch.names) {
      directory.directory!.overlay.stage(changes.values());
      checkpoint.names(directory);
      onNamed(directory);
    }
    for (const [inode, { delta, parent, gone }] of batch.links) {
      const isExposed = inode.recordExposed;
      inode.durableLinks += delta;
      inode.durableParent = parent;
      if (!inode.born && !gone) usage.settle(inode.content?.accounted ?? 0, 1);
      else if (inode.born && gone) {
        usage.settle(-unsettled.countedOf(inode), -1);
        unsettled.removed(inode.number);
      }
      if (gone) {
        inode.giveUp();
        contents.forget(inode);
        checkpoint.gone(inode);
      } else if (inode.born) {
        // Its record still has the old link count. The journal has the new one: a crash takes nothing of that.
        inode.revision++;
        if (!isExposed) inode.journaledRevision = inode.revision;
        checkpoint.touched(inode, sequence);
      }
      const kept = within?.get(inode);
      if (kept !== undefined) {
        inode.unplaced = kept.record;
        inode.journaledRevision = Math.max(inode.journaledRevision, kept.revision);
        // An attempt before may have written all that there is of it: it is written again, so that it is certain what is there.
        if (inode.revision === inode.writtenRevision) inode.journaledRevision = ++inode.revision;
        checkpoint.touched(inode, sequence);
        // An attempt that failed may have written it all the same.
        if (!inode.block.known) unsettled.doubt(inode);
      }
      inode.born = true;
      checkpoint.orphan(inode, inode.durableLinks === 0 && !gone);
    }
  }
}

/** Who makes a new file durable will ask for its directory next, as databases do: together they are one commit instead of two. */
function joining(batch: Batch, extras: readonly Inode[]): Inode[] {
  if (batch.names.size > maxJoining || extras.every(({ born }) => born)) return [];
  return [...batch.names.keys()].filter(({ born, gone, dirty }) => born && !gone && dirty);
}

/** The first number that no operation up to this batch has given to a new inode. */
function highWater(batch: Batch, before: number): number {
  let next = before;
  for (const inode of batch.links.keys()) if (inode.number >= next) next = inode.number + 1;
  return next;
}
