import { InfinitError } from '../base/index.ts';
import { NodeCache } from '../tree/index.ts';
import { BlockCache } from './content/block-cache.ts';
import { BlockWriter } from './content/block-writer.ts';
import { Checkpoint } from './journal/checkpoint.ts';
import { Compactor } from './content/compactor.ts';
import type { ContentServices } from './content/content.ts';
import { ContentJournal } from './journal/content-journal.ts';
import type { VolumeContext } from './context.ts';
import { DirtyBudget } from './content/dirty-budget.ts';
import { ExtentNodeCache } from './extents/index.ts';
import { type Errno, FileSystemError, type KernelCache } from './file-system.ts';
import { Flusher } from './flusher.ts';
import { HeldChanges } from './redo/held-changes.ts';
import { InodeNumbers } from './inodes/inode-numbers.ts';
import { InodeRemover } from './inodes/inode-remover.ts';
import { InodeTable } from './inodes/inode-table.ts';
import type { Inode } from './inodes/inode.ts';
import { UnwrittenXattrs } from './inodes/unwritten-xattrs.ts';
import { withCall } from './inodes/inode-calls.ts';
import { Journal } from './journal/journal.ts';
import { Leaving } from './removal/leaving.ts';
import { currentAsker, Miss, takeCall } from './miss.ts';
import { NameCommitter } from './journal/name-committer.ts';
import { NameHash } from './names/name-hash.ts';
import { type Operation, OperationLog } from './journal/operation-log.ts';
import { Orphans } from './removal/orphans.ts';
import { RecordCommitter } from './journal/record-committer.ts';
import type { RedoLog } from './redo/redo-log.ts';
import { ReplacingFiles } from './journal/replacing-files.ts';
import { UnreadInodes } from './journal/unread-inodes.ts';
import { Unsettled } from './journal/unsettled.ts';
import { VolumeUsage } from './usage.ts';
import type { StateRecord, VolumeState } from './journal/volume-state.ts';

/** Tree nodes kept in memory, at 8 KiB each. */
const cachedTreeNodes = 4096;

/** Asked before a change. The promise resolves when nobody has it in memory any more; undefined: so it is now. */
export interface Claims {
  /** Attributes and content. @param owner has the inode lent, and goes on having it. @param by the host that changes it; undefined: this one. */
  inode(number: number, owner?: string, by?: string): Promise<void> | undefined;
  /** The names in a directory. @param asker who knows of this change by itself. */
  names(number: number, asker: string | undefined): Promise<void> | undefined;
  /** Asked before it is told what an inode is. The promise resolves when no other host changes it in its own memory; undefined: so it is now. */
  shown(number: number): Promise<void> | undefined;
  /** Whether another host changes the inode in its own memory. */
  isLent(number: number): boolean;
  /**
   * Asked before a lock of an inode is taken or looked at. The promise resolves when no other host grants its locks by itself; undefined: none does.
   * @param waits false: it rejects with EAGAIN where that host is not heard.
   */
  locks(number: number, waits: boolean): Promise<void> | undefined;
}

/** A volume's parts, wired together: what operations work on. */
export class VolumeCore {
  readonly context: VolumeContext;
  readonly table: InodeTable;
  readonly log = new OperationLog();
  readonly numbers: InodeNumbers;
  readonly usage: VolumeUsage;
  readonly unsettled: Unsettled;
  readonly budget: DirtyBudget;
  readonly blocks: BlockCache;
  readonly orphans: Orphans;
  readonly state: VolumeState;
  readonly journal: Journal;
  readonly contents: ContentJournal;
  readonly checkpoint: Checkpoint;
  readonly remover: InodeRemover;
  readonly records: RecordCommitter;
  readonly names: NameCommitter;
  readonly compactor: Compactor;
  readonly flusher: Flusher;
  readonly unread: UnreadInodes;
  readonly held: HeldChanges;
  /** What a process that dies leaves to the next one, where there is memory for it. */
  readonly redo: RedoLog | undefined;
  readonly unwrittenXattrs = new UnwrittenXattrs();
  readonly leaving = new Leaving();
  /** Of inodes below this number, any may have lost something with the process before. */
  lostBelow = 0;
  /** Other hosts that may have something of the volume in memory. */
  claims: Claims | undefined;
  /** The kernel that is served here, where one is. */
  kernel: KernelCache | undefined;
  #abandoned = false;

  constructor(context: VolumeContext, state: VolumeState, found: StateRecord, redo: RedoLog | undefined) {
    this.context = context;
    this.state = state;
    this.redo = redo;
    this.usage = new VolumeUsage(found);
    this.unsettled = new Unsettled(this.usage, () => state.write({}));
    const trees = new NodeCache(cachedTreeNodes);
    this.budget = new DirtyBudget(context.options.maxDirtyBytes);
    this.blocks = new BlockCache(context);
    this.held = new HeldChanges(this.blocks);
    const services: ContentServices = {
      context,
      cache: this.blocks,
      nodes: new ExtentNodeCache(),
      writer: new BlockWriter(context),
      budget: this.budget,
      onScattered: (inode) => this.compactor.scattered(inode),
      mark: () => this.contents.mark(),
    };
    this.table = new InodeTable(context, services, trees, new NameHash(context.volumeId), (inode) => this.#pinned(inode));
    this.numbers = new InodeNumbers(context);
    this.orphans = new Orphans(context, trees);
    this.journal = new Journal(context, found);
    this.contents = new ContentJournal(context, { onSynced: (inode) => this.#synced(inode), onFilling: () => this.flusher.hurry() });
    const { log, journal, usage, unsettled } = this;
    this.records = new RecordCommitter(context, usage, unsettled, this.contents, (inode) => this.#clean(inode));
    this.remover = new InodeRemover(context, this.records, this.table);
    const { records, remover, orphans } = this;
    const carry: NameCommitter['carry'] = (left) => this.names.carry(left);
    const unread = (): UnreadInodes => this.unread;
    const { table } = this;
    const write = (inode: Inode): void => this.flusher.add(inode);
    this.checkpoint = new Checkpoint({ journal, records, remover, orphans, state, carry, unread, table, write, logger: context.logger });
    const { checkpoint } = this;
    const replacing = new ReplacingFiles({ records, contents: this.contents, redo, late: () => this.flusher.late });
    const onNamed = (directory: Inode): void => this.#synced(directory);
    this.names = new NameCommitter({
      log,
      journal,
      records,
      contents: this.contents,
      checkpoint,
      usage,
      unsettled,
      redo,
      replacing,
      state,
      clock: context.setup.clock,
      logger: context.logger,
      onNamed,
    });
    this.compactor = new Compactor(this);
    this.flusher = new Flusher(this);
    this.unread = new UnreadInodes(this);
    state.bind(usage, unsettled, journal);
    this.budget.onHalf = () => this.flusher.hurry();
    if (redo !== undefined) redo.onFilling = () => this.flusher.hurry();
  }

  /**
   * To be called once an operation has checked all, and before it changes anything: who else has these inodes, or the names of these directories, in memory gives them up first.
   * @throws Miss, and what `Asking.requireIn` does
   */
  claim(inodes: readonly Inode[], directories: readonly Inode[] = [], owner?: string): void {
    const { claims } = this;
    if (claims === undefined) return;
    const { asker, peer, requireIn } = currentAsker() ?? {};
    requireIn?.();
    const waits = [...inodes.map(({ number }) => claims.inode(number, owner, peer)), ...directories.map(({ number }) => claims.names(number, asker))];
    const pending = waits.filter((wait) => wait !== undefined);
    if (pending.length > 0) throw new Miss(Promise.all(pending));
  }

  /** An inode of which attributes are about to change. @throws Miss, FileSystemError EROFS */
  toChange(number: number): Inode {
    this.writable();
    const inode = this.table.get(number);
    this.claim([inode]);
    return inode;
  }

  /** The inode, as it is: another host that changes it in its own memory says first what it did. @throws Miss */
  shown(inode: Inode): Inode {
    const wait = this.claims?.shown(inode.number);
    if (wait !== undefined) throw new Miss(wait);
    return inode;
  }

  isLent(inode: Inode): boolean {
    return this.claims?.isLent(inode.number) === true;
  }

  /** The record changed, or the content. */
  touch(inode: Inode): void {
    inode.revision++;
    this.redo?.attributes(inode);
    this.dirtied(inode);
  }

  /** The content changed. */
  dirtied(inode: Inode): void {
    this.flusher.add(inode);
    if (inode.content?.exposed === true) this.#unsynced(inode);
  }

  /** The inode is about to be touched: a call that does it, and must not be made twice, goes with its state from now on. */
  include(inode: Inode): void {
    const call = takeCall();
    if (call === undefined) return;
    inode.calls = withCall(inode.calls, call, this.journal.calls.memory);
    inode.callsRevision = inode.revision + 1;
  }

  /** An operation on names was done in memory. */
  record(operation: Omit<Operation, 'sequence'>): void {
    // An inode that goes meanwhile is no call's doing.
    const call = operation.names.length === 0 && operation.gone !== undefined ? undefined : takeCall();
    const recorded = this.log.append(
      call === undefined
        ? operation
        : { ...operation, call: { asker: call.asker, number: call.number, inode: operation.links[0]?.inode.number ?? 0 } },
    );
    if (recorded.call !== undefined) this.journal.calls.did(recorded.call);
    this.redo?.operation(recorded);
    for (const { directory } of operation.names) {
      directory.lastNamed = this.log.last;
      this.#unsynced(directory);
    }
    this.flusher.namesChanged();
  }

  /** Nobody can reach the inode any more, now or after the operation in progress: its removal becomes an operation, unless it comes as part of one. */
  retire(inode: Inode): void {
    this.markGone(inode);
    this.record({ names: [], links: [], gone: inode });
  }

  /** As {@link retire}, where that is so. */
  retireUnused(inode: Inode): void {
    if (inode.unused && !inode.gone && !this.#abandoned && this.context.options.readOnly !== true) this.retire(inode);
  }

  /** An inode without a name of which it is not known whether the kernel has it: it says nothing more of one that it does not have, so it is asked. */
  async askKernel(inode: Inode): Promise<void> {
    if (!inode.uncounted || (await this.kernel?.holds(inode.number)) !== false) return;
    // What it was given since is counted.
    inode.uncounted = false;
    this.retireUnused(inode);
  }

  markGone(inode: Inode): void {
    inode.gone = true;
    this.leaving.gone(inode);
    this.usage.add(-(inode.content?.accounted ?? inode.standIn?.bytes ?? 0), -1);
    // As the operation that removes it goes, what the log has of it does.
    this.held.drop(inode.number);
    this.unsettled.gone(inode.number);
    // What of it was to be written holds room that others wait for. A new one's is for the journal's block that makes it.
    this.flusher.removing(inode);
    if (inode.born) inode.giveUp();
    this.#clean(inode);
  }

  /** Nothing more can become durable; what asks for a change is refused. */
  abandon(): void {
    this.#abandoned = true;
    this.unread.teller.end();
    this.redo?.abandon();
  }

  get abandoned(): boolean {
    return this.#abandoned;
  }

  /** Inodes of which something is not durable: contents, attributes, or names in them. */
  *unsynced(): Iterable<number> {
    const { durable } = this.log;
    for (const inode of this.table.all()) if (!inode.gone && (inode.lastNamed > durable || inode.exposed)) yield inode.number;
    for (const inode of this.table.standIns()) if (!inode.gone && inode.lastNamed > durable) yield inode.number;
    yield* this.held.inodes();
  }

  /** @throws FileSystemError EROFS; InfinitError `closed` after {@link abandon}. */
  writable(): void {
    if (this.#abandoned) throw new InfinitError('closed', 'the volume went to another host');
    if (this.context.options.readOnly === true) throw new FileSystemError('EROFS');
  }

  /** Writing the inode out failed: whoever has it open is told once. */
  failed(inode: Inode, errno: Errno): void {
    inode.failure = errno;
    if (inode.failureSeen) {
      inode.failures++;
      inode.failureSeen = false;
    }
  }

  #clean(inode: Inode): void {
    this.flusher.done(inode);
    this.#synced(inode);
  }

  #unsynced(inode: Inode): void {
    if (inode.reportedDirty || this.#abandoned) return;
    inode.reportedDirty = true;
    this.context.setup.onDirty?.(inode.number);
  }

  #synced(inode: Inode): void {
    if (!inode.reportedDirty || this.#abandoned || inode.lastNamed > this.log.durable || this.held.has(inode.number)) return;
    inode.reportedDirty = false;
    this.context.setup.onClean?.(inode.number);
  }

  #pinned(inode: Inode): boolean {
    return !inode.born || inode.lastOperation > this.log.durable || this.checkpoint.pins(inode);
  }
}
