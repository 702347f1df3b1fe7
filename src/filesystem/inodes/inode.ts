import type { Content } from '../content/content.ts';
import type { Stamp } from '../journal/content-journal-codec.ts';
import type { Directory } from '../names/directory.ts';
import { type Attributes, type Errno, type FileTime } from '../file-system.ts';
import { laterThan } from './file-time.ts';
import type { InodeCalls } from './inode-calls.ts';
import type { InodeRecord } from './inode-codec.ts';
import { isDirectory, isRegular } from './mode.ts';
import type { BlockVersion } from '../journal/named-block.ts';
import type { JournaledAttributes } from './journaled-attributes.ts';

/** What st_size of a directory shows. */
const directoryBytes = 4096;

/** But for its content. */
type WholeRecord = Omit<InodeRecord, 'inline' | 'extents' | 'allocated' | 'epoch' | 'truncating'>;

/** What is known of an inode whose record is out of reach. */
export interface StandIn {
  /** Its link count and parent, too. */
  readonly linked: boolean;
  /** What the volume's figures count for it. */
  readonly bytes: number;
}

/** One inode in memory: what its record says, changed or not, and what this mount knows beyond. */
export class Inode {
  readonly number: number;
  /** Up to where its record in the store, as loaded, covers the content journal. */
  journaled: Stamp;
  mode: number;
  uid: number;
  gid: number;
  links: number;
  device: number;
  size: number;
  /** Of a directory: the one that holds it. */
  parent: number;
  accessed: FileTime;
  modified: FileTime;
  changed: FileTime;
  target: string | undefined;
  xattrs: Map<string, Uint8Array> | undefined;
  previous: Uint8Array | undefined;
  /** Calls of other hosts that changed it. */
  calls: InodeCalls | undefined;
  /** Of a regular file. */
  content: Content | undefined;
  /** Of a directory. */
  directory: Directory | undefined;

  /** Its block in the store. */
  readonly block: BlockVersion;
  /** The operation that made it is durable; before, its record is written only together with that. */
  born: boolean;
  /** Its record as only the journal has it: its place was out of reach when it was made. */
  unplaced: Uint8Array | undefined;
  /** The link count and parent that the journal has made durable. */
  durableLinks = 0;
  durableParent = 0;
  /** The parent that the operation gave it that made it, and its times then. */
  readonly firstParent: number;
  readonly firstTimes: Readonly<Pick<InodeRecord, 'modified' | 'changed'>>;
  /** Counts changes to the record; the record in the store has those up to `writtenRevision`. */
  revision = 0;
  writtenRevision = 0;
  /** What the journals have of it is as of this revision. */
  journaledRevision = 0;
  /** The last change of an extended attribute: those do not go into the content journal. */
  xattrsRevision = 0;
  /** The last change that such a call made. */
  callsRevision = 0;
  /** Number of the last operation on names that concerns it. */
  lastOperation = 0;
  /** Of a directory: the last operation that changed a name in it. */
  lastNamed = 0;
  /** A commit of the record is under way: the tail of a queue. */
  busy: Promise<void> | undefined;
  /** Open handles. */
  handles = 0;
  /** References the kernel holds. */
  lookups = 0;
  /** Programs of other hosts were told of it by name a moment ago, and may be about to open it. */
  expected = 0;
  /** Without names and references: to be removed. */
  gone = false;
  /** Loaded while the kernel may have open files and references that nobody counted here: see {@link VolumeSetup.resumed} and `kernelOpens`. */
  uncounted = false;
  /** A file, loaded while programs on other hosts may have it open that have not opened it here yet: see {@link VolumeSetup.othersOpened}. */
  awaited = false;
  /** Its record is out of reach: here is what operations on names made of it, for the journal. Nobody finds it until it is read. */
  standIn: StandIn | undefined;
  /** For the cache's second chance. */
  used = true;
  /** Failures of writing out, as Linux's errseq: handles compare their count with this. */
  failures = 0;
  /** Somebody was told of the last one. */
  failureSeen = true;
  failure: Errno = 'EIO';
  /** Told to {@link VolumeSetup.onDirty}. */
  reportedDirty = false;

  constructor(number: number, block: BlockVersion, record: WholeRecord, born: boolean) {
    this.number = number;
    this.journaled = record.journaled;
    this.block = block;
    this.mode = record.mode;
    this.uid = record.uid;
    this.gid = record.gid;
    this.links = record.links;
    this.device = record.device;
    this.size = record.size;
    this.parent = this.firstParent = record.parent;
    this.accessed = record.accessed;
    this.modified = record.modified;
    this.changed = record.changed;
    this.firstTimes = { modified: record.modified, changed: record.changed };
    this.target = record.target;
    this.xattrs = record.xattrs === undefined ? undefined : new Map(record.xattrs);
    this.previous = record.previous;
    this.calls = record.calls;
    this.born = born;
  }

  /** Its record is read. What operations made of the links and the parent of one that stood for itself until then stays. */
  fill(record: WholeRecord): void {
    const { links, parent } = record;
    if (this.standIn !== undefined) this.#take(record);
    if (this.standIn?.linked !== true) {
      this.links = this.durableLinks = links;
      this.parent = this.durableParent = parent;
    } else if (links !== this.durableLinks || parent !== this.durableParent) this.revision++;
    this.standIn = undefined;
  }

  #take(record: WholeRecord): void {
    this.journaled = record.journaled;
    this.mode = record.mode;
    this.uid = record.uid;
    this.gid = record.gid;
    this.device = record.device;
    this.size = record.size;
    this.accessed = record.accessed;
    this.modified = record.modified;
    this.changed = record.changed;
    this.target = record.target;
    this.xattrs = record.xattrs === undefined ? undefined : new Map(record.xattrs);
    this.previous = record.previous;
    this.calls = record.calls;
  }

  /** It changed at `now`; the time is a later one than that of any change before, whatever the clock says: it tells the file's states from each other ({@link FileVersion}). */
  stamp(now: FileTime): void {
    this.changed = laterThan(this.changed, now);
  }

  /** Takes what a journal or the redo log has of it. */
  become({ mode, uid, gid, size, accessed, modified, changed }: JournaledAttributes): void {
    this.mode = mode;
    this.uid = uid;
    this.gid = gid;
    this.size = size;
    this.accessed = accessed;
    this.modified = modified;
    this.changed = changed;
  }

  get isDirectory(): boolean {
    return isDirectory(this.mode);
  }

  get isRegular(): boolean {
    return isRegular(this.mode);
  }

  get dirty(): boolean {
    return this.standIn === undefined && (this.revision !== this.writtenRevision || this.content?.changed === true);
  }

  /** Something of it is neither in the journal nor in its place: a crash would take it. */
  get exposed(): boolean {
    return this.recordExposed || this.content?.exposed === true;
  }

  /** As {@link exposed}, of what is not content. */
  get recordExposed(): boolean {
    return Math.max(this.writtenRevision, this.journaledRevision) < this.revision;
  }

  /** Neither names nor users: nobody can reach it any more. */
  get unused(): boolean {
    return this.links === 0 && this.handles === 0 && this.lookups <= 0 && this.expected === 0 && !this.uncounted && !this.awaited;
  }

  /** It is gone, and so is what was to be written of it; where that is being written, it is no hope for room at least. */
  giveUp(): void {
    if (this.content === undefined) return;
    if (this.busy === undefined) this.content.discard();
    else this.content.late = true;
  }

  /** The kernel gives references back. */
  forget(count: number): void {
    // It gives all back at once when it drops an inode, those of before included. Without a name that is the only reason to give any back.
    if (count > this.lookups || (this.links === 0 && count === this.lookups)) this.uncounted = false;
    this.lookups = Math.max(0, this.lookups - count);
  }

  attributes(): Attributes {
    return {
      inode: this.number,
      mode: this.mode,
      links: this.links,
      uid: this.uid,
      gid: this.gid,
      device: this.device,
      size: this.content === undefined ? (this.isDirectory ? directoryBytes : this.size) : this.size,
      blocks: this.#blocks(),
      accessed: this.accessed,
      modified: this.modified,
      changed: this.changed,
    };
  }

  /** Never 0 where there is content: tar takes a file without blocks for one big hole. */
  #blocks(): number {
    if (this.isDirectory) return directoryBytes / 512;
    if (this.content === undefined) return 0;
    const { content } = this;
    const known = content.durableAllocated;
    if (!content.changed) return Math.ceil(known / 512);
    // What is being written may replace what is there already: no more than the file's size, unless it is kept already.
    return Math.ceil(Math.min(content.allocated, Math.max(known, this.size)) / 512);
  }
}
