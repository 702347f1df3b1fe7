import type { NameChange, NameOverlay } from './name-overlay.ts';
import { inParallel } from './parallel.ts';
import type { Directory } from './directory.ts';
import type { Inode } from './inode.ts';
import type { InodeRemover } from './inode-remover.ts';
import type { Journal } from './journal.ts';
import type { Orphans } from './orphans.ts';
import type { RecordCommitter } from './record-committer.ts';
import type { VolumeState } from './volume-state.ts';

/** Directories whose trees are written at once, and inodes whose records go into one commit. */
const parallelTrees = 8;
const recordsPerCommit = 64;
/** One that cannot be written keeps no other; so many are the store's own trouble, and not waited for one after the other. */
const maxFailures = 8;
/** Names that a tree is told of at once, and how often at the same time. */
const namesPerApply = 128;
const parallelApplies = 4;

export interface CheckpointParts {
  readonly journal: Journal;
  readonly records: RecordCommitter;
  readonly remover: InodeRemover;
  readonly orphans: Orphans;
  readonly state: VolumeState;
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
  #running: Promise<void> | undefined;

  constructor(parts: CheckpointParts) {
    this.#parts = parts;
  }

  /** The inode is part of what the next checkpoint has to do. */
  pins(inode: Inode): boolean {
    return this.#directories.has(inode) || this.#touched.has(inode) || this.#gone.has(inode);
  }

  get idle(): boolean {
    return this.#directories.size === 0 && this.#touched.size === 0 && this.#gone.size === 0 && this.#parts.journal.used === 0;
  }

  /** It takes something out of the store. */
  get removes(): boolean {
    return this.#gone.size > 0;
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

  orphan(inode: Inode, is: boolean): void {
    this.#parts.orphans.set(inode.number, is);
  }

  /** All that is durable in the journal at the call is in its place afterwards. @throws InfinitError; what was not done is done by the next run. */
  async run(): Promise<void> {
    // One that runs already may have begun too early.
    if (this.#running !== undefined) await this.#running.catch(() => {});
    while (this.#running !== undefined) await this.#running.catch(() => {});
    this.#running = this.#once();
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
    const touched = [...this.#touched.keys()];
    const gone = [...this.#gone];
    const orphaned = orphans.changes();
    const failures = [
      ...(await this.#applyNames([...this.#directories])),
      ...(await this.#writeLinks(touched, through)),
      // What is removed makes room, and waits for nothing else.
      ...(await this.#remove(gone)),
    ];
    // What is not done is done by the next run: the journal has it until then.
    if (failures.length > 0) throw failures[0];
    await orphans.apply(orphaned);
    await state.write({ tail: through + 1 });
    journal.trim(through + 1);
  }

  /** Returns what failed. */
  async #applyNames(directories: readonly Inode[]): Promise<unknown[]> {
    const failures: unknown[] = [];
    await inParallel(directories, parallelTrees, async (inode) => {
      if (failures.length >= maxFailures) return;
      if (!inode.gone) await applyNames(inode.directory!).catch((error: unknown) => failures.push(error));
      if (inode.gone || inode.directory!.overlay.staged === 0) this.#directories.delete(inode);
    });
    return failures;
  }

  /** Contents that cannot be written wait; links do not, since all that the journal has waits for them. Returns what failed. */
  async #writeLinks(touched: readonly Inode[], through: number): Promise<unknown[]> {
    const { records } = this.#parts;
    const failures = new Map<Inode, unknown>();
    const dirty = touched.filter((inode) => !inode.gone && inode.dirty);
    for (let at = 0; at < dirty.length; at += recordsPerCommit)
      for (const [inode, reason] of await records.commitEach(dirty.slice(at, at + recordsPerCommit))) {
        if (failures.size >= maxFailures) failures.set(inode, reason);
        else await records.relink(inode).catch((error: unknown) => failures.set(inode, error));
      }
    for (const inode of touched) if (this.#touched.get(inode)! <= through && !failures.has(inode)) this.#touched.delete(inode);
    return [...failures.values()];
  }

  /** Returns what failed. */
  async #remove(gone: readonly Inode[]): Promise<unknown[]> {
    const failed = await this.#parts.remover.remove(gone);
    for (const inode of gone) if (!failed.has(inode)) this.#gone.delete(inode);
    return [...failed.values()];
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
