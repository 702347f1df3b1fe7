/** Inodes given back in one turn of the event loop: some 0.3 ms. */
const inodesPerTurn = 1024;
/** An inode and its count. */
const pair = 2;

/**
 * What the kernel gives back many at a time: one request has as many as fit into our buffer, 65,000, when it drops its caches. All at once they held up the event loop for
 * 10 ms and more; nobody waits for them, so the others of a message get their turn between other work.
 */
export class Forgets {
  readonly #forget: (inode: number, count: number) => void;
  /** Each the pairs of a message, or what is left of them. At most as much as the kernel knows of inodes. */
  #waiting: Float64Array[] = [];

  /** @param forget Must not throw. */
  constructor(forget: (inode: number, count: number) => void) {
    this.#forget = forget;
  }

  /** `pairs`: inode, count, inode, count… */
  take(pairs: Float64Array): void {
    this.#waiting.push(pairs);
    if (this.#waiting.length === 1) this.#turn();
  }

  /** There will be no more requests: all that waits, now. */
  finish(): void {
    for (const pairs of this.#waiting) this.#give(pairs);
    this.#waiting = [];
  }

  #turn(): void {
    const first = this.#waiting[0];
    if (first === undefined) return;
    const end = inodesPerTurn * pair;
    this.#give(first.subarray(0, end));
    if (first.length > end) this.#waiting[0] = first.subarray(end);
    else this.#waiting.shift();
    if (this.#waiting.length > 0) setImmediate(() => this.#turn());
  }

  #give(pairs: Float64Array): void {
    for (let at = 0; at < pairs.length; at += pair) this.#forget(pairs[at]!, pairs[at + 1]!);
  }
}
