import type { SurvivingMemory } from '../redo/surviving-memory.ts';
import type { FileVersion } from '../inodes/written.ts';
import type { CallNote } from './call-memory.ts';
import { begins, chunkBytes, type Chunks, UnsaidLot } from './unsaid-lot.ts';

/** The first page: what this memory is. */
const headBytes = 4096;
/** As many as there may be loans at a time. */
const maxChunks = 4096;
const chunksAt = headBytes + 8 * maxChunks;
/** 128 MiB and what it takes to find one's way: twice what may be unsaid before writers are refused. */
export const unsaidMemoryBytes: number = chunksAt + maxChunks * chunkBytes;
/** Of what is in the lots as well: see unsaid-lot.ts. */
const formatVersion = 1;
/** Words of the first page, eight bytes each. */
const word = { format: 0, attempts: 1, callMemory: 2 };
const volumeAt = 128;
/** Daemons that may die while they read it: then it is what kills them. */
const maxAttempts = 3;
/** Memory that is asked for, and given back, at once: chunks. */
const [chunksPerTaking, chunksPerGiving] = [32, 256];
/** Empty, it keeps its memory for so long, in ms. */
const keepMs = 5000;

/** What a process before this one left of a guest's writes, and where this one keeps its own. */
export interface Unsaid {
  readonly memory: UnsaidMemory;
  /** In the order in which they were begun. */
  readonly left: readonly UnsaidLot[];
}

/**
 * What a guest's programs were told is written, and the host that serves the volume has not answered yet, in memory that outlives this process: for each file a lot for all that is taken to be
 * said together, in chunks of the memory, which are free again once it is said. The next process says what it finds: see `LeftWrites`.
 *
 * Nothing fails here: a lot that finds no room is given up, and what is in it is lost with the process.
 */
export class UnsaidMemory implements Chunks, CallNote {
  /** The chunks, one behind the other. */
  readonly ring: Buffer;
  readonly words: Float64Array;
  readonly isFresh: boolean;
  readonly #memory: SurvivingMemory;
  readonly #head: Float64Array;
  /** Of each chunk: its lot's number and its place in it; 0: it is free. */
  readonly #table: Float64Array;
  /** Those that were used last come first: memory that is touched for the first time costs several times as much. */
  readonly #free: number[] = [];
  readonly #chunks: number;
  readonly #provided: Uint8Array;
  #nextLot = 1;
  #timer: NodeJS.Timeout | undefined;

  private constructor(memory: SurvivingMemory) {
    const { bytes } = memory;
    this.#memory = memory;
    this.#head = new Float64Array(bytes.buffer, bytes.byteOffset, headBytes / 8);
    this.isFresh = this.#head[word.format] === 0 && this.#head[word.callMemory] === 0;
    this.#chunks = Math.min(maxChunks, Math.floor((bytes.length - chunksAt) / chunkBytes));
    this.#provided = new Uint8Array(Math.ceil(this.#chunks / chunksPerTaking));
    this.#table = new Float64Array(bytes.buffer, bytes.byteOffset + headBytes, maxChunks);
    this.ring = Buffer.from(bytes.buffer, bytes.byteOffset + chunksAt, this.#chunks * chunkBytes);
    this.words = new Float64Array(bytes.buffer, bytes.byteOffset + chunksAt, (this.#chunks * chunkBytes) / 8);
  }

  /**
   * @param counts whether what a process before this one left of an inode counts, if it left any.
   * @returns undefined: there is no memory.
   */
  static open(memory: SurvivingMemory, volumeId: string, counts: (inode: number) => boolean): Unsaid | undefined {
    const { bytes } = memory;
    if (bytes.length < chunksAt + chunkBytes || !memory.provide(0, chunksAt)) return undefined;
    const head = new Float64Array(bytes.buffer, bytes.byteOffset, headBytes / 8);
    const unsaid = new UnsaidMemory(memory);
    const volume = Buffer.from(bytes.buffer, bytes.byteOffset + volumeAt, volumeId.length);
    const isOurs = head[word.format] === formatVersion && volume.toString('latin1') === volumeId;
    if (!isOurs || head[word.attempts]! >= maxAttempts) {
      head[word.format] = head[word.callMemory] = 0;
      unsaid.#table.fill(0);
      volume.write(volumeId, 'latin1');
      head[word.attempts] = 0;
      head[word.format] = formatVersion;
    }
    head[word.attempts] = head[word.attempts]! + 1;
    const left = unsaid.#adopt();
    for (const lot of left) if (!counts(lot.inode)) lot.free();
    head[word.attempts] = 0;
    return { memory: unsaid, left: left.filter((lot) => counts(lot.inode)) };
  }

  get callMemory(): number {
    return this.#head[word.callMemory]!;
  }

  set callMemory(memory: number) {
    this.#head[word.callMemory] = memory;
  }

  /** Chunks that something is in. */
  get used(): number {
    return this.#chunks - this.#free.length;
  }

  /** Begins a lot: what is done to a file from now on, which is so at present. */
  begin(inode: number, loan: string, expect: FileVersion): UnsaidLot {
    return UnsaidLot.begin(this, this.#nextLot++, inode, loan, expect);
  }

  take(lot: number, place: number): number | undefined {
    const chunk = this.#free.at(-1);
    if (chunk === undefined || !this.#provide(chunk)) return undefined;
    this.#free.pop();
    // A process that dies before the first record is published leaves nothing that counts.
    if (place === 0) begins(this.words, chunk);
    this.#table[chunk] = lot * maxChunks + place;
    return chunk;
  }

  /** The first chunk of a lot first: then it counts for nothing. */
  give(chunks: readonly number[]): void {
    for (const chunk of chunks) this.#table[chunk] = 0;
    this.#free.push(...chunks.toReversed());
    if (this.#free.length < this.#chunks || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#giveBack(), keepMs);
    this.#timer.unref();
  }

  #adopt(): readonly UnsaidLot[] {
    const lots = new Map<number, number[]>();
    for (let chunk = 0; chunk < this.#chunks; chunk++) {
      const entry = this.#table[chunk]!;
      const number = Math.floor(entry / maxChunks);
      if (entry === 0) continue;
      // A daemon that knows of no such memory has written over it.
      if (!Number.isSafeInteger(entry) || number < 1) {
        this.#table[chunk] = 0;
        continue;
      }
      const chunks = lots.get(number) ?? [];
      chunks[entry % maxChunks] = chunk;
      lots.set(number, chunks);
      this.#nextLot = Math.max(this.#nextLot, number + 1);
      this.#provided[Math.floor(chunk / chunksPerTaking)] = 1;
    }
    const left = [...lots]
      .toSorted(([one], [other]) => one - other)
      .flatMap(([number, chunks]) => {
        const lot = UnsaidLot.adopt(this, number, chunks);
        // It was being begun, or freed.
        if (lot === undefined) for (const chunk of chunks) if (chunk !== undefined) this.#table[chunk] = 0;
        return lot ?? [];
      });
    for (let chunk = this.#chunks - 1; chunk >= 0; chunk--) if (this.#table[chunk] === 0) this.#free.push(chunk);
    return left;
  }

  #provide(chunk: number): boolean {
    const part = Math.floor(chunk / chunksPerTaking);
    if (this.#provided[part] === 1) return true;
    const from = part * chunksPerTaking;
    const to = Math.min(this.#chunks, from + chunksPerTaking);
    if (!this.#memory.provide(chunksAt + from * chunkBytes, chunksAt + to * chunkBytes)) return false;
    this.#provided[part] = 1;
    return true;
  }

  /** Piece by piece, as long as it stays empty: all at once would hold up the thread. */
  #giveBack(): void {
    this.#timer = undefined;
    if (this.#free.length < this.#chunks) return;
    const last = this.#provided.lastIndexOf(1);
    if (last < 0) return;
    const first = Math.max(0, last + 1 - chunksPerGiving / chunksPerTaking);
    this.#provided.fill(0, first);
    this.#memory.release(chunksAt + first * chunksPerTaking * chunkBytes);
    setImmediate(() => this.#giveBack()).unref();
  }
}
