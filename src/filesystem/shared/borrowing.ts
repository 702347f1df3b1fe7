import { type Clock, codeOf, InfinitError } from '../../base/index.ts';
import { BlockCache } from '../content/block-cache.ts';
import { VolumeContext } from '../context.ts';
import { DirtyBudget } from '../content/dirty-budget.ts';
import { ExtentNodeCache } from '../extents/index.ts';
import { FileClock } from '../inodes/file-clock.ts';
import { errnoOf } from '../failure.ts';
import { type AttributeChanges, type Attributes, FileSystemError, type FileTime, type MaybePromise } from '../file-system.ts';
import { maxFileBytes } from '../files.ts';
import { laterThan } from '../inodes/file-time.ts';
import { BlockPutter } from './block-putter.ts';
import { Borrowed, type Workshop } from './borrowed.ts';
import type { Lent } from './calls.ts';
import type { GuestCache } from './guest-cache.ts';
import { type GuestStore, Moved } from './backing.ts';
import type { HolderLink } from './holder-link.ts';
import { coversAll, type Patch, patch } from './patches.ts';
import { LeftWrites } from './left-writes.ts';
import { Saying, type SayingEvents } from './saying.ts';
import type { Unsaid, UnsaidMemory } from './unsaid-memory.ts';

/** What programs wrote and the host that serves the volume has not answered, in bytes: above it writers wait. */
const maxUnsaidBytes = 32 * 1024 * 1024;
/** Above so many times that they are refused: nothing can be said at present. */
const refuseFactor = 2;
/** So much of a file is said without waiting for more. */
const sayBytes = 8 * 1024 * 1024;
/** After a file was not lent it is not asked for again for so long, in ms. */
const refusedMs = 100;
/** Files of which that is remembered. */
const maxRefused = 1024;
/** After so many reads at the host that serves the volume, with no write between them, a file is given back: then it can be read from the store. */
const maxReads = 8;
const privileges = 0o6000;

export interface BorrowingEvents extends SayingEvents {
  /** Something was written, and answered, that is not durable. */
  readonly onDirty: (inode: number) => void;
  /** Before anything is written to the file. @throws FileSystemError where a program has lost a lock and does not know it. */
  readonly requireLocks: (inode: number) => void;
  /** As of {@link LeftWrites}. */
  readonly requireOwn: (inode: number) => void;
  /** As {@link onLost}, of what a process before this one was told to write. */
  readonly onLeftLost: (inode: number, error: FileSystemError) => void;
}

/**
 * Files that a guest has for itself while its programs write them. Writes are answered from memory; the blocks of what is written go into the store from here, and the host that serves the volume
 * is told where they lie: when a file is synced or closed, when that host asks, and now and then.
 */
export class Borrowing {
  readonly #holder: HolderLink;
  readonly #cache: GuestCache;
  readonly #events: BorrowingEvents;
  readonly #clock: Clock;
  readonly #times: FileClock;
  readonly #budget = new DirtyBudget(maxUnsaidBytes);
  /** No more than a host lends at a time: see {@link Loans}. */
  readonly #files = new Map<number, Borrowed>();
  readonly #saying: Saying;
  /** Outlives this process. */
  readonly #memory: UnsaidMemory | undefined;
  /** What the process before this one had not said. */
  readonly left: LeftWrites;
  readonly #asking = new Map<number, Promise<void>>();
  readonly #refused = new Map<number, number>();
  #workshop: (Workshop & { readonly generation: number }) | undefined;
  /** The host of this generation does not let what it lent be read. */
  #withoutReads: number | undefined;
  #last: FileTime = { seconds: 0, nanoseconds: 0 };

  constructor(holder: HolderLink, cache: GuestCache, events: BorrowingEvents, clock: Clock, unsaid?: Unsaid) {
    this.#memory = unsaid?.memory;
    this.left = new LeftWrites(unsaid?.left ?? [], { onSaid: events.onClean, requireOwn: events.requireOwn, onLost: events.onLeftLost });
    this.#holder = holder;
    this.#cache = cache;
    this.#events = events;
    this.#clock = clock;
    this.#times = new FileClock(clock);
    this.#saying = new Saying(holder, this.#files, (file) => this.#good(file.inode) === file, this.#budget, events);
    cache.onLent = (lent) => this.#begin(lent);
  }

  get isEmpty(): boolean {
    return this.#files.size === 0 && this.left.isEmpty;
  }

  /** Files that are borrowed. */
  get size(): number {
    return this.#files.size;
  }

  /** What was written to them and is not said, in bytes. */
  get unsaidBytes(): number {
    return this.#budget.bytes;
  }

  /** Whether the file was borrowed and not given back yet. */
  has(inode: number): boolean {
    return this.#files.has(inode) || this.left.has(inode);
  }

  /** Which loan the file is this host's by, at this moment; undefined: it is not. */
  loanOf(inode: number): string | undefined {
    return this.#good(inode)?.loan;
  }

  /** undefined: there is room for more; otherwise a promise for the moment when there is, or when nothing can be said at present. */
  wait(): Promise<void> | undefined {
    return this.#budget.wait();
  }

  /** For whoever is about to write: as {@link wait}, once more write at once than there is memory for, though nothing is amiss. */
  overfull(): Promise<void> | undefined {
    const isOver = this.#budget.pressing > refuseFactor * maxUnsaidBytes && this.#saying.failure === undefined;
    return isOver ? this.#budget.wait() : undefined;
  }

  /** Of a file that is this host's for now: it has no extended attributes. */
  attributes(inode: number): Attributes | undefined {
    return this.#good(inode)?.attributes;
  }

  /**
   * @param offset undefined: behind what is there. What is written there waits for no room, so that it is answered in the turn in which it is done, see {@link wait}.
   * @param request the kernel's number of it.
   * @param within what lies beyond the end of the file is left out, and counts as written.
   * @returns undefined where it is to be written elsewhere.
   */
  write(inode: number, offset: number | undefined, all: Uint8Array, request = 0, within = false): MaybePromise<number> | undefined {
    const file = this.#good(inode);
    if (file === undefined) return undefined;
    this.#events.requireLocks(inode);
    const at = offset ?? file.attributes.size;
    const data = within ? all.subarray(0, Math.max(0, file.attributes.size - at)) : all;
    if (at + data.length > maxFileBytes) throw new FileSystemError('EFBIG');
    if (data.length === 0) return all.length;
    if (this.#budget.pressing > refuseFactor * maxUnsaidBytes)
      throw new FileSystemError(errnoOf(this.#saying.failure), 'what was written before cannot be stored, and memory is full of it');
    const { dirty } = file;
    file.write(at, data, this.#now(file), offset === undefined ? request : 0);
    this.#dirty(file, dirty);
    if (this.#budget.pressing > maxUnsaidBytes) this.#saying.all();
    else if (file.waiting >= sayBytes) this.#saying.inBackground(file);
    if (offset === undefined) return all.length;
    return this.#budget.wait()?.then(() => all.length) ?? all.length;
  }

  /** Whether what is read, too, may be borrowed: it is read here then. */
  get mayRead(): boolean {
    return this.#withoutReads !== this.#holder.generation;
  }

  /** Bytes of a file that is this host's for now, good for this turn where they come at once; undefined: they are to be read elsewhere. */
  read(inode: number, offset: number, length: number): MaybePromise<readonly Uint8Array[] | undefined> {
    const file = this.#good(inode);
    if (file === undefined || !this.mayRead) return undefined;
    const end = Math.min(offset + length, file.attributes.size);
    if (offset >= end) return [];
    const patches = file.patchesIn(offset, end);
    if (patches === undefined) return undefined;
    if (!coversAll(patches, offset, end)) return file.reads < maxReads ? this.#readThere(file, offset, end, patches) : undefined;
    const bytes = Buffer.alloc(end - offset);
    patch(bytes, offset, patches);
    return [bytes];
  }

  /** What was not answered when the question left may not be in what the host that serves the volume has: it goes over it, and under it what that is told meanwhile. */
  async #readThere(file: Borrowed, offset: number, end: number, before: readonly Patch[]): Promise<readonly Uint8Array[] | undefined> {
    const { generation, inode, loan } = file;
    file.reads++;
    // Pieces may be written over in place, and then they are newer: as any that is written meanwhile may be.
    let base: Uint8Array | undefined;
    try {
      base = await this.#holder.callIn<Uint8Array | undefined>(generation, 'readLent', [inode, loan, offset, end - offset]);
    } catch (error) {
      // So says one of an earlier version.
      if (codeOf(error) === 'bad-argument') this.#withoutReads = generation;
      else if (!(error instanceof Moved)) throw error;
    }
    const now = base === undefined || this.#good(inode) !== file ? undefined : file.patchesIn(offset, end);
    if (base === undefined || now === undefined) return undefined;
    const bytes = Buffer.alloc(end - offset);
    bytes.set(base);
    patch(bytes, offset, before);
    patch(bytes, offset, now);
    return [bytes];
  }

  /** undefined: it is to be changed elsewhere. */
  change(inode: number, changes: AttributeChanges): Attributes | undefined {
    const file = this.#good(inode);
    if (file === undefined || changes.size !== undefined || ((changes.mode ?? 0) & privileges) !== 0) return undefined;
    const { dirty } = file;
    file.change(changes, this.#now(file));
    this.#dirty(file, dirty);
    return file.attributes;
  }

  /** Whether it makes sense to ask for the file. */
  mayBorrow(inode: number): boolean {
    const { backing } = this.#holder;
    if (backing?.kind !== 'remote' || backing.writes === undefined || !this.#cache.isOn) return false;
    const until = this.#refused.get(inode);
    if (until === undefined) return true;
    if (until > this.#clock.monotonicMs()) return false;
    this.#refused.delete(inode);
    return true;
  }

  /** Asks for the file; once however many want it. */
  borrow(inode: number): Promise<void> {
    let asking = this.#asking.get(inode);
    if (asking === undefined) {
      asking = this.#borrow(inode).finally(() => this.#asking.delete(inode));
      this.#asking.set(inode, asking);
    }
    return asking;
  }

  async #borrow(inode: number): Promise<void> {
    await this.#holder.callIn(this.#holder.generation, 'borrow', [inode]).catch((error: unknown) => {
      // Whoever wants to write hears what there is to hear.
      if (!(error instanceof Moved) && !(error instanceof FileSystemError) && !(error instanceof InfinitError)) throw error;
    });
    if (this.#files.has(inode)) return;
    if (this.#refused.size >= maxRefused) this.#refused.clear();
    this.#refused.set(inode, this.#clock.monotonicMs() + refusedMs);
  }

  /** Writes the file here if it may, or undefined: it is to be written elsewhere. `data` must not change meanwhile. */
  async writeLater(
    inode: number,
    offset: number | undefined,
    data: Uint8Array,
    asks: boolean,
    request: number,
    within: boolean,
  ): Promise<number | undefined> {
    await this.settle(inode);
    if (asks && this.mayBorrow(inode)) await this.borrow(inode);
    for (let room = this.overfull(); room !== undefined; room = this.overfull()) await room;
    return this.write(inode, offset, data, request, within);
  }

  /** All that was done to the file here is durable afterwards, or {@link BorrowingEvents.onLost lost}. True: the host that serves the volume has heard of something. @throws InfinitError */
  async sync(inode: number): Promise<boolean> {
    await this.left.settle(inode);
    const file = this.#files.get(inode);
    if (file === undefined) return false;
    await (this.#good(inode) === undefined ? this.settle(inode) : isHeard(this.#saying.say(file, false)));
    return file.said;
  }

  /** As {@link sync}, and the file is given back; undefined: it is not here. */
  settle(inode: number): Promise<boolean> | undefined {
    const left = this.left.settle(inode);
    if (left !== undefined) return left.then(() => false);
    const file = this.#files.get(inode);
    return file && isHeard(this.#saying.giveBack(file)).then(() => file.said);
  }

  /** Once the file is not this host's for itself. */
  shared<T>(inode: number, then: () => MaybePromise<T>): MaybePromise<T> {
    return this.settle(inode)?.then(then) ?? then();
  }

  /** As {@link shared}, for what is asked by name: of the files that are known to be meant, and of any that a host which served the volume before this one had lent. This one cannot ask for those, and would take what was written to them for older than what it does next. */
  sharedByName<T>(inodes: readonly (number | undefined)[], then: () => MaybePromise<T>): MaybePromise<T> {
    if (this.isEmpty) return then();
    const waits = [...this.#earlier(), ...inodes].flatMap((inode) => (inode === undefined ? [] : (this.settle(inode) ?? [])));
    return waits.length === 0 ? then() : Promise.all(waits).then(then);
  }

  /** As {@link sync}, of all files. @throws InfinitError */
  async syncAll(): Promise<void> {
    await this.#settleLeft();
    await Promise.all([...this.#files.values()].map(async ({ inode, dirty }) => (dirty ? this.sync(inode) : false)));
  }

  /** As {@link settle}, of all files. @throws InfinitError */
  async settleAll(): Promise<void> {
    await this.#settleLeft();
    await Promise.all([...this.#files.keys()].map(async (inode) => this.settle(inode)));
  }

  /** Files that a host which served the volume before this one had lent. */
  #earlier(): number[] {
    return [...this.#files.values()].flatMap(({ inode, generation }) => (generation === this.#holder.generation ? [] : inode));
  }

  async #settleLeft(): Promise<void> {
    await Promise.all([...this.left.inodes()].map(async (inode) => this.left.settle(inode)));
  }

  close(): void {
    this.#saying.close();
  }

  #good(inode: number): Borrowed | undefined {
    const file = this.#files.get(inode);
    if (file === undefined || file.closing || file.spent) return undefined;
    return file.generation === this.#holder.generation && file.grant === this.#cache.grantId ? file : undefined;
  }

  #begin(lent: Lent): void {
    const { attributes, xattrs } = lent.image;
    const { backing, generation } = this.#holder;
    const grant = this.#cache.grantId;
    if (backing?.kind !== 'remote' || backing.writes === undefined || grant === undefined || this.has(attributes.inode)) return;
    // A write would take those away.
    if ((attributes.mode & privileges) !== 0 || xattrs === undefined || xattrs.length > 0) return;
    this.#files.set(attributes.inode, new Borrowed(lent, this.#workshopFor(lent, backing.writes, generation), generation, grant, this.#memory));
  }

  /** Numbers of blocks come with a loan, and last for many. */
  #workshopFor({ session, sequence, sequences }: Lent, { store, sealer, volumeId, logger }: GuestStore, generation: number): Workshop {
    const known = this.#workshop;
    if (known?.generation === generation && known.context.session === session && known.context.sequence < known.lastSequence - sequences / 2)
      return known;
    const context = new VolumeContext({ store, sealer, volumeId, session, firstSequence: sequence, clock: this.#clock, logger });
    const putter = new BlockPutter(context);
    const services = {
      context,
      cache: new BlockCache(context),
      nodes: new ExtentNodeCache(),
      writer: putter,
      budget: this.#budget,
      onScattered: () => {},
      mark: () => ({ stamp: { session, count: 0 }, position: 0 }),
    };
    this.#workshop = { context, putter, services, generation, lastSequence: sequence + sequences };
    return this.#workshop;
  }

  /** What is noted as unsaid is in the memory that outlives this process by then, or it would be taken for lost. */
  #dirty(file: Borrowed, before: boolean): void {
    if (!before) this.#events.onDirty(file.inode);
    this.#saying.wake();
  }

  /** Later than any time before, by this host's clock and by the file's. */
  #now({ attributes }: Borrowed): FileTime {
    this.#last = laterThan(attributes.changed, laterThan(this.#last, this.#times.now()));
    return this.#last;
  }
}

/** What was lost programs hear of in their own time. */
async function isHeard(said: Promise<void>): Promise<void> {
  try {
    await said;
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
  }
}
