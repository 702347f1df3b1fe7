/** What is copied at once while others write: a group of the log with so much of it takes little longer than one without. */
const busyPieceBytes = 128 * 1024;
const calmPieceBytes = 1024 * 1024;
/** Others write where so many calls came between two looks, which lie so far apart at least, in ms. Leases are renewed each second. */
const busyCalls = 3;
const lookMs = 100;
/** What it costs others that a record is looked up which turns out to be garbage, as a share of its bytes, where nothing presses. */
const searchShare = 1 / 2;
/** What is copied in a second while others write and nothing presses, as a share of the whole rate. */
const slowestShare = 1 / 16;
/** Garbage begins to press where it is half of the store, and room where so many segments are left; where it is three quarters, or no room is left, the whole rate is due. */
const pressingGarbage = 0.5;
const mostGarbage = 0.75;
const pressingSegments = 16;
/** A store of fewer segments wastes little, whatever its share. */
const smallSegments = 4;

export interface CompactionPaceOptions {
  readonly segmentBytes: number;
  /** Limit while there is room enough. */
  readonly bytesPerSecond: number;
  /** Calls that wrote something so far. */
  readonly calls: () => number;
  readonly usedBytes: () => number;
  readonly liveBytes: () => number;
  readonly roomBytes: () => number;
}

/**
 * How fast room is taken back. Whoever waits for a sync waits for what is copied beside it too: while others write, compaction takes small pieces and goes slowly, as
 * long as garbage takes little of the store and there is room; the more it takes the faster, so that it keeps up with any load. Where nobody writes it makes up for that.
 */
export class CompactionPace {
  readonly #options: CompactionPaceOptions;
  readonly #now: () => number;
  #calls = 0;
  #lookedAt = -Infinity;
  #busy = false;

  constructor(options: CompactionPaceOptions, now: () => number = () => performance.now()) {
    this.#options = options;
    this.#now = now;
  }

  /** Bytes to be gone through before the next pause; a record is never divided. */
  get pieceBytes(): number {
    return this.#isBusy() ? busyPieceBytes : calmPieceBytes;
  }

  /** How long to pause after a piece of which some bytes were copied, and which took so long, in ms. */
  pauseMs(pieceBytes: number, copiedBytes: number, tookMs: number): number {
    const bytes = copiedBytes + (this.#isBusy() ? pieceBytes * searchShare * (1 - this.#pressure) : 0);
    return Math.max(0, (bytes / this.bytesPerSecond) * 1000 - tookMs);
  }

  get bytesPerSecond(): number {
    const { bytesPerSecond } = this.#options;
    return this.#isBusy() ? bytesPerSecond * (slowestShare + (1 - slowestShare) * this.#pressure) : bytesPerSecond;
  }

  /** From 0, where all this can wait, to 1. */
  get #pressure(): number {
    const { segmentBytes, usedBytes, liveBytes, roomBytes } = this.#options;
    const used = usedBytes();
    const garbage = used < smallSegments * segmentBytes ? 0 : 1 - liveBytes() / used;
    const byGarbage = (garbage - pressingGarbage) / (mostGarbage - pressingGarbage);
    const byRoom = 1 - roomBytes() / (pressingSegments * segmentBytes);
    return Math.min(1, Math.max(0, byGarbage, byRoom));
  }

  #isBusy(): boolean {
    const now = this.#now();
    if (now - this.#lookedAt < lookMs) return this.#busy;
    const calls = this.#options.calls();
    this.#busy = calls - this.#calls >= busyCalls;
    this.#calls = calls;
    this.#lookedAt = now;
    return this.#busy;
  }
}
