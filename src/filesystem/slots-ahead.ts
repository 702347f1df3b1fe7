import { messageOf } from '../base/index.ts';
import type { UpdateOutcome } from '../store/index.ts';
import { contentSlots, encodeContentBlock } from './content-journal-codec.ts';
import type { VolumeContext } from './context.ts';
import type { BlockVersion } from './named-block.ts';

/** Blocks of the ring that are made ready together. */
const readyAtOnce = 64;
/** What a block says that was made before it was needed: a place in no turn of the ring. */
const noPosition = 2 ** 48;

/**
 * In a cluster the first write of a block by a host takes two rounds, the next ones one: the replicas have promised it to that host. So some blocks of the ring are asked for
 * together before their turn, in the background. What is there already is left as it is: the write expects nothing there, and its conflict says what is. Where nothing is, the block is
 * made, empty and of no turn, which means the same to a mount that looks for the newest block.
 */
export class SlotsAhead {
  readonly #context: VolumeContext;
  readonly #slot: (position: number) => BlockVersion;
  /** Blocks from the first of this session on, and up to `#end`, were made ready or are being. */
  #begin = -1;
  #end = 0;
  #underWay: { readonly from: number; readonly done: Promise<void> } | undefined;

  constructor(context: VolumeContext, slot: (position: number) => BlockVersion) {
    this.#context = context;
    this.#slot = slot;
  }

  /** While the block at `position` is being made ready it must not be written. */
  settled(position: number): Promise<void> | undefined {
    const work = this.#underWay;
    return work !== undefined && position >= work.from && position < this.#end ? work.done : undefined;
  }

  /** All that is under way has ended. */
  async stop(): Promise<void> {
    this.#begin = 0;
    this.#end = Infinity;
    await this.#underWay?.done;
  }

  /** `position` is written next. Blocks that this session wrote need nothing. */
  next(position: number): void {
    if (this.#begin < 0) this.#begin = this.#end = position;
    if (this.#underWay !== undefined || this.#end - position > readyAtOnce / 2) return;
    const from = Math.max(this.#end, position);
    const end = Math.min(from + readyAtOnce, this.#begin + contentSlots);
    if (end <= from) return;
    this.#end = end;
    const done = this.#ready(from, end).finally(() => (this.#underWay = undefined));
    this.#underWay = { from, done };
  }

  async #ready(from: number, end: number): Promise<void> {
    const context = this.#context;
    const blocks = Array.from({ length: end - from }, (_, index) => this.#slot(from + index));
    const body = encodeContentBlock({ stamp: { session: context.session, count: 0 }, position: noPosition, tail: 0, entries: [] });
    const update = blocks.map(({ address }) => ({
      address,
      expect: 'absent' as const,
      payload: context.sealer.sealPayload(address, context.owner(0), body),
    }));
    try {
      const result = await context.store.commit([{ update }]);
      blocks.forEach((block, index) =>
        take(block, result.done ? { status: 'committed', version: result.versions[0]![index]! } : result.outcomes[index]!),
      );
    } catch (error) {
      context.logger.debug('blocks of the content journal were not made ready', { error: messageOf(error) });
      for (const block of blocks) if (!block.exists) block.doubt();
    }
  }
}

function take(block: BlockVersion, outcome: UpdateOutcome): void {
  if (outcome.status === 'committed') block.written(outcome.version);
  else if (outcome.status === 'conflict' && !block.known) block.found(outcome.current);
  else if (!block.exists) block.doubt();
}
