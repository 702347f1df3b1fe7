import { InfinitError } from '../base/index.ts';
import type { RecentTable } from './recent-table.ts';
import { type Checksum, checksumOf, recordBytes, type RecordId, type RecordType } from './record.ts';

/** What one trip to the disk carries at the most (a single larger value goes alone). */
const maxGroupBytes = 8 * 1024 * 1024;
const maxGroupRecords = 1024;
/** What may wait for its group. Callers are held back by their own promises; this only bounds memory against a caller gone wild. */
const maxQueuedBytes = 1024 * 1024 * 1024;
const maxQueuedRecords = 1_000_000;
/** What compaction may add to a group: it must not make a writer wait noticeably. */
const maxCopyBytes = 1024 * 1024;

/** A record to be written. */
export interface NewRecord {
  readonly type: RecordType;
  readonly id: RecordId;
  readonly bytes: Uint8Array;
}

/** A record that compaction carries forward, provided that nothing newer came up for its id. */
export interface CopiedRecord extends NewRecord, Checksum {
  /** {@link RecentTable.generation} when the index was asked. */
  readonly generation: number;
}

interface Queued extends NewRecord, Checksum {
  readonly call: Call;
}

interface Call {
  left: number;
  /** Refused first where there is no room. */
  readonly bulk: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface QueuedCopy {
  readonly record: CopiedRecord;
  readonly resolve: (written: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** What is written together, and who waits for it. */
export class Group {
  readonly records: readonly (NewRecord & Checksum)[];
  readonly bytes: number;
  readonly #copies: readonly QueuedCopy[];
  readonly #queued: readonly Queued[];

  constructor(copies: readonly QueuedCopy[], queued: readonly Queued[]) {
    this.#copies = copies;
    this.#queued = queued;
    // Copies go before the new records: so a newer value of the same id in this group wins.
    this.records = [...copies.map(({ record }) => record), ...queued];
    this.bytes = this.records.reduce((sum, record) => sum + recordBytes(record.bytes.length), 0);
  }

  /** All of it is on stable storage. */
  written(): void {
    for (const copy of this.#copies) copy.resolve(true);
    for (const { call } of this.#queued) if (--call.left === 0) call.resolve();
  }

  /** Returns the calls that it is about. */
  fail(failure: InfinitError): ReadonlySet<Call> {
    for (const copy of this.#copies) copy.reject(failure);
    const calls = new Set(this.#queued.map(({ call }) => call));
    for (const call of calls) call.reject(failure);
    return calls;
  }

  /** The same without what these calls brought. */
  without(calls: ReadonlySet<Call>): Group {
    return new Group(
      this.#copies,
      this.#queued.filter(({ call }) => !calls.has(call)),
    );
  }

  get bulkCalls(): Call[] {
    return this.#queued.map(({ call }) => call).filter(({ bulk }) => bulk);
  }
}

/** What waits to be written: records of calls, in the order they came, and what compaction carries forward. */
export class WriteQueue {
  readonly #recent: RecentTable;
  readonly #most: number;
  #queue: Queued[] = [];
  /** First of #queue that is not taken yet: shifting an array is slow. */
  #next = 0;
  #queuedBytes = 0;
  #copies: QueuedCopy[] = [];

  /** @param segmentBytes A group takes a part of a segment at the most, so that small segments keep about their size. */
  constructor(recent: RecentTable, segmentBytes: number) {
    this.#recent = recent;
    this.#most = Math.min(maxGroupBytes, segmentBytes / 4);
  }

  get isEmpty(): boolean {
    return this.#next >= this.#queue.length && this.#copies.length === 0;
  }

  /** Resolves once all records are written. @throws InfinitError `overloaded`. */
  add(records: readonly NewRecord[], bulk: boolean): Promise<void> {
    if (this.#queuedBytes > maxQueuedBytes || this.#queue.length - this.#next > maxQueuedRecords)
      return Promise.reject(new InfinitError('overloaded', `over ${maxQueuedRecords} records or ${maxQueuedBytes} bytes wait for the disk`));
    return new Promise((resolve, reject) => {
      const call: Call = { left: records.length, bulk, resolve, reject };
      for (const { type, id, bytes } of records) {
        const { crc, table } = checksumOf(bytes);
        this.#queue.push({ type, id, bytes, crc, table, call });
        this.#queuedBytes += bytes.length;
      }
    });
  }

  /** Resolves to false where the record was overtaken, or may have been, and must be looked up again. */
  addCopy(record: CopiedRecord): Promise<boolean> {
    return new Promise((resolve, reject) => this.#copies.push({ record, resolve, reject }));
  }

  /** What the next group is made of. */
  take(): Group {
    const copies = this.#takeCopies();
    return new Group(copies, this.#takeQueued(copies.reduce((sum, { record }) => sum + recordBytes(record.bytes.length), 0)));
  }

  /** What these calls have in the queue still must not follow what of them was lost: an inode without its data, or memory that is somebody else's by then. */
  forget(calls: ReadonlySet<Call>): void {
    this.#queue = this.#queue.slice(this.#next).filter(({ call }) => !calls.has(call));
    this.#next = 0;
    this.#queuedBytes = this.#queue.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /** Refuses the calls with bulk data of a group that found no room, and those in the queue. @returns what is left of the group. */
  refuseBulk(group: Group, failure: InfinitError): Group {
    const waiting = this.#queue.slice(this.#next).map(({ call }) => call);
    const refused = new Set([...group.bulkCalls, ...waiting.filter(({ bulk }) => bulk)]);
    for (const call of refused) call.reject(failure);
    this.forget(refused);
    return group.without(refused);
  }

  rejectAll(failure: InfinitError): void {
    for (let at = this.#next; at < this.#queue.length; at++) this.#queue[at]!.call.reject(failure);
    for (const copy of this.#copies) copy.reject(failure);
    this.#queue = [];
    this.#next = 0;
    this.#queuedBytes = 0;
    this.#copies = [];
  }

  #takeCopies(): QueuedCopy[] {
    if (this.#copies.length === 0) return [];
    const taken: QueuedCopy[] = [];
    let bytes = 0;
    let at = 0;
    for (; at < this.#copies.length && bytes < maxCopyBytes; at++) {
      const copy = this.#copies[at]!;
      if (copy.record.generation !== this.#recent.generation || this.#recent.get(copy.record.id) !== undefined) {
        copy.resolve(false);
        continue;
      }
      bytes += recordBytes(copy.record.bytes.length);
      taken.push(copy);
    }
    this.#copies = this.#copies.slice(at);
    return taken;
  }

  #takeQueued(already: number): Queued[] {
    let bytes = already;
    let at = this.#next;
    const end = Math.min(this.#queue.length, at + maxGroupRecords);
    for (; at < end; at++) {
      const more = recordBytes(this.#queue[at]!.bytes.length);
      if (bytes > 0 && bytes + more > this.#most) break;
      bytes += more;
    }
    const taken = this.#queue.slice(this.#next, at);
    for (const record of taken) this.#queuedBytes -= record.bytes.length;
    this.#next = at;
    if (this.#next === this.#queue.length) {
      this.#queue = [];
      this.#next = 0;
    } else if (this.#next > maxGroupRecords * 4) {
      this.#queue = this.#queue.slice(this.#next);
      this.#next = 0;
    }
    return taken;
  }
}
