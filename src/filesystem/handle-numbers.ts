/** The largest that fits the kernel's replies as we write them: see {@link FileSystem.open}. */
const maxHandle = 2 ** 32 - 1;

/** Numbers for handles: in turn, from 1 again after the last, and none that is in use. */
export class HandleNumbers {
  #next: number;

  constructor(first = 1) {
    this.#next = first;
  }

  take(used: ReadonlyMap<number, unknown>): number {
    while (used.has(this.#next)) this.#advance();
    const number = this.#next;
    this.#advance();
    return number;
  }

  #advance(): void {
    this.#next = this.#next >= maxHandle ? 1 : this.#next + 1;
  }
}
