/** Records begin at multiples of this, and a record of this length leads to where the next one is. */
export const grain = 16;
/** Memory that is asked for at once. */
const chunkBytes = 1024 * 1024;
/** Chunks that are given up at once: some 1 ms of the kernel's. */
const chunksPerGiving = 8;
/** Rather than memory that was not used yet a place is taken where so much of what was used is free: what is touched first costs several times as much. */
const goBackBytes = 4 * chunkBytes;

/** What lies one behind the other. */
interface Area {
  readonly from: number;
  to: number;
}

/**
 * Which part of the memory of a redo log is taken, and where its next record goes: behind the one before, or, where what follows is taken or was never used, elsewhere. What is left
 * there stays free for later, so the log is full only when its memory is. Positions only grow; modulo the capacity they are places.
 */
export class RedoRing {
  readonly capacity: number;
  readonly #provide: (from: number, to: number) => boolean;
  /** Chunks that may be touched. */
  readonly #provided: Uint8Array;
  /** What is taken, in order of positions. The last one ends at {@link next}. */
  #areas: Area[] = [{ from: 0, to: 0 }];
  #next = 0;
  /** So far it goes on without a further look. */
  #until = 0;

  /** @param provide from now on this range of places may be touched; false: there is no memory for it. */
  constructor(capacity: number, provide: (from: number, to: number) => boolean) {
    this.capacity = capacity;
    this.#provide = provide;
    this.#provided = new Uint8Array(Math.ceil(capacity / chunkBytes));
  }

  /** The position of the next record. */
  get next(): number {
    return this.#next;
  }

  place(position: number): number {
    return position % this.capacity;
  }

  /** The next record has room where {@link next} is; behind it there is always room for one that leads elsewhere. */
  fits(length: number): boolean {
    return this.#next + length + grain <= this.#until;
  }

  /** Makes room for a record that does not fit: 0, or how far to {@link skip} before it is looked again. */
  room(length: number): number | 'full' | 'no-memory' {
    const needs = length + grain;
    const at = this.place(this.#next);
    const taken = this.#taken();
    const limit = Math.min(...taken.filter(([from]) => from >= at).map(([from]) => from), this.capacity);
    const stays = at + needs <= limit;
    if (!stays || !this.#isProvided(at, at + needs)) {
      const gaps = gapsBetween(taken, this.capacity);
      const used = gaps.flatMap(([from, to]) => this.#runs(from, to)).find(([from, to]) => to - from >= needs + goBackBytes);
      const [to] = used ?? (stays ? [at] : (gaps.toSorted((a, b) => b[1] - b[0] - (a[1] - a[0])).find(([from, end]) => end - from >= needs) ?? []));
      if (to === undefined || (to !== at && at + grain > limit)) return 'full';
      if (!this.#take(at, at + (to === at ? needs : grain))) return 'no-memory';
      if (to !== at) return (to - at + this.capacity) % this.capacity;
    }
    this.#until = this.#next + Math.min(limit, this.#runs(at, limit)[0]![1]) - at;
    return 0;
  }

  /** A record of this length was put there. */
  advance(length: number): void {
    this.#next += length;
  }

  /** A record that leads so far was put there. */
  skip(length: number): void {
    this.#areas.at(-1)!.to = this.#next + grain;
    this.#begin(length);
  }

  /** What lies before this position is free. */
  trim(position: number): void {
    this.#areas.at(-1)!.to = this.#next;
    this.#areas = this.#areas.filter(({ to }, index) => to > position || index === this.#areas.length - 1);
    const { from, to } = this.#areas[0]!;
    if (from < position) this.#areas[0] = { from: position, to };
  }

  /** Nothing is taken: it goes on at the first place. */
  clear(): void {
    this.restore(Math.ceil(this.#next / this.capacity) * this.capacity, []);
  }

  /** As another process left it. @param records their lengths; of one that `skips`, how far it leads. */
  restore(first: number, records: Iterable<{ readonly length: number; readonly skips: boolean }>): void {
    this.#next = first;
    this.#areas = [{ from: first, to: first }];
    this.#until = 0;
    for (const { length, skips } of records) {
      if (skips) this.skip(length);
      else {
        this.#provided.fill(1, Math.floor(this.place(this.#next) / chunkBytes), Math.floor((this.place(this.#next) + length - 1) / chunkBytes) + 1);
        this.advance(length);
        // An area ends where the memory does.
        if (this.place(this.#next) === 0) {
          this.#areas.at(-1)!.to = this.#next;
          this.#begin(0);
        }
      }
    }
  }

  /** Nothing is taken: a part of the memory is to be given up, from this place to the end. undefined: there is none left. */
  giveUp(): number | undefined {
    this.#until = 0;
    const last = this.#provided.lastIndexOf(1);
    if (last < 0) return undefined;
    this.#provided.fill(0, Math.max(0, last + 1 - chunksPerGiving));
    // The last part is all that is left: a process before this one may have had more.
    const first = this.#provided.includes(1) ? last + 1 - chunksPerGiving : 0;
    return first * chunkBytes;
  }

  #begin(length: number): void {
    this.#next += length;
    this.#areas.push({ from: this.#next, to: this.#next });
    this.#until = 0;
  }

  /** Taken places, in order. */
  #taken(): (readonly [from: number, to: number])[] {
    this.#areas.at(-1)!.to = this.#next;
    const places = this.#areas.map(({ from, to }) => [this.place(from), this.place(from) + to - from] as const);
    return places.filter(([from, to]) => to > from).toSorted(([a], [b]) => a - b);
  }

  #isProvided(from: number, to: number): boolean {
    const [first] = this.#runs(from, to);
    return first?.[0] === from && first[1] === to;
  }

  /** Parts of a range that may be touched, as long as they are. */
  #runs(from: number, to: number): (readonly [from: number, to: number])[] {
    const runs: [number, number][] = [];
    for (let start = from; start < to;) {
      const chunk = Math.floor(start / chunkBytes);
      const end = Math.min(to, (chunk + 1) * chunkBytes);
      if (this.#provided[chunk] === 1) {
        if (runs.at(-1)?.[1] === start) runs.at(-1)![1] = end;
        else runs.push([start, end]);
      }
      start = end;
    }
    return runs;
  }

  #take(from: number, to: number): boolean {
    for (let chunk = Math.floor(from / chunkBytes); chunk * chunkBytes < to; chunk++) {
      if (this.#provided[chunk] === 1) continue;
      if (!this.#provide(chunk * chunkBytes, Math.min(this.capacity, (chunk + 1) * chunkBytes))) return false;
      this.#provided[chunk] = 1;
    }
    return true;
  }
}

function gapsBetween(taken: readonly (readonly [from: number, to: number])[], capacity: number): (readonly [from: number, to: number])[] {
  let end = 0;
  const gaps: (readonly [number, number])[] = [];
  for (const [from, to] of taken) {
    if (from > end) gaps.push([end, from]);
    end = Math.max(end, to);
  }
  return end < capacity ? [...gaps, [end, capacity]] : gaps;
}
