import { crc32 } from 'node:zlib';

import { InfinitError } from '../../src/base/index.ts';
import { type AcceptorState, encodeState } from '../../src/consensus/index.ts';
import type { SeededRandom } from './random.ts';

const checksumBytes = 4;

interface Write {
  readonly block: string;
  /** undefined: deleted. */
  readonly state: AcceptorState | undefined;
  /** The host's floor, where not −1. */
  readonly floor: number;
}

/** A group of writes that becomes durable at once, and what may be said only then. */
export class Group<T> {
  readonly number: number;
  readonly writes: Write[] = [];
  readonly waiting: T[] = [];

  constructor(number: number) {
    this.number = number;
  }
}

/**
 * A host's medium: records with checksums. Writes gather in a group while the one before is being synced; a crash keeps a prefix of what was not synced
 * yet, and of the record after it some bytes.
 */
export class SimulatedDisk<T> {
  readonly #durable = new Map<string, Uint8Array>();
  #syncing: Group<T> | undefined;
  #next = new Group<T>(0);
  /** What a crash left of the record that was being written. */
  #torn: { readonly block: string; readonly bytes: Uint8Array } | undefined;
  /** Puts are refused. */
  full = false;
  /** A write failed: no other is taken before the process starts again. */
  failed = false;
  /** Small facts that are on the medium before anything depends on them. */
  incarnation = 0;
  floor = 0;
  earlierHolders: readonly { readonly peer: string; readonly incarnation: number }[] = [];

  /** Adds to the group that is gathering and returns it; undefined: refused. `reserved`: from the reserve that a full disk keeps. */
  write(block: string, state: AcceptorState | undefined, floor: number, reserved: boolean): Group<T> | undefined {
    if (this.failed || (this.full && !reserved && (state !== undefined || floor >= 0))) return undefined;
    this.#next.writes.push({ block, state, floor });
    return this.#next;
  }

  /** Starts to sync what has gathered. False where a sync is under way or there is nothing to do. */
  start(): boolean {
    if (this.#syncing !== undefined || this.#next.writes.length === 0) return false;
    this.#syncing = this.#next;
    this.#next = new Group(this.#syncing.number + 1);
    return true;
  }

  /** The group under way is on the medium; undefined: there is none, the disk failed meanwhile. */
  finish(): Group<T> | undefined {
    const group = this.#syncing;
    this.#syncing = undefined;
    if (group !== undefined) this.#apply(group.writes, group.writes.length);
    return group;
  }

  /** @throws InfinitError `damaged`. */
  read(block: string): Uint8Array | undefined {
    const frame = this.#durable.get(block);
    return frame === undefined ? undefined : contentOf(frame);
  }

  blocks(): IterableIterator<string> {
    return this.#durable.keys();
  }

  /** Power is gone: a prefix of what was not synced survives, and some bytes of what comes after it. */
  crash(random: SeededRandom): void {
    const writes = this.#lose();
    const kept = random.below(writes.length + 1);
    this.#apply(writes, kept);
    const cut = writes[kept];
    if (cut?.state !== undefined) {
      const frame = frameOf(cut.state);
      this.#torn = { block: cut.block, bytes: frame.subarray(0, random.below(frame.length)) };
    }
    this.failed = false;
  }

  /** An error: nobody is told what of this is on the medium, which is a prefix. Returns the writes that are not acknowledged. */
  fail(random: SeededRandom): readonly Write[] {
    const writes = this.#lose();
    this.#apply(writes, random.below(writes.length + 1));
    this.failed = true;
    return writes;
  }

  /** Before a process starts: a torn record at the end of the log is cut off, and what was there before it stands. */
  recover(checks: boolean): void {
    const torn = this.#torn;
    this.#torn = undefined;
    if (torn !== undefined && (!checks || isIntact(torn.bytes))) this.#durable.set(torn.block, checks ? torn.bytes : resealed(torn.bytes));
  }

  /** Turns a bit of a record over. False where there is none. */
  rot(block: string, random: SeededRandom): boolean {
    const frame = this.#durable.get(block);
    if (frame === undefined) return false;
    const rotten = frame.slice();
    rotten[random.below(rotten.length)]! ^= 1 << random.below(8);
    this.#durable.set(block, rotten);
    return true;
  }

  /** Whether a record is there that is damaged. */
  isRotten(block: string): boolean {
    const frame = this.#durable.get(block);
    return frame !== undefined && !isIntact(frame);
  }

  #lose(): Write[] {
    const writes = [...(this.#syncing?.writes ?? []), ...this.#next.writes];
    this.#syncing = undefined;
    this.#next = new Group(this.#next.number + 1);
    return writes;
  }

  /** The first so many writes reach the medium. States are laid out by the production codec; what a later write of these replaces need not be. */
  #apply(writes: readonly Write[], count: number): void {
    for (let index = count - 1; index >= 0; index--) {
      const { block, state, floor } = writes[index]!;
      if (floor > this.floor) this.floor = floor;
      if (isReplaced(writes, index, count)) continue;
      if (state === undefined) this.#durable.delete(block);
      else this.#durable.set(block, frameOf(state));
    }
  }
}

function isReplaced(writes: readonly Write[], at: number, count: number): boolean {
  const { block } = writes[at]!;
  for (let later = at + 1; later < count; later++) if (writes[later]!.block === block) return true;
  return false;
}

/** A state as it lies on the medium: a checksum, and what it is of. */
function frameOf(state: AcceptorState): Uint8Array {
  const content = encodeState(state);
  const frame = new Uint8Array(checksumBytes + content.length);
  frame.set(content, checksumBytes);
  seal(frame);
  return frame;
}

function seal(frame: Uint8Array): void {
  new DataView(frame.buffer, frame.byteOffset).setUint32(0, crc32(frame.subarray(checksumBytes)));
}

function isIntact(frame: Uint8Array): boolean {
  if (frame.length < checksumBytes) return false;
  return new DataView(frame.buffer, frame.byteOffset).getUint32(0) === crc32(frame.subarray(checksumBytes));
}

/** What a disk makes of torn bytes that looks at no checksum. */
function resealed(bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(Math.max(bytes.length, checksumBytes));
  frame.set(bytes);
  seal(frame);
  return frame;
}

function contentOf(frame: Uint8Array): Uint8Array {
  if (!isIntact(frame)) throw new InfinitError('damaged', 'the checksum of a record does not match');
  return frame.subarray(checksumBytes);
}
