import { InfinitError, readU64, writeU64 } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';
import type { Update } from '../../store/index.ts';
import { commitOver } from './commit-over.ts';
import { VolumeContext, type VolumeSetup } from '../context.ts';
import { versionsOf } from '../failure.ts';
import { BlockVersion } from './named-block.ts';
import type { Unsettled, UnsettledInode } from './unsettled.ts';
import type { VolumeUsage } from '../usage.ts';

/** The volume's own block: where the journal begins and how much the volume holds. */
export interface StateRecord {
  /** Sequence of the first journal block that is still needed. */
  readonly tail: number;
  /** Sequence of the journal block that comes next: the figures are as of then. */
  readonly next: number;
  /** No inode from this number on is in use, as of `tail`. */
  readonly nextInode: number;
  readonly allocated: number;
  readonly files: number;
  /** What of the bytes is not certain. */
  readonly unsettled: readonly UnsettledInode[];
  /** Sequences of journal blocks from `tail` on that count as never written. */
  readonly leftOut: readonly number[];
  /** The last mount ended in order. */
  readonly clean: boolean;
  /** Session of the mount that wrote this. */
  readonly session: number;
  /** All who wrote to the volume since its memory of calls began name those that inodes include. */
  readonly remembers: boolean;
}

const formatVersion = 1;
/** Where blocks of the journal are left out: earlier versions, which would take such a block for the journal's end, refuse it. */
const leavesOutVersion = 2;
const fixedBytes = 56;
const unsettledBytes = 16;
/** Before those, in version 2: how many blocks of the journal are left out, and each. */
const countBytes = 8;
const leftOutBytes = 8;
/** Behind those, where it is so: earlier versions, which do not look there, take it away. */
const remembersBytes = 8;

/** What a {@link VolumeState.write} is to change. */
interface StateChanges {
  tail?: number;
  clean?: boolean;
}

interface Journalled {
  readonly nextInode: number;
  readonly next: number;
  readonly advanced: boolean;
  readonly leftOut: readonly number[];
}

/** Reads and writes the volume's own block. */
export class VolumeState {
  readonly #context: VolumeContext;
  readonly #address: Address;
  #block: BlockVersion;
  #parts: { readonly usage: VolumeUsage; readonly unsettled: Unsettled; readonly journal: Journalled } | undefined;
  #current: StateRecord | undefined;
  #last: Promise<void> = Promise.resolve();
  /** The write that has not begun. */
  #coming: { readonly changes: StateChanges; readonly written: Promise<void> } | undefined;

  constructor(context: VolumeContext) {
    this.#context = context;
    this.#address = context.address('volume');
    this.#block = new BlockVersion(context, this.#address, undefined);
  }

  /** From now on {@link write} takes these figures. */
  bind(usage: VolumeUsage, unsettled: Unsettled, journal: Journalled): void {
    this.#parts = { usage, unsettled, journal };
  }

  /** undefined: the volume is new. */
  async read(): Promise<StateRecord | undefined> {
    const stored = await this.#context.store.fetch(this.#address);
    this.#block = new BlockVersion(this.#context, this.#address, stored?.version ?? 0);
    if (stored === undefined) return undefined;
    this.#current = decode(this.#context.sealer.openPayload(this.#address, stored.payload).body);
    return this.#current;
  }

  /** The figures in the store are those in memory. */
  get current(): boolean {
    const { usage } = this.#parts!;
    return this.#current !== undefined && this.#current.allocated === usage.allocated && this.#current.files === usage.files;
  }

  /** The store's block names all that the journal leaves out: what follows those may be written. */
  get namesLeftOut(): boolean {
    const { journal } = this.#parts!;
    const named = new Set(this.#current?.leftOut);
    return journal.leftOut.every((sequence) => named.has(sequence));
  }

  /**
   * Makes the block one of this session, as it is: what an earlier one still has on its way fails, and so does what that would write after it.
   * Returns what is in it. @throws InfinitError `conflict` where another mount has taken the volume over.
   */
  async fence(): Promise<StateRecord> {
    for (let found = this.#current; found !== undefined; found = await this.read()) {
      if (found.session > this.#context.session) break;
      const record = { ...found, clean: false, session: this.#context.session };
      const result = await this.#context.store.commit([{ update: [this.update(record)] }]);
      if (!result.done && result.outcomes[0]?.status === 'conflict') continue;
      this.written(versionsOf(result)[0]![0]!, record);
      return record;
    }
    throw new InfinitError('conflict', `another mount has taken volume ${this.#context.volumeId} over`);
  }

  /** As an update, for a commit of the caller's; {@link written} afterwards. */
  update(record: StateRecord): Update {
    return this.#block.update(this.#context.sealer.sealPayload(this.#address, this.#context.owner(0), encode(record)));
  }

  written(version: number, record: StateRecord): void {
    this.#block.written(version);
    this.#current = record;
  }

  /** Writes figures as they are at some moment from now on; one write at a time, for all who ask before it begins. @throws InfinitError `conflict` where another mount has taken the volume over. */
  write(changes: Readonly<StateChanges>): Promise<void> {
    if (this.#coming === undefined) {
      const own: StateChanges = {};
      const written = this.#last.then(() => {
        this.#coming = undefined;
        return this.#write(own);
      });
      this.#coming = { changes: own, written };
      this.#last = written.catch(() => {});
    }
    Object.assign(this.#coming.changes, changes);
    return this.#coming.written;
  }

  async #write({ tail = this.#current!.tail, clean = false }: StateChanges): Promise<void> {
    const { usage, unsettled, journal } = this.#parts!;
    const named = unsettled.take(clean);
    const record: StateRecord = {
      tail,
      nextInode: journal.nextInode,
      next: journal.next,
      ...usage.counted,
      unsettled: named,
      leftOut: journal.leftOut.filter((sequence) => sequence >= tail),
      clean,
      session: this.#context.session,
      // Where it was not so, the memory began anew with this mount: that is durable with its first block.
      remembers: this.#current!.remembers || journal.advanced,
    };
    try {
      const versions = versionsOf(await commitOver(this.#context, [this.#block], () => [{ update: [this.update(record)] }]));
      this.written(versions[0]![0]!, record);
      unsettled.taken(named);
    } catch (error) {
      this.#block.doubt();
      throw error;
    }
  }
}

/** What an unmounted volume held when it was last written; undefined: it was never mounted. */
export async function storedUsage(setup: VolumeSetup): Promise<{ readonly allocated: number; readonly files: number } | undefined> {
  return new VolumeState(new VolumeContext(setup)).read();
}

function encode(record: StateRecord): Uint8Array {
  const { leftOut } = record;
  const behind = leftOut.length === 0 ? 0 : countBytes + leftOut.length * leftOutBytes;
  const into = Buffer.alloc(fixedBytes + behind + record.unsettled.length * unsettledBytes + (record.remembers ? remembersBytes : 0));
  into[0] = leftOut.length === 0 ? formatVersion : leavesOutVersion;
  into[1] = record.clean ? 1 : 0;
  into.writeUInt32LE(record.session, 4);
  const numbers = [record.tail, record.nextInode, record.allocated, record.files, record.next];
  if (leftOut.length > 0) numbers.push(leftOut.length, ...leftOut);
  for (const { inode, counted } of record.unsettled) numbers.push(inode, counted);
  numbers.forEach((value, index) => writeU64(into, value, 8 + index * 8));
  return into;
}

function decode(body: Uint8Array): StateRecord {
  const from = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const leavesOut = from[0] === leavesOutVersion;
  if (from[0] !== formatVersion && !leavesOut)
    throw new InfinitError('wrong-version', `the volume has format ${from[0]}; this host reads up to ${leavesOutVersion}: upgrade it`);
  if (from.length < fixedBytes + (leavesOut ? countBytes : 0)) throw new InfinitError('damaged', 'the volume’s own block is cut short');
  const at = (index: number): number => readU64(from, 8 + index * 8);
  const left = leavesOut ? at(5) : 0;
  const start = 5 + (leavesOut ? 1 + left : 0);
  const rest = from.length - fixedBytes - (leavesOut ? countBytes + left * leftOutBytes : 0);
  if (rest < 0) throw new InfinitError('damaged', 'the volume’s own block is cut short');
  const leftOut = Array.from({ length: left }, (_, index) => at(6 + index));
  const remembers = rest % unsettledBytes === remembersBytes;
  const unsettled = Array.from({ length: Math.floor(rest / unsettledBytes) }, (_, index) => ({
    inode: at(start + 2 * index),
    counted: at(start + 1 + 2 * index),
  }));
  return {
    clean: from[1] === 1,
    session: from.readUInt32LE(4),
    tail: at(0),
    nextInode: at(1),
    allocated: at(2),
    files: at(3),
    next: at(4),
    unsettled,
    leftOut,
    remembers,
  };
}
