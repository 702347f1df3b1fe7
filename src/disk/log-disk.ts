import { InfinitError, type Logger, messageOf, silentLogger } from '../base/index.ts';
import { type Address, isAddress } from '../block/index.ts';
import { Ballast, giveBallast } from './ballast.ts';
import { Checkpointer } from './checkpointer.ts';
import { Compactor } from './compactor.ts';
import type { Disk, DiskEntry, DiskOperation, DiskStatus } from './disk.ts';
import { hasValue, type LogPosition } from './entry.ts';
import { type Files, isNoRoom, isPassing, nodeFiles } from './files.ts';
import { Health, type Need } from './health.ts';
import { Housekeeping } from './housekeeping.ts';
import { IndexKeeper } from './index-keeper.ts';
import type { LevelIndex } from './level-index.ts';
import { listBlocks } from './listing.ts';
import { LogWriter, type WriteMeter } from './log-writer.ts';
import { checkOperations, costOf, toRecords } from './operations.ts';
import { RecentTable } from './recent-table.ts';
import { RecordReader } from './record-reader.ts';
import { recordBytes, recordTypes } from './record.ts';
import { recover } from './recovery.ts';
import { loadSegments, Segments } from './segments.ts';
import { metaId, StoreDirectory, unpackMeta } from './store-directory.ts';
import { openIndex, releaseStore } from './store-lock.ts';
import { type NewRecord } from './write-queue.ts';
import { WaitingWrites } from './waiting-writes.ts';

export interface LogDiskOptions {
  /** The most that the store may take; by default what the file system has. */
  readonly capacityBytes?: number;
  /** Kept free for deleting and compacting when all else is full; by default two segments. */
  readonly reserveBytes?: number;
  /** Size of a segment; by default 256 MiB, less on a small disk. */
  readonly segmentBytes?: number;
  /** Limit of compaction while there is room enough. */
  readonly compactionBytesPerSecond?: number;
  /** Records between two checkpoints of the index. */
  readonly checkpointRecords?: number;
  /** Period of the housekeeping: idle checkpoint, free space, compaction. */
  readonly tickMs?: number;
  readonly logger?: Logger;
  /** The file operations; tests give faulty ones. */
  readonly files?: Files;
}

const maxSegmentBytes = 256 * 1024 * 1024;
const minSegmentBytes = 4 * 1024 * 1024;
/** A disk is cut into at least so many segments. */
const minSegments = 128;
/** Records not yet indexed, at the most: beyond that writers wait for the index. */
const maxRecentRecords = 65_536;
/** How long a write waits for compaction to make room before it is refused. */
const reclaimWaitMs = 10_000;

/** One host's store: append-only segments of checksummed records, group commit, an index in LevelDB. docs/on-disk-format.md. */
export class LogDisk implements Disk {
  readonly #options: Required<Omit<LogDiskOptions, 'capacityBytes'>>;
  readonly #directory: StoreDirectory;
  readonly #segments: Segments;
  readonly #recent: RecentTable;
  readonly #index: LevelIndex;
  readonly #health: Health;
  readonly #ballast: Ballast;
  readonly #checkpointer: Checkpointer;
  readonly #reader: RecordReader;
  readonly #writer: LogWriter;
  readonly #compactor: Compactor;
  readonly #keeper: IndexKeeper;
  readonly #housekeeping: Housekeeping;
  readonly #waiting = new WaitingWrites();
  #closing: Promise<void> | undefined;

  private constructor(parts: Parts) {
    this.#options = parts.options;
    this.#directory = parts.directory;
    this.#segments = parts.segments;
    this.#recent = parts.recent;
    this.#index = parts.index;
    this.#health = parts.health;
    this.#ballast = parts.ballast;
    this.#checkpointer = parts.checkpointer;
    this.#reader = parts.reader;
    const { files, segmentBytes, logger, compactionBytesPerSecond } = parts.options;
    this.#writer = new LogWriter({
      ...parts,
      files,
      segmentBytes,
      ...parts.position,
      afterGroup: () => this.#afterGroup(),
      refusal: () => (this.#health.state === 'failed' ? this.#health.failure() : undefined),
      onError: (error) => this.#health.report(error),
      tight: () => this.#health.state === 'full' || this.#health.room('bulk') <= 0,
    });
    this.#keeper = new IndexKeeper({ ...parts, files, rebuild: parts.directory.rebuild, position: () => this.#writer.position() });
    this.#compactor = new Compactor({
      ...parts,
      files,
      segmentBytes,
      bytesPerSecond: compactionBytesPerSecond,
      writer: this.#writer,
      checkpoint: () => this.#keeper.checkpoint(),
      calm: () => this.#housekeeping.isCalm || this.#health.state === 'full',
      logger,
    });
    this.#index.onDamage = (how) => {
      logger.error('the index is damaged: the next start makes it anew', { how });
      void files.replace(parts.directory.rebuild, `${how}\n`).catch(() => {});
    };
    this.#housekeeping = new Housekeeping({ ...parts, keeper: this.#keeper, compactor: this.#compactor, tickMs: parts.options.tickMs });
  }

  /** What was written since the start, and how long it took. */
  get meter(): Readonly<WriteMeter> {
    return this.#writer.meter;
  }

  /**
   * Opens a store, and makes it where there is none.
   * @throws InfinitError `locked` that names the holder's pid, `wrong-version`, `disk-failed`, `disk-full`, `overloaded` where it can be opened later.
   */
  static async open(directory: string, options: LogDiskOptions = {}): Promise<LogDisk> {
    try {
      return await LogDisk.#open(directory, options);
    } catch (error) {
      // Nobody else holds the store: LevelDB had its lock by then.
      if (isNoRoom(error) && (await giveBallast(options.files ?? nodeFiles, directory))) return await LogDisk.open(directory, options);
      if (error instanceof InfinitError) throw error;
      const code = isNoRoom(error) ? 'disk-full' : isPassing(error) ? 'overloaded' : 'disk-failed';
      throw new InfinitError(code, `the store ${directory} cannot be opened: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  static async #open(directory: string, options: LogDiskOptions): Promise<LogDisk> {
    const files = options.files ?? nodeFiles;
    const logger = options.logger ?? silentLogger;
    const store = await StoreDirectory.open(files, directory);
    const { total } = await files.space(directory);
    const segmentBytes = options.segmentBytes ?? defaultSegmentBytes(Math.min(options.capacityBytes ?? total, total));
    const full = {
      reserveBytes: 2 * segmentBytes,
      compactionBytesPerSecond: 64 * 1024 * 1024,
      checkpointRecords: 4096,
      tickMs: 1000,
      ...options,
      segmentBytes,
      files,
      logger,
    };
    const index = await openIndex(files, store, logger);
    try {
      // Nobody else has it by now. Where there is no room for that the next start does it.
      if (store.isEarlier)
        await store.sign(files).catch((error: unknown) => {
          if (!isNoRoom(error)) throw error;
        });
      return await LogDisk.#recover(store, index, full, options.capacityBytes);
    } catch (error) {
      await index.close();
      await releaseStore(files, store);
      throw error;
    }
  }

  static async #recover(
    directory: StoreDirectory,
    index: LevelIndex,
    options: Parts['options'],
    capacityBytes: number | undefined,
  ): Promise<LogDisk> {
    const { files, segmentBytes, logger, reserveBytes } = options;
    const segments = new Segments(files, directory);
    const recent = new RecentTable();
    const reader = new RecordReader(recent, index, segments, logger);
    const missing = await loadSegments(files, directory, segments, index);
    const from = await index.checkpoint();
    const checkpointer = new Checkpointer(index, recent, segments, from ?? { blocks: 0, liveBytes: 0 });
    const started = performance.now();
    const recovered = await recover({
      files,
      directory,
      segments,
      from,
      segmentBytes,
      logger,
      apply: (id, entry, before) => {
        if (entry.type === recordTypes.lost) reader.note(id);
        if (entry.type !== recordTypes.put) countTombstone(segments, entry.segment);
        const indexed = before !== undefined && recent.size >= options.checkpointRecords ? checkpointer.run(() => before) : undefined;
        if (indexed !== undefined) return indexed.then(() => recent.set(id, entry));
        recent.set(id, entry);
        return undefined;
      },
    });
    reader.damagedCount = recovered.damaged + missing;
    logger.info('opened the store', { segments: segments.count, replayed: recovered.records, ms: Math.round(performance.now() - started) });
    const ballast = await Ballast.open(files, directory.path, reserveBytes, logger);
    const health = new Health({ files, directory: directory.path, capacityBytes, reserveBytes, usedBytes: () => segments.usedBytes, ballast });
    await health.refresh();
    const disk = new LogDisk({ options, directory, segments, recent, index, health, ballast, checkpointer, reader, position: recovered });
    if (recovered.records > 0 || from === undefined) await disk.#keeper.checkpoint().catch(() => {});
    disk.#compactor.start();
    return disk;
  }

  async read(address: Address, memory?: Uint8Array): Promise<Uint8Array | undefined> {
    this.#checkOpen();
    if (!isAddress(address)) throw new InfinitError('bad-argument', `"${String(address).slice(0, 80)}" is not a block address`);
    return await this.#reader.read(address, memory);
  }

  async readPart(address: Address, offset: number, length: number): Promise<Uint8Array | undefined> {
    this.#checkOpen();
    return await this.#reader.readPart(address, offset, length);
  }

  async head(address: Address, length: number): Promise<Uint8Array | undefined> {
    this.#checkOpen();
    return await this.#reader.read(address, undefined, length);
  }

  async has(address: Address): Promise<boolean> {
    this.#checkOpen();
    // What is known to be lost is not to be counted as a copy, also after a restart, and where too many are lost to know them by name.
    return hasValue(await this.#reader.find(address));
  }

  isDamaged(address: Address): boolean {
    return this.#reader.isDamaged(address);
  }

  async write(operations: readonly DiskOperation[]): Promise<void> {
    this.#checkOpen();
    checkOperations(operations);
    const { bytes, need } = costOf(operations);
    if (this.#keeper.isBroken && this.#recent.size >= maxRecentRecords) throw this.#health.full();
    const records = toRecords(operations);
    if (!this.#waiting.isBehind(records, need) && this.#health.admit(bytes, need)) await this.#writeAdmitted(records, bytes, need);
    else {
      const deadline = performance.now() + reclaimWaitMs;
      await this.#waiting.wait(
        records,
        need,
        () => this.#reclaim(bytes, need, deadline),
        () => this.#writeAdmitted(records, bytes, need),
      );
    }
    for (const operation of operations) if ('address' in operation) this.#reader.healed(operation.address);
  }

  #writeAdmitted(records: readonly NewRecord[], bytes: number, need: Need): Promise<void> {
    const settle = (): void => this.#health.settle(bytes);
    const written = this.#writer.write(records, need === 'bulk');
    written.then(settle, settle);
    return written;
  }

  async readMeta(key: string): Promise<Uint8Array | undefined> {
    this.#checkOpen();
    const packed = await this.#reader.read(metaId(key));
    return packed === undefined ? undefined : unpackMeta(packed);
  }

  list(after: Address | undefined, limit: number): Promise<DiskEntry[]> {
    this.#checkOpen();
    return listBlocks(this.#index, this.#recent, after, limit);
  }

  /** Addresses found damaged and not written since, a bounded number of them: what repair is to bring back. */
  damagedAddresses(): Address[] {
    return this.#reader.damagedIds().filter(isAddress);
  }

  get written(): number {
    return this.#writer.position().sequence - 1;
  }

  /** Compacts all that is worth it and waits for the end. */
  async compact(): Promise<void> {
    this.#checkOpen();
    await this.#keeper.checkpoint();
    await this.#compactor.idle();
  }

  status(): DiskStatus {
    const { state, reason, freeBytes, totalBytes } = this.#health;
    return {
      state: state === 'healthy' ? 'healthy' : 'read-only',
      ...(reason === undefined ? {} : { reason }),
      blocks: this.#checkpointer.blocks,
      liveBytes: this.#checkpointer.liveBytes,
      usedBytes: this.#segments.usedBytes,
      freeBytes,
      totalBytes,
      damaged: this.#reader.damagedCount,
    };
  }

  onStateChange(listener: (status: DiskStatus) => void): () => void {
    return this.#health.onChange(() => listener(this.status()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    const ticked = this.#housekeeping.stop();
    await this.#compactor.stop();
    await this.#ballast.close();
    await ticked;
    const { files, logger } = this.#options;
    try {
      await this.#writer.close();
      if (this.#health.state !== 'failed') await this.#keeper.checkpoint();
    } catch (error) {
      // The log has it all; the next start indexes what is missing.
      logger.warn('the last checkpoint failed', { error });
    }
    await this.#segments.close();
    await this.#index.close();
    await releaseStore(files, this.#directory).catch((error: unknown) => logger.warn('the lock file stays behind', { error }));
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new InfinitError('closed', `the store ${this.#directory.path} was closed`);
  }

  /** Waits for compaction to make room; room is taken when this returns. @throws InfinitError `disk-full`, `disk-failed`. */
  async #reclaim(bytes: number, need: Need, deadline: number): Promise<void> {
    await this.#health.refresh();
    this.#checkOpen();
    while (!this.#health.admit(bytes, need)) {
      if (need === 'bulk' || this.#health.room('bulk') <= 0) this.#health.full();
      if (!this.#compactor.canReclaim() || performance.now() > deadline) throw this.#health.full();
      this.#compactor.start();
      await new Promise((resolve) => setTimeout(resolve, 20));
      await this.#health.refresh();
      this.#checkOpen();
    }
  }

  #afterGroup(): Promise<void> | undefined {
    this.#housekeeping.noteGroup();
    if (this.#recent.size < this.#options.checkpointRecords) return undefined;
    if (this.#checkpointer.running === undefined)
      void this.#keeper.checkpoint().then(
        () => this.#compactor.start(),
        () => {},
      );
    return this.#recent.size < maxRecentRecords ? undefined : this.#checkpointer.running?.catch(() => {});
  }
}

interface Parts {
  readonly options: Required<Omit<LogDiskOptions, 'capacityBytes'>>;
  readonly directory: StoreDirectory;
  readonly segments: Segments;
  readonly recent: RecentTable;
  readonly index: LevelIndex;
  readonly health: Health;
  readonly ballast: Ballast;
  readonly checkpointer: Checkpointer;
  readonly reader: RecordReader;
  readonly position: LogStart;
}

type LogStart = Pick<LogPosition, 'sequence' | 'lastId'> & Pick<Awaited<ReturnType<typeof recover>>, 'head' | 'nextSegment'>;

function countTombstone(segments: Segments, number: number): void {
  const segment = segments.get(number);
  if (segment !== undefined) segment.tombstones += recordBytes(0);
}

function defaultSegmentBytes(total: number): number {
  const share = 2 ** Math.floor(Math.log2(Math.max(1, total / minSegments)));
  return Math.min(maxSegmentBytes, Math.max(minSegmentBytes, share));
}
