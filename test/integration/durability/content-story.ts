/** No file of the attack is longer. */
export const maxFileBytes: number = 192 * 1024;

/** What one thing that was done makes of some of a file's bytes. */
interface Candidate {
  readonly data: Buffer;
  /** 1 where it says something. */
  readonly mask: Uint8Array;
}

/** What a file may contain after a crash: what was durable, and each byte also as anything that was done since makes it. */
export class ContentStory {
  /** As a program sees it. */
  readonly now: Buffer;
  size = 0;
  readonly #most: number;
  #candidates: Candidate[];
  /** Any size in between: a write takes effect piece by piece. */
  #sizes = { least: 0, most: 0 };

  /** @param most no file of this story is longer. */
  constructor(most: number = maxFileBytes) {
    this.#most = most;
    this.now = Buffer.alloc(most);
    this.#candidates = [{ data: Buffer.alloc(most), mask: new Uint8Array(most).fill(1) }];
  }

  write(offset: number, data: Buffer): void {
    data.copy(this.now, offset);
    this.#add(offset, offset + data.length);
    this.#resize(Math.max(this.size, offset + data.length));
  }

  zero(start: number, end: number): void {
    this.now.fill(0, start, end);
    this.#add(start, end);
  }

  truncate(size: number): void {
    this.zero(Math.min(size, this.size), this.#most);
    this.#resize(size);
  }

  /** All of it is durable. */
  synced(): void {
    this.#candidates = [{ data: Buffer.from(this.now), mask: new Uint8Array(this.#most).fill(1) }];
    this.#sizes = { least: this.size, most: this.size };
  }

  /** These bytes are durable. */
  syncedRange(start: number, end: number): void {
    for (const { mask } of this.#candidates) mask.fill(0, start, end);
    this.#add(start, end);
    this.#sizes.least = Math.max(this.#sizes.least, Math.min(end, this.size));
  }

  copy(): ContentStory {
    const copy = new ContentStory(this.#most);
    this.now.copy(copy.now);
    copy.size = this.size;
    copy.#candidates = this.#candidates.map(({ data, mask }) => ({ data: Buffer.from(data), mask: new Uint8Array(mask) }));
    copy.#sizes = { ...this.#sizes };
    return copy;
  }

  /** What is wrong with a content; undefined: nothing. `exact`: nothing may be lost. */
  problem(seen: Buffer, exact: boolean): string | undefined {
    const { least, most } = exact ? { least: this.size, most: this.size } : this.#sizes;
    if (seen.length < least || seen.length > most) return `it has ${seen.length} bytes, and not ${least} to ${most}`;
    const may = (at: number): (number | undefined)[] =>
      exact ? [this.now[at]] : this.#candidates.flatMap(({ data, mask }) => (mask[at] === 1 ? [data[at]] : []));
    const wrong = Array.from(seen.keys()).filter((at) => !(exact ? seen[at] === this.now[at] : may(at).includes(seen[at])));
    const [first] = wrong;
    if (first === undefined) return undefined;
    const zeros = wrong.every((at) => seen[at] === 0) ? 'all zeros' : 'not all zeros';
    return `byte ${first} of ${seen.length} is ${seen[first]} and not one of ${may(first).join(', ')}; ${wrong.length} are wrong, up to ${wrong.at(-1)}, ${zeros}`;
  }

  #add(start: number, end: number): void {
    const mask = new Uint8Array(this.#most).fill(1, start, end);
    this.#candidates.push({ data: Buffer.from(this.now), mask });
  }

  #resize(size: number): void {
    this.size = size;
    this.#sizes = { least: Math.min(this.#sizes.least, size), most: Math.max(this.#sizes.most, size) };
  }
}
