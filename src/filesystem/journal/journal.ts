import { InfinitError } from '../../base/index.ts';
import { CallTable, type DoneCall } from './call-table.ts';
import type { VolumeContext } from '../context.ts';
import type { StateRecord } from './volume-state.ts';
import { isReadLater, unlessLost, versionsOf } from '../failure.ts';
import { decodeJournal, encodeJournal, type JournalBlock } from './journal-codec.ts';
import { lostInUse, type LostBlock } from './lost-blocks.ts';
import { BlockVersion } from './named-block.ts';
import { inParallel } from '../parallel.ts';

/** Blocks of the journal, used in turn. A checkpoint is due well before they run out. */
export const journalSlots = 256;
/** Of those, kept for what cannot be brought to its place and is written anew, so that the rest can be used again. */
export const reservedSlots = 32;
/** Blocks that are left out at a time: the volume's own block names them. */
const maxLeftOut = 128;
/** Where one is out of reach so many are looked at, ahead of their use from half of that on: nobody is to wait for each of them. */
const lookAhead = 32;
/** Blocks that are read at once where all are. */
const parallelReads = 32;
/** Where a block is not there so many behind it are looked at: whether that is the journal's end. */
const lookBehind = 4;
/** Slots in use from which on a checkpoint is due. */
export const checkpointSlots = 96;

/** The newest blocks of a volume's journal, in order, as far back as none between them is missing: for one whose own block, which says where they begin, is lost. */
export async function readRing(context: VolumeContext): Promise<JournalBlock[]> {
  const bySequence = new Map<number, JournalBlock>();
  const slots = Array.from({ length: journalSlots }, (_, slot) => context.address(`journal:${slot}`));
  await inParallel(slots, parallelReads, async (address) => {
    const stored = await unlessLost(context.store.fetch(address));
    if (stored === undefined || stored === 'lost') return;
    const block = decodeJournal(context.sealer.openPayload(address, stored.payload).body);
    bySequence.set(block.sequence, block);
  });
  const blocks: JournalBlock[] = [];
  for (let sequence = Math.max(0, ...bySequence.keys()); bySequence.has(sequence); sequence--) blocks.unshift(bySequence.get(sequence)!);
  return blocks;
}

/**
 * The volume's journal: a ring of named blocks, each with one batch of operations on names. An operation is durable as soon as its
 * block is; directories, link counts and removals follow at the next checkpoint, or, after a crash, at the next mount.
 */
export class Journal {
  readonly #context: VolumeContext;
  /** Inodes with this number and above are not durable yet. */
  nextInode: number;
  /** Calls of other hosts that the blocks up to here have done. */
  readonly calls = new CallTable();
  readonly #slots = new Map<number, BlockVersion>();
  /** Of the next block. */
  #next: number;
  /** Of the oldest block that a crash would still need. */
  #tail: number;
  #advanced = false;
  /** Sequences from the tail on whose blocks count as never written, whatever is there: each was out of reach when its turn came. */
  readonly #leftOut: Set<number>;
  /** Blocks before this one were looked at. */
  #looked = 0;
  #lacking = false;
  /** A block that is told to be lost could not be made anew: nobody gave it up, and nobody is left who could tell whether it ever was. */
  #lostStays = false;
  readonly #remembers: boolean;
  /** The volume was closed in order, and no block from this sequence on was used. */
  readonly #unused: number;
  /** The last block that {@link replay} found, until it is claimed. */
  #found: { readonly block: BlockVersion; readonly body: Uint8Array; readonly sequence: number } | undefined;

  /** As the volume's own block has it, whose `remembers` says whether all who wrote to the volume since its memory of calls began name those that inodes include. */
  constructor(
    context: VolumeContext,
    { tail, leftOut, remembers, clean, next }: Pick<StateRecord, 'tail' | 'leftOut' | 'remembers' | 'clean' | 'next'>,
  ) {
    this.#context = context;
    this.#remembers = remembers;
    this.#unused = clean ? next : Infinity;
    this.#leftOut = new Set(leftOut);
    this.#tail = tail;
    this.#next = tail;
    this.nextInode = 0;
  }

  get next(): number {
    return this.#next;
  }

  get tail(): number {
    return this.#tail;
  }

  /** What the volume's own block has to name before a block behind these is written. */
  get leftOut(): readonly number[] {
    return [...this.#leftOut];
  }

  get used(): number {
    return this.#next - this.#tail;
  }

  /** For a batch of operations: some blocks, and some that may be left out, are kept for a checkpoint. */
  get hasRoom(): boolean {
    return this.used < journalSlots - reservedSlots - 1 && this.#leftOut.size <= maxLeftOut - lookAhead;
  }

  /** The block that the next batch goes into. */
  nextBlock(): BlockVersion {
    return this.#slot(this.#next % journalSlots);
  }

  /** Some were out of reach the last time, and those that come soon were not looked at. */
  get isUnexplored(): boolean {
    return this.#lacking && this.#looked < this.#next + lookAhead / 2;
  }

  /** A block that is told to be lost was refused all the same: until a person accepts the loss of hosts that may have had it, such blocks are as good as out of reach. */
  cannotRemake(): void {
    this.#lostStays = true;
  }

  /** Those of the blocks from this one on, as far as they come soon, that can be neither read nor written. */
  async outOfReach(from: number): Promise<number[]> {
    const end = Math.min(from + lookAhead, this.#tail + journalSlots - 1);
    const sequences = Array.from({ length: Math.max(0, end - from) }, (_, index) => from + index);
    this.#looked = from + lookAhead;
    const found = await Promise.all(
      sequences.map(async (sequence) => {
        const block = this.#slot(sequence % journalSlots);
        block.doubt();
        return await block.learn().then(
          () => (block.isLost && this.#lostStays ? [sequence] : []),
          (error: unknown) => (isReadLater(error) ? [sequence] : []),
        );
      }),
    );
    const lost = found.flat();
    this.#lacking = lost.length > 0;
    return lost;
  }

  /** Leaves these out for good, whatever becomes of writes of them that are on their way; none that was used meanwhile. */
  leaveOut(sequences: readonly number[]): void {
    for (const sequence of sequences) if (sequence >= this.#next && this.#leftOut.size < maxLeftOut) this.#leftOut.add(sequence);
    this.#passLeftOut();
  }

  #passLeftOut(): void {
    while (this.#leftOut.has(this.#next)) this.#next++;
  }

  /** @param calls that the block does. */
  seal(block: Omit<JournalBlock, 'counts' | 'calls'>, calls: readonly DoneCall[] = []): Uint8Array {
    const address = this.#address(block.sequence % journalSlots);
    return this.#context.sealer.sealPayload(address, this.#context.owner(0), encodeJournal({ ...block, calls: this.calls.recordWith(calls) }));
  }

  /** This session has written a block of its own: no earlier session can write one any more. */
  get advanced(): boolean {
    return this.#advanced;
  }

  /** The batch is durable. */
  advance(nextInode: number): void {
    this.#advanced = true;
    this.#next++;
    this.#passLeftOut();
    this.nextInode = nextInode;
  }

  /**
   * Makes the last block that {@link replay} found one of this session, as it is: the earlier one may not know that it is durable, and be about to write it again with more in it.
   * False: it has, and {@link replay} finds that one. @throws InfinitError `conflict` where a later session has the volume.
   */
  async claim(): Promise<boolean> {
    if (this.#found === undefined) return true;
    const { block, body, sequence } = this.#found;
    this.#found = undefined;
    const payload = this.#context.sealer.sealPayload(block.address, this.#context.owner(0), body);
    const result = await this.#context.store.commit([{ update: [block.update(payload)] }]);
    if (!result.done && result.outcomes[0]?.status === 'conflict') {
      block.doubt();
      await block.learn();
      this.#next = sequence;
      return false;
    }
    block.written(versionsOf(result)[0]![0]!);
    return true;
  }

  /**
   * Makes the next block one of this session, an empty one, so that no earlier session can write it any more: a host that lost the volume may still
   * have one on its way. False: it was faster, and {@link replay} finds it. @throws InfinitError
   */
  async fence(figures: Pick<JournalBlock, 'nextInode' | 'usage'>): Promise<boolean> {
    // Nobody writes into a ring that is full.
    if (this.used >= journalSlots - 1) return true;
    const block = this.nextBlock();
    await block.learn();
    const payload = this.seal({ ...figures, sequence: this.#next, names: [], inodes: [] });
    const result = await this.#context.store.commit([{ update: [block.update(payload)] }]);
    if (!result.done && result.outcomes[0]?.status === 'conflict') return false;
    block.written(versionsOf(result)[0]![0]!);
    this.#advanced = true;
    this.#next++;
    this.#passLeftOut();
    return true;
  }

  /** The checkpoint covers all blocks before this one. */
  trim(tail: number): void {
    this.#tail = tail;
    for (const sequence of this.#leftOut) if (sequence < tail) this.#leftOut.delete(sequence);
  }

  /**
   * The blocks from the tail on that an earlier mount left, those that were not returned before; the next ones follow them.
   * @param lost takes those that were given up and may have been in use, as a person wants it. @throws InfinitError `lost` without it
   */
  async replay(lost?: LostBlock[]): Promise<JournalBlock[]> {
    const blocks: JournalBlock[] = [];
    const first = this.#next === this.#tail;
    let passed = 0;
    while (blocks.length < journalSlots) {
      if (this.#leftOut.has(this.#next)) {
        this.#next++;
        continue;
      }
      const slot = this.#next % journalSlots;
      const stored = await unlessLost(this.#context.store.fetch(this.#address(slot)));
      const isLost = stored === 'lost' || (stored === undefined && this.#next < this.#unused && (await this.#isFollowed(this.#next)));
      const version = new BlockVersion(this.#context, this.#address(slot), stored === 'lost' ? undefined : (stored?.version ?? 0));
      this.#slots.set(slot, version);
      if (isLost && this.#next < this.#unused) {
        if (lost === undefined) throw lostInUse(this.#context.volumeId, { journal: 'names', position: this.#next });
        lost.push({ journal: 'names', position: this.#next });
        this.#next++;
        if (++passed >= journalSlots - 1) break;
        continue;
      }
      if (stored === undefined || isLost) break;
      const { body } = this.#context.sealer.openPayload(this.#address(slot), stored.payload);
      const block = decodeJournal(body);
      if (block.sequence > this.#next) throw new InfinitError('damaged', `the journal of volume ${this.#context.volumeId} lacks block ${this.#next}`);
      if (block.sequence < this.#next) break;
      blocks.push(block);
      this.#found = { block: version, body, sequence: block.sequence };
      this.#next++;
    }
    const last = blocks.at(-1);
    if (last !== undefined) this.calls.restore(last.calls);
    else if (first && this.#tail > 1) this.calls.restore((await this.#readAgain(this.#tail - 1))?.calls);
    if (!this.#remembers) this.calls.doubt();
    return blocks;
  }

  /**
   * Whether there is a block behind one that is not there. None is written before the one in front of it is durable: that was lost with all its hosts, and a person accepted it.
   */
  async #isFollowed(sequence: number): Promise<boolean> {
    const after = Array.from({ length: Math.min(lookBehind, journalSlots - 1) }, (_, index) => this.#readAgain(sequence + 1 + index));
    return (await Promise.all(after)).some((block) => block !== undefined);
  }

  /** A block that a checkpoint has covered, as long as no later one is in its slot. Nothing but the memory of calls depends on it, so it may be out of reach. */
  async #readAgain(sequence: number): Promise<JournalBlock | undefined> {
    const address = this.#address(sequence % journalSlots);
    const stored = await this.#context.store.fetch(address).catch((error: unknown) => {
      if (!isReadLater(error)) throw error;
      return undefined;
    });
    const block = stored === undefined ? undefined : decodeJournal(this.#context.sealer.openPayload(address, stored.payload).body);
    return block?.sequence === sequence ? block : undefined;
  }

  #slot(slot: number): BlockVersion {
    let block = this.#slots.get(slot);
    if (block === undefined) this.#slots.set(slot, (block = new BlockVersion(this.#context, this.#address(slot), undefined)));
    return block;
  }

  #address(slot: number): ReturnType<VolumeContext['address']> {
    return this.#context.address(`journal:${slot}`);
  }
}
