import { codeOf, Histogram } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import type { BlockStore, CallOptions, CommitResult, Stage, StoredBlock } from '../store/index.ts';

/** What became of calls of one kind. */
export class CallMeter {
  readonly seconds = new Histogram();
  /** By error code. */
  readonly failures = new Map<string, number>();

  failed(code: string): void {
    this.failures.set(code, (this.failures.get(code) ?? 0) + 1);
  }

  /** @param began When the call that ended now did, by `performance.now()`. */
  took(began: number): void {
    this.seconds.observe(performance.now() - began);
  }

  /** Measures a call that is under way. */
  async measure<T>(call: Promise<T>): Promise<T> {
    const began = performance.now();
    try {
      return await call;
    } catch (error) {
      this.failed(codeOf(error));
      throw error;
    } finally {
      this.took(began);
    }
  }
}

/** A block store whose calls are counted: what volumes and programs of this host ask for, and how long it takes. */
export class MeasuredStore implements BlockStore {
  readonly #store: BlockStore;
  readonly #onCall: () => void;
  readonly #checkWrites: () => void;
  readonly meters = { get: new CallMeter(), fetch: new CallMeter(), commit: new CallMeter() } as const;
  readonly outcomes = { committed: 0, conflict: 0, failed: 0, unknown: 0 };
  readBytes = 0;
  writtenBytes = 0;

  /**
   * @param onCall Called before each call.
   * @param checkWrites Called before each commit: throws where this host may not write.
   */
  constructor(store: BlockStore, onCall: () => void = () => {}, checkWrites: () => void = () => {}) {
    this.#store = store;
    this.#onCall = onCall;
    this.#checkWrites = checkWrites;
  }

  async get(address: Address, options?: CallOptions): Promise<Uint8Array> {
    this.#onCall();
    const bytes = await this.meters.get.measure(this.#store.get(address, options));
    this.readBytes += bytes.length;
    return bytes;
  }

  async fetch(address: Address, options?: CallOptions): Promise<StoredBlock | undefined> {
    this.#onCall();
    const block = await this.meters.fetch.measure(this.#store.fetch(address, options));
    this.readBytes += block?.payload.length ?? 0;
    return block;
  }

  async commit(stages: readonly Stage[], options?: CallOptions): Promise<CommitResult> {
    this.#onCall();
    this.#checkWrites();
    for (const { put, update } of stages) {
      for (const { sealed } of put ?? []) this.writtenBytes += sealed.length;
      for (const { payload } of update ?? []) this.writtenBytes += payload?.length ?? 0;
    }
    // As `measure` does it, which would be one more promise on the way of every write.
    const began = performance.now();
    let result: CommitResult;
    try {
      result = await this.#store.commit(stages, options);
    } catch (error) {
      this.meters.commit.failed(codeOf(error));
      throw error;
    } finally {
      this.meters.commit.took(began);
    }
    if (result.done) for (const versions of result.versions) this.outcomes.committed += versions.length;
    else for (const { status } of result.outcomes) this.outcomes[status]++;
    return result;
  }
}
