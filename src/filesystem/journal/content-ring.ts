import type { VolumeContext } from '../context.ts';
import { contentSlots } from './content-journal-codec.ts';
import { BlockVersion } from './named-block.ts';

/** Slots that are made ready in one go: a commit of so many small blocks takes the hosts a few milliseconds. */
const groupSlots = 32;
/** The nearest slots are about to be used: nobody is to wait for them. */
const nearestSlots = 16;
/** Slots that are ready before they are used. The search for the newest block depends on it, see {@link ContentRing}. */
const readySlots = 96;
/** An fsync waits so long for its slot to be made ready, in ms; then it goes another way. */
const maxWaitMs = 200;
/** A host that is cut off is not to be asked for long: slots that are not ready cost a second round, and that is all. */
const readyDeadlineMs = 2000;

interface Group {
  readonly from: number;
  readonly end: number;
  readonly done: Promise<void>;
}

/**
 * The slots of the content journal's ring, as this mount knows them.
 *
 * The first write that a host makes of a block takes two rounds, a prepare and an accept; each further one takes one, since the accept before carried the
 * promise for it. So where blocks are on several hosts, an empty block is written into slots ahead of their first use in this mount, many in one exchange.
 * An empty block is as good as none. Slot 0 is left alone, since an empty slot 0 says that nothing was ever written; and less than half of the ring is
 * ever empty ahead of the newest block, so that the bisection which begins in its middle is not led astray by those that begin the next turn.
 */
export class ContentRing {
  readonly #context: VolumeContext;
  readonly #slots = new Map<number, BlockVersion>();
  /** The first position that was made ready, and the next one that is to be. */
  #first = -1;
  #next = 0;
  #making: Group | undefined;

  constructor(context: VolumeContext) {
    this.#context = context;
  }

  /** The block of a position. */
  slot(position: number): BlockVersion {
    const slot = position % contentSlots;
    let block = this.#slots.get(slot);
    if (block === undefined) {
      block = new BlockVersion(this.#context, this.#context.address(`content:${slot}`), undefined);
      this.#slots.set(slot, block);
    }
    return block;
  }

  /** A slot was read: its block is at this version. 0: there is none. */
  found(position: number, version: number): void {
    const slot = position % contentSlots;
    this.#slots.set(slot, new BlockVersion(this.#context, this.#context.address(`content:${slot}`), version));
  }

  /** Whether the slot may be written now; a promise where it is just being made ready. False: not soon, and two writes of one block must not race. */
  isFree(position: number): true | Promise<boolean> {
    const making = this.#making;
    return making === undefined || position < making.from || position >= making.end ? true : within(making.done, maxWaitMs);
  }

  /**
   * Makes slots ready in the background, once each.
   * @param position The next block's.
   * @param tail What the newest block says: what lies before it is not needed, also after a crash in this moment.
   */
  makeReady(position: number, tail: number): void {
    if (this.#making !== undefined) return;
    if (this.#first < 0) this.#first = position;
    const from = Math.max(this.#next, position + nearestSlots);
    const end = Math.min(from + groupSlots, tail + contentSlots - 1, this.#first + contentSlots);
    if (from >= position + readySlots || end <= from) return;
    this.#next = end;
    const positions = Array.from({ length: end - from }, (_, index) => from + index).filter((at) => at % contentSlots !== 0);
    const done = this.#write(positions).finally(() => (this.#making = undefined));
    this.#making = { from, end, done };
  }

  /** Nothing is being made ready any more. */
  async settled(): Promise<void> {
    await this.#making?.done;
  }

  /** Never rejects. */
  async #write(positions: readonly number[]): Promise<void> {
    const { sealer, store } = this.#context;
    await Promise.allSettled(positions.map((at) => this.slot(at).learn()));
    const known = positions.map((at) => this.slot(at)).filter((block) => block.known);
    if (known.length === 0) return;
    const update = known.map((block) => block.update(sealer.sealPayload(block.address, this.#context.owner(0), new Uint8Array(0))));
    const result = await store.commit([{ update }], { deadlineMs: readyDeadlineMs }).catch(() => undefined);
    known.forEach((block, index) => {
      const outcome = result === undefined || result.done ? undefined : result.outcomes[index];
      if (result?.done === true) block.written(result.versions[0]![index]!);
      else if (outcome?.status === 'committed') block.written(outcome.version);
      else this.#forget(block);
    });
  }

  /** Its version is read before it is used: whatever it is, for a straggler of an earlier mount may have been there. */
  #forget({ address }: BlockVersion): void {
    for (const [slot, block] of this.#slots) if (block.address === address) this.#slots.delete(slot);
  }
}

/** Whether the promise settles in time. */
function within(promise: Promise<void>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    void promise.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
