import { InfinitError } from '../../base/index.ts';
import type { VolumeContext } from '../context.ts';
import { versionsOf } from '../failure.ts';
import { Miss } from '../miss.ts';

/** Numbers that a mount reserves at once. */
export const inodeChunk: number = 2 ** 20;
/** Left in a chunk when the next one is reserved. */
const refillBelow = 2 ** 16;
const maxAttempts = 100;
/** 1 is the root; lower ones stay free for what is to come. */
const firstNumber = 16;
/** Where the counter is lost numbers go on so far above the last one that is known of: no mount before has used so many more. */
const lostNumbers = 2 ** 36;

/** Inode numbers that were never used before: chunks are taken from a counter block by compare-and-set, so that no two mounts share one. */
export class InodeNumbers {
  readonly #context: VolumeContext;
  #next = 0;
  #end = 0;
  /** Where there is no counter. */
  #start = firstNumber;
  #first: number | undefined;
  #spare: { readonly from: number; readonly end: number } | undefined;
  #reserving: Promise<void> | undefined;

  constructor(context: VolumeContext) {
    this.#context = context;
  }

  /** The first number of this mount: lower ones are of mounts before it. */
  get first(): number {
    return this.#first ?? Infinity;
  }

  /** The number that comes next; undefined: none could be reserved yet. */
  get next(): number | undefined {
    return this.#first === undefined ? undefined : this.#next;
  }

  /** The volume is not new, and all its numbers that are known of are below this: where its counter is not there it is lost with all its hosts. */
  startAbove(known: number): void {
    this.#start = Math.max(firstNumber, known) + lostNumbers;
  }

  /** @throws Miss where a chunk has to be reserved first. */
  take(): number {
    if (this.#next === this.#end) {
      if (this.#spare === undefined) throw new Miss(this.reserve());
      this.#next = this.#spare.from;
      this.#end = this.#spare.end;
      this.#spare = undefined;
    }
    if (this.#end - this.#next < refillBelow && this.#spare === undefined) this.reserve().catch(() => {});
    return this.#next++;
  }

  /** Takes a chunk from the counter. */
  reserve(): Promise<void> {
    return (this.#reserving ??= this.#reserve().finally(() => (this.#reserving = undefined)));
  }

  async #reserve(): Promise<void> {
    const { store, sealer } = this.#context;
    const address = this.#context.address('inodes');
    for (let tries = 0; tries < maxAttempts; tries++) {
      const current = await store.fetch(address);
      const from = current === undefined ? this.#start : readCounter(sealer.openPayload(address, current.payload).body);
      const body = Buffer.alloc(8);
      body.writeDoubleLE(from + inodeChunk);
      const payload = sealer.sealPayload(address, this.#context.owner(0), body);
      const result = await store.commit([{ update: [{ address, expect: current?.version ?? 'absent', payload }] }]);
      if (!result.done && result.outcomes[0]?.status === 'conflict') continue;
      // After an unknown outcome the chunk may be ours or not: it stays unused.
      versionsOf(result);
      this.#first ??= from;
      if (this.#next === this.#end) {
        this.#next = from;
        this.#end = from + inodeChunk;
      } else this.#spare = { from, end: from + inodeChunk };
      return;
    }
    throw new InfinitError('unavailable', `no inode numbers could be reserved in ${maxAttempts} attempts`);
  }
}

function readCounter(body: Uint8Array): number {
  const from = Buffer.from(body.buffer, body.byteOffset, body.byteLength).readDoubleLE(0);
  if (!Number.isSafeInteger(from) || from < firstNumber) throw new InfinitError('damaged', 'the counter of inode numbers is not a number');
  return from;
}
