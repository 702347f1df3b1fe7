import { copyBytes } from '../../base/index.ts';
import type { FileTime } from '../file-system.ts';
import type { FileVersion, Written } from '../inodes/written.ts';

/** Lots lie in chunks of so many bytes: a lot has at least one, and no file's keeps another's from being freed. */
export const chunkBytes: number = 32 * 1024;

/** A lot begins with these words: whose it is, and how far it counts. */
const word = { inode: 0, end: 1, expect: 2, loan: 8 };
const loanLetters = 40;
const headBytes = 8 * word.loan + loanLetters;
/** The words of a record lie together, so it begins in the next chunk where they might not. */
const maxRecordBytes = 96;
const kinds = { write: 1, change: 2 };
/** Which attributes a change has. */
const has = { mode: 1, uid: 2, gid: 4, accessed: 8 };

/** Memory in which lots lie. */
export interface Chunks {
  /** All of it. */
  readonly ring: Buffer;
  readonly words: Float64Array;
  /** The number of a chunk for a lot, of which as its first nothing counts; undefined: there is none, or no memory. */
  take(lot: number, place: number): number | undefined;
  give(chunks: readonly number[]): void;
}

/** What of a chunk says how far the lot counts that begins in it: nothing of it does. */
export function begins(words: Float64Array, chunk: number): void {
  words[(chunk * chunkBytes) / 8 + word.end] = 0;
}

/** What was done to a file, in order. */
export type UnsaidRecord =
  | {
      readonly kind: 'write';
      readonly offset: number;
      readonly length: number;
      readonly now: FileTime;
      /** The kernel's number of the request, where it is one that appends; otherwise 0. */
      readonly request: number;
      /** The bytes: gathered when they are needed. */
      readonly bytes: () => Uint8Array;
    }
  | { readonly kind: 'change'; readonly changes: Written['changes']; readonly changed: FileTime; readonly modified: FileTime };

/** What was done to one file between two moments in which that was taken to be said, in chunks of an `UnsaidMemory`. */
export class UnsaidLot {
  readonly inode: number;
  readonly loan: string;
  /** The file before it. */
  readonly expect: FileVersion;
  readonly #memory: Chunks;
  readonly #number: number;
  #chunks: number[];
  /** Up to where it counts. */
  #end = headBytes;
  /** Found no room, or is free: nothing goes into it any more. */
  #over = false;

  private constructor(memory: Chunks, number: number, chunks: number[], inode: number, loan: string, expect: FileVersion) {
    this.#memory = memory;
    this.#number = number;
    this.#chunks = chunks;
    this.inode = inode;
    this.loan = loan;
    this.expect = expect;
  }

  static begin(memory: Chunks, number: number, inode: number, loan: string, expect: FileVersion): UnsaidLot {
    const lot = new UnsaidLot(memory, number, [], inode, loan, expect);
    const { words } = memory;
    if (loan.length > loanLetters || !lot.#reach(headBytes)) {
      lot.free();
      return lot;
    }
    const at = lot.#wordAt(0);
    words[at + word.inode] = inode;
    putVersion(words, at + word.expect, expect);
    words[at + word.expect + 5] = loan.length;
    memory.ring.write(loan, 8 * (at + word.loan), 'latin1');
    return lot;
  }

  /** undefined: there is nothing that counts. @param chunks in order; some may be missing. */
  static adopt(memory: Chunks, number: number, chunks: number[]): UnsaidLot | undefined {
    if (chunks[0] === undefined) return undefined;
    const { words, ring } = memory;
    const at = (chunks[0] * chunkBytes) / 8;
    const end = words[at + word.end]!;
    if (!(end > headBytes) || end > chunks.length * chunkBytes || chunks.includes(undefined as unknown as number)) return undefined;
    const loan = ring.toString('latin1', 8 * (at + word.loan), 8 * (at + word.loan) + words[at + word.expect + 5]!);
    const lot = new UnsaidLot(memory, number, chunks, words[at + word.inode]!, loan, takeVersion(words, at + word.expect));
    lot.#end = end;
    return lot;
  }

  write(offset: number, data: Uint8Array, now: FileTime, request: number): void {
    const position = this.#begin(kinds.write, data.length, data.length);
    if (position === undefined) return;
    const { words, ring } = this.#memory;
    const at = this.#wordAt(position);
    words[at + 1] = offset;
    putTime(words, at + 2, now);
    words[at + 4] = request;
    let from = 0;
    for (let to = position + 40; from < data.length;) {
      const length = Math.min(data.length - from, chunkBytes - (to % chunkBytes));
      copyBytes(data.subarray(from, from + length), ring, this.#byteAt(to));
      from += length;
      to += length;
    }
    this.#publish(position + 40 + data.length);
  }

  change({ mode, uid, gid, accessed }: Written['changes'], changed: FileTime, modified: FileTime): void {
    const mask =
      (mode === undefined ? 0 : has.mode) |
      (uid === undefined ? 0 : has.uid) |
      (gid === undefined ? 0 : has.gid) |
      (accessed === undefined ? 0 : has.accessed);
    const position = this.#begin(kinds.change, mask, 0);
    if (position === undefined) return;
    const { words } = this.#memory;
    const at = this.#wordAt(position);
    words[at + 1] = mode ?? 0;
    words[at + 2] = uid ?? 0;
    words[at + 3] = gid ?? 0;
    putTime(words, at + 4, accessed ?? changed);
    putTime(words, at + 6, changed);
    putTime(words, at + 8, modified);
    this.#publish(position + 80);
  }

  *records(): Iterable<UnsaidRecord> {
    const { words } = this.#memory;
    for (let position = placeFor(headBytes); position < this.#end;) {
      const at = this.#wordAt(position);
      const [kind, what] = [Math.floor(words[at]! / 2 ** 32), words[at]! % 2 ** 32];
      if (kind === kinds.write) {
        const from = position + 40;
        const [offset, now, request] = [words[at + 1]!, takeTime(words, at + 2), words[at + 4]!];
        yield { kind: 'write', offset, length: what, now, request, bytes: () => this.#gather(from, what) };
        position = placeFor(from + what);
      } else {
        const changes = {
          ...(what & has.mode ? { mode: words[at + 1]! } : {}),
          ...(what & has.uid ? { uid: words[at + 2]! } : {}),
          ...(what & has.gid ? { gid: words[at + 3]! } : {}),
          ...(what & has.accessed ? { accessed: takeTime(words, at + 4) } : {}),
        };
        yield { kind: 'change', changes, changed: takeTime(words, at + 6), modified: takeTime(words, at + 8) };
        position = placeFor(position + 80);
      }
    }
  }

  /** It is said, or lost. */
  free(): void {
    this.#over = true;
    this.#memory.give(this.#chunks);
    this.#chunks = [];
  }

  /** Where a record goes that has so many bytes behind its words; undefined: nowhere. */
  #begin(kind: number, what: number, bytes: number): number | undefined {
    if (this.#over) return undefined;
    const position = placeFor(this.#end);
    if (!this.#reach(position + maxRecordBytes + bytes)) {
      this.free();
      return undefined;
    }
    this.#memory.words[this.#wordAt(position)] = kind * 2 ** 32 + what;
    return position;
  }

  /** One store of eight bytes, after all that it covers: a process dies before it or after it. */
  #publish(end: number): void {
    this.#end = end;
    this.#memory.words[this.#wordAt(0) + word.end] = end;
  }

  #reach(end: number): boolean {
    while (this.#chunks.length * chunkBytes < end) {
      const chunk = this.#memory.take(this.#number, this.#chunks.length);
      if (chunk === undefined) return false;
      this.#chunks.push(chunk);
    }
    return true;
  }

  #gather(from: number, length: number): Uint8Array {
    const parts: Uint8Array[] = [];
    for (let at = from; at < from + length;) {
      const most = Math.min(from + length - at, chunkBytes - (at % chunkBytes));
      const start = this.#byteAt(at);
      parts.push(this.#memory.ring.subarray(start, start + most));
      at += most;
    }
    return Buffer.concat(parts);
  }

  #byteAt(position: number): number {
    return this.#chunks[Math.floor(position / chunkBytes)]! * chunkBytes + (position % chunkBytes);
  }

  #wordAt(position: number): number {
    return this.#byteAt(position) / 8;
  }
}

/** Where the record is that comes behind what ends here. */
function placeFor(end: number): number {
  const aligned = Math.ceil(end / 8) * 8;
  const left = chunkBytes - (aligned % chunkBytes);
  return left < maxRecordBytes ? aligned + left : aligned;
}

function putTime(words: Float64Array, at: number, { seconds, nanoseconds }: FileTime): void {
  words[at] = seconds;
  words[at + 1] = nanoseconds;
}

function takeTime(words: Float64Array, at: number): FileTime {
  return { seconds: words[at]!, nanoseconds: words[at + 1]! };
}

function putVersion(words: Float64Array, at: number, { changed, modified, size }: FileVersion): void {
  putTime(words, at, changed);
  putTime(words, at + 2, modified);
  words[at + 4] = size;
}

function takeVersion(words: Float64Array, at: number): FileVersion {
  return { changed: takeTime(words, at), modified: takeTime(words, at + 2), size: words[at + 4]! };
}
