import { InfinitError } from '../base/index.ts';
import type { Need } from './health.ts';
import type { NewRecord } from './write-queue.ts';
import type { RecordId } from './record.ts';

/** Writes that wait for room at once. */
const maxWaiting = 4096;

interface Waiting {
  readonly need: Need;
  readonly ids: ReadonlySet<RecordId>;
  /** Resolves when it was handed to the log, or refused. */
  readonly begun: Promise<void>;
}

/**
 * Writes that wait for room, in the order of their calls. None of them is overtaken by a later one for one of its ids: the older value would be the
 * last one in the log, and what was acknowledged lost. Nor is one that is no bulk data by another such, for whoever keeps states relies on the order
 * of its writes. Bulk data holds nothing else back: the reserve is there so that small things go on without it.
 */
export class WaitingWrites {
  readonly #waiting = new Set<Waiting>();

  /** Whether something that waits must come before these records. */
  isBehind(records: readonly NewRecord[], need: Need): boolean {
    return this.#waiting.size > 0 && this.#before(records, need).length > 0;
  }

  /** Writes in its turn, once there is room. @throws InfinitError `overloaded`, and what `makeRoom` and `write` reject with. */
  async wait(records: readonly NewRecord[], need: Need, makeRoom: () => Promise<void>, write: () => Promise<void>): Promise<void> {
    if (this.#waiting.size >= maxWaiting) throw new InfinitError('overloaded', `${maxWaiting} writes wait for room on the disk`);
    const before = this.#before(records, need).map(({ begun }) => begun);
    const { promise, resolve } = Promise.withResolvers<void>();
    const own = { need, ids: new Set(records.map(({ id }) => id)), begun: promise };
    this.#waiting.add(own);
    let written: Promise<void>;
    try {
      await Promise.all(before);
      await makeRoom();
      written = write();
    } finally {
      this.#waiting.delete(own);
      resolve();
    }
    await written;
  }

  #before(records: readonly NewRecord[], need: Need): Waiting[] {
    return [...this.#waiting].filter((other) => (need !== 'bulk' && other.need !== 'bulk') || records.some(({ id }) => other.ids.has(id)));
  }
}
