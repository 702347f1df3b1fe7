import { InfinitError, readU64, writeU64 } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import type { Update } from '../store/index.ts';
import { commitOver } from './commit-over.ts';
import { VolumeContext, type VolumeSetup } from './context.ts';
import { versionsOf } from './failure.ts';
import { BlockVersion } from './named-block.ts';
import type { VolumeUsage } from './usage.ts';

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
  /** The last mount ended in order. */
  readonly clean: boolean;
  /** Session of the mount that wrote this. */
  readonly session: number;
}

const formatVersion = 1;
const bytes = 56;

/** Reads and writes the volume's own block. */
export class VolumeState {
  readonly #context: VolumeContext;
  readonly #address: Address;
  #block: BlockVersion;
  #usage: VolumeUsage | undefined;
  #journal: { readonly nextInode: number; readonly next: number } = { nextInode: 0, next: 1 };
  #current: StateRecord | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(context: VolumeContext) {
    this.#context = context;
    this.#address = context.address('volume');
    this.#block = new BlockVersion(context, this.#address, undefined);
  }

  /** From now on {@link write} takes these figures. */
  bind(usage: VolumeUsage, journal: { readonly nextInode: number; readonly next: number }): void {
    this.#usage = usage;
    this.#journal = journal;
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
    return this.#current !== undefined && this.#current.allocated === this.#usage!.allocated && this.#current.files === this.#usage!.files;
  }

  /** As an update, for a commit of the caller's; {@link written} afterwards. */
  update(record: StateRecord): Update {
    return this.#block.update(this.#context.sealer.sealPayload(this.#address, this.#context.owner(0), encode(record)));
  }

  written(version: number, record: StateRecord): void {
    this.#block.written(version);
    this.#current = record;
  }

  /** Writes figures as they are now; one write at a time. @throws InfinitError `conflict` where another mount has taken the volume over. */
  write(changes: { readonly tail?: number; readonly clean?: boolean }): Promise<void> {
    const after = this.#last.then(() => this.#write(changes));
    this.#last = after.catch(() => {});
    return after;
  }

  async #write(changes: { readonly tail?: number; readonly clean?: boolean }): Promise<void> {
    const record: StateRecord = {
      tail: changes.tail ?? this.#current!.tail,
      nextInode: this.#journal.nextInode,
      next: this.#journal.next,
      allocated: this.#usage!.allocated,
      files: this.#usage!.files,
      clean: changes.clean ?? false,
      session: this.#context.session,
    };
    try {
      const versions = versionsOf(await commitOver(this.#context, [this.#block], () => [{ update: [this.update(record)] }]));
      this.#block.written(versions[0]![0]!);
      this.#current = record;
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
  const into = Buffer.alloc(bytes);
  into[0] = formatVersion;
  into[1] = record.clean ? 1 : 0;
  into.writeUInt32LE(record.session, 4);
  [record.tail, record.nextInode, record.allocated, record.files, record.next].forEach((value, index) => writeU64(into, value, 8 + index * 8));
  return into;
}

function decode(body: Uint8Array): StateRecord {
  const from = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (from[0] !== formatVersion)
    throw new InfinitError('wrong-version', `the volume has format ${from[0]}; this host reads ${formatVersion}: upgrade it`);
  if (from.length < bytes) throw new InfinitError('damaged', 'the volume’s own block is cut short');
  const at = (index: number): number => readU64(from, 8 + index * 8);
  return { clean: from[1] === 1, session: from.readUInt32LE(4), tail: at(0), nextInode: at(1), allocated: at(2), files: at(3), next: at(4) };
}
