import { type Logger, messageOf } from '../../base/index.ts';
import { type Carried, carriedBlocks } from './carried.ts';
import type { NameChange, NameOverlay } from '../names/name-overlay.ts';
import { inParallel } from '../parallel.ts';
import type { Directory } from '../names/directory.ts';
import type { Inode } from '../inodes/inode.ts';
import type { InodeRemover } from '../inodes/inode-remover.ts';
import type { InodeTable } from '../inodes/inode-table.ts';
import { type Journal, journalSlots, reservedSlots } from './journal.ts';
import type { Orphans } from '../removal/orphans.ts';
import type { RecordCommitter } from './record-committer.ts';
import type { UnreadInodes } from './unread-inodes.ts';
import type { VolumeState } from './volume-state.ts';
import type { Change, Key } from '../../tree/index.ts';

/** Directories whose trees are written at once, and inodes whose records go into one commit. */
const parallelTrees = 8;
const recordsPerCommit = 64;
/** One that cannot be written keeps no other; so many are the store's own trouble, and not waited for one after the other. */
const maxFailures = 8;
/** From so many names on that cannot be written a directory takes no more changes: there is not room for any number of them in the journal. */
const maxStuckNames = 1024;
/** Names that a tree is told of at once, and how often at the same time. */
const namesPerApply = 128;
const parallelApplies = 4;

export interface CheckpointParts {
  readonly journal: Journal;
  readonly records: RecordCommitter;
  readonly remover: InodeRemover;
  readonly orphans: Orphans;
  readonly state: VolumeState;
  /** {@link NameCommitter.carry} */
  readonly carry: (left: () => readonly Carried[]) => Promise<void>;
  readonly unread: () => Pick<UnreadInodes, 'size' | 'failure' | 'carried' | 'retry'>;
  readonly table: Pick<InodeTable, 'load' | 'peek'>;
  /** Takes an inode of which more than its links is to be written. */
  readonly write: (inode: Inode) => void;
  readonly logger: Logger;
}

/**
 * Brings what the journal has made durable to its place: names into the directories' trees, link counts into records, removed inodes out
 * of the store. Then the journal's blocks up to there are free again. Every step may be repeated, so a crash anywhere only means that
 * the next mount does it once more.
 */
export class Checkpoint {
  readonly #parts: CheckpointParts;
  readonly #directories = new Set<Inode>();
  /** With the journal block that touched it last. */
  readonly #touched = new Map<Inode, number>();
  readonly #gone = new Set<Inode>();
  /** What was tried in vain, and why: not tried again by a {@link run}. */
  readonly #stuck = new Map<Inode, unknown>();
  /** Why the list of inodes without a name could not be written; undefined: it is not known to lack any. */
  #unlisted: unknown;
  /** Blocks of the journal that have nothing but what was left by the last run. */
  #carried = { from: 0, until: 0 };
  #running: Promise<void> | undefined;
  #retrying: Promise<void> | undefined;

  constructor(parts: CheckpointParts) {
    this.#parts = parts;
  }

  /** The inode is part of what the next checkpoint has to do. */
  pins(inode: Inode): boolean {
    return this.#directories.has(inode) || this.#touched.has(inode) || this.#gone.has(inode);
  }

  /** Nothing is to be done but what was tried in vain. */
  get idle(): boolean {
    const { journal } = this.#parts;
    const { from, until } = this.#carried;
    if (journal.used > 0 && (!this.isStuck || journal.tail < from || journal.next > until)) return false;
    const isStuck = (inode: Inode): boolean => this.#stuck.has(inode);
    return [this.#directories, this.#touched.keys(), this.#gone].every((inodes) => [...inodes].every(isStuck));
  }

  /** It takes something out of the store. */
  get removes(): boolean {
    return [...this.#gone].some((inode) => !this.#stuck.has(inode));
  }

  /** Something was tried in vain. */
  get isStuck(): boolean {
    return this.#stuck.size > 0 || this.#unlisted !== undefined || this.#parts.unread().size > 0;
  }

  /** Why names in a directory may not change: those that did cannot be written, and there are many of them. */
  refusalOf(directory: Inode): unknown {
    return directory.directory!.overlay.size < maxStuckNames ? undefined : this.#stuck.get(directory);
  }

  names(directory: Inode): void {
    this.#directories.add(directory);
  }

  touched(inode: Inode, sequence: number): void {
    this.#touched.set(inode, sequence);
  }

  gone(inode: Inode): void {
    this.#gone.add(inode);
  }

  /** One that stands for itself, since its record cannot be read: that is tried by {@link retry}. */
  standsIn(inode: Inode, failure: unknown): void {
    this.#stuck.set(inode, failure);
  }

  /** There is no such inode: nothing is to be done with it. */
  absent(inode: Inode): void {
    for (const known of [this.#directories, this.#touched, this.#gone, this.#stuck]) known.delete(inode);
  }

  orphan(inode: Inode, is: boolean): void {
    this.#parts.orphans.set(inode.number, is);
  }

  /**
   * All that is durable in the journal at the call is in its place afterwards, or stuck: what cannot be brought there keeps nothing else, and is written into the journal anew until {@link retry} brings it.
   * @throws InfinitError where the journal has no room for that, or nothing can be written; what was not done is done by the next run.
   */
  run(): Promise<void> {
    return this.#inTurn(() => this.#once());
  }

  /** Tries once more what is stuck. It takes no turn: what hangs must not hold up the others. */
  async retry(): Promise<void> {
    if (this.#retrying !== undefined) return this.#retrying;
    const stuck = [...this.#stuck.keys()];
    const { journal, unread } = this.#parts;
    this.#retrying = Promise.all([this.#attempt(stuck, journal.next - 1), unread().retry(), this.#listAgain()]).then(([failures]) => {
      for (const inode of stuck) {
        const failure = failures.get(inode);
        if (failure === undefined) this.#stuck.delete(inode);
        else this.#stuck.set(inode, failure);
      }
    });
    try {
      await this.#retrying;
    } finally {
      this.#retrying = undefined;
    }
  }

  /** Nobody else writes the list meanwhile: a {@link run} leaves it alone until this is done. */
  async #listAgain(): Promise<void> {
    const { orphans } = this.#parts;
    if (this.#unlisted === undefined) return;
    this.#unlisted = await orphans.apply(orphans.changes()).catch((error: unknown) => error);
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    // One that runs already may have begun too early.
    if (this.#running !== undefined) await this.#running.catch(() => {});
    while (this.#running !== undefined) await this.#running.catch(() => {});
    this.#running = work();
    try {
      await this.#running;
    } finally {
      this.#running = undefined;
    }
  }

  /** The one that runs, if any, has ended, well or not: with it the journal may have room again. */
  async ended(): Promise<void> {
    await this.#running?.catch(() => {});
  }

  async #once(): Promise<void> {
    const { journal, orphans, state } = this.#parts;
    const through = journal.next - 1;
    // What comes of one of them meanwhile is not among what is tried here.
    const { isStuck } = this;
    const orphaned = orphans.changes();
    const known = new Set([...this.#directories, ...this.#touched.keys(), ...this.#gone]);
    const failures = await this.#attempt(
      [...known].filter((inode) => !this.#stuck.has(inode)),
      through,
    );
    if (this.#unlisted === undefined) await this.#list(orphaned);
    if (failures.size > 0 || isStuck || this.#unlisted !== undefined) await this.#carry(through, failures);
    await state.write({ tail: through + 1 });
    journal.trim(through + 1);
  }

  /** A list that is out of reach keeps nothing else: what it lacks is carried on. */
  async #list(orphaned: ReadonlyMap<Key, Change>): Promise<void> {
    const { orphans, logger } = this.#parts;
    await orphans.apply(orphaned).catch((error: unknown) => {
      this.#unlisted = error;
      logger.warn('the list of files without a name cannot be written; the journal keeps what it lacks, and it is tried again', {
        error: messageOf(error),
      });
    });
  }

  /** Where those were that the list lacks. */
  *#lacking(): Iterable<{ readonly number: number; readonly parent: number }> {
    const { orphans, table } = this.#parts;
    if (this.#unlisted !== undefined) for (const number of orphans.unlisted()) yield { number, parent: table.peek(number)?.durableParent ?? 0 };
  }

  /** What is left of the journal up to there goes behind the rest. */
  async #carry(through: number, failures: ReadonlyMap<Inode, unknown>): Promise<void> {
    const { journal, carry, unread, logger } = this.#parts;
    let from = 0;
    await carry(() => {
      const touched = [...this.#touched].filter(([, sequence]) => sequence <= through).map(([inode]) => inode);
      const left = { directories: this.#directories, touched, gone: this.#gone, unlisted: this.#lacking(), unread: unread().carried() };
      const blocks = carriedBlocks(left);
      const [failure = [...this.#stuck.values()][0] ?? this.#unlisted ?? unread().failure] = failures.values();
      if (blocks.length > Math.min(reservedSlots, journalSlots - 1 - journal.used)) throw failure;
      // What touched them stays as it is: a carry that fails half way has to be done again with all of them.
      from = journal.next;
      return blocks;
    });
    this.#carried = { from, until: journal.next };
    for (const [inode, error] of failures) {
      if (!this.#stuck.has(inode))
        logger.warn('what the journal has of an inode cannot be brought to its place; it stays there and is tried again', {
          inode: inode.number,
          error: messageOf(error),
        });
      this.#stuck.set(inode, error);
    }
  }

  /** Brings what there is of these inodes to its place. Returns what failed. */
  async #attempt(all: readonly Inode[], through: number): Promise<ReadonlyMap<Inode, unknown>> {
    const unread = await this.#read(all.filter(({ standIn }) => standIn !== undefined));
    const inodes = unread.size === 0 ? all : all.filter((inode) => !unread.has(inode));
    const failures = new Map([
      ...unread,
      ...(await this.#applyNames(inodes.filter((inode) => this.#directories.has(inode)))),
      ...(await this.#writeLinks(
        inodes.filter((inode) => this.#touched.has(inode)),
        through,
      )),
    ]);
    // What is removed makes room, and waits for nothing else.
    await this.#remove(
      inodes.filter((inode) => this.#gone.has(inode)),
      failures,
    );
    return failures;
  }

  /** What stands for itself can be brought nowhere before its record is read. Returns what failed. */
  async #read(standIns: readonly Inode[]): Promise<ReadonlyMap<Inode, unknown>> {
    const failures = new Map<Inode, unknown>();
    await inParallel(standIns, parallelTrees, async (inode) => {
      if (failures.size >= maxFailures) failures.set(inode, [...failures.values()][0]);
      else await this.#parts.table.load(inode.number).catch((error: unknown) => failures.set(inode, error));
    });
    return failures;
  }

  /** Returns what failed. */
  async #applyNames(directories: readonly Inode[]): Promise<ReadonlyMap<Inode, unknown>> {
    const failures = new Map<Inode, unknown>();
    await inParallel(directories, parallelTrees, async (inode) => {
      if (failures.size >= maxFailures) return;
      if (!inode.gone) await applyNames(inode.directory!).catch((error: unknown) => failures.set(inode, error));
      if (inode.gone || inode.directory!.overlay.staged === 0) this.#directories.delete(inode);
    });
    return failures;
  }

  /** Contents that cannot be written wait; links do not, since all that the journal has waits for them. What waits is no business of the checkpoint any more. Returns what failed. */
  async #writeLinks(touched: readonly Inode[], through: number): Promise<ReadonlyMap<Inode, unknown>> {
    const { records, write } = this.#parts;
    const failures = new Map<Inode, unknown>();
    const dirty = touched.filter((inode) => !inode.gone && inode.dirty);
    for (let at = 0; at < dirty.length; at += recordsPerCommit)
      for (const [inode, reason] of await records.commitEach(dirty.slice(at, at + recordsPerCommit))) {
        if (failures.size >= maxFailures) failures.set(inode, reason);
        else
          await records.relink(inode).then(
            () => !inode.gone && write(inode),
            (error: unknown) => failures.set(inode, error),
          );
      }
    // One that is gone in memory, and not in the journal yet: a crash leaves it, with the links that it has.
    const leaving = touched.filter((one) => one.gone && !this.#gone.has(one));
    await inParallel(leaving, recordsPerCommit, async (inode) => {
      if (failures.size >= maxFailures) failures.set(inode, [...failures.values()][0]);
      else await records.relink(inode).catch((error: unknown) => failures.set(inode, error));
    });
    for (const inode of touched) if (this.#touched.get(inode)! <= through && !failures.has(inode)) this.#touched.delete(inode);
    return failures;
  }

  /** @param failures What failed before of one that is removed now is nobody's trouble: there is nothing left to bring to its place. */
  async #remove(gone: readonly Inode[], failures: Map<Inode, unknown>): Promise<void> {
    const failed = await this.#parts.remover.remove(gone);
    for (const inode of gone) {
      if (failed.has(inode)) failures.set(inode, failed.get(inode));
      else {
        this.absent(inode);
        failures.delete(inode);
      }
    }
  }
}

/** In order of place and some at a time: neighbours meet in the same leaves, and no step holds up the thread for long. */
async function applyNames(directory: Directory): Promise<void> {
  const { overlay } = directory;
  if (overlay.staged === 0) return;
  directory.touchTree();
  await inParallel(stagedParts(overlay), parallelApplies, async (part) => {
    const { failed } = await directory.tree.apply(directory.treeChanges(part));
    for (const [, error] of failed) throw error;
    overlay.applied(part);
  });
}

/** What is staged when its turn comes, each place once: what is staged behind it is left to the next run. */
function* stagedParts(overlay: NameOverlay): Generator<readonly NameChange[]> {
  overlay.ordered();
  for (let after = -Infinity; ;) {
    const { changes, until } = overlay.stagedAfter(after, namesPerApply);
    if (changes.length === 0) return;
    yield changes;
    after = until;
  }
}
