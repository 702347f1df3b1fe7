/** A file that was looked up is opened in the next round trip, or not at all: it is kept for so long at least, in ms, and for twice as long at most. */
const defaultLingerMs = 1000;
/** Inodes that one guest may be about to open. */
const maxExpected = 1024;

/**
 * What one guest's kernel was given for a name a moment ago, and may be about to open. It opens by inode: where a file is replaced again and again, one that is gone by then would fail
 * programs as no local file system does (the kernel looks up once more after ESTALE, and then gives up).
 */
export class LookedUp {
  readonly #expect: (inode: number) => (() => void) | undefined;
  #young: (() => void)[] = [];
  #old: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  readonly #lingerMs: number;

  /**
   * @param expect has the inode stay until the function that it returns is called.
   * @param lingerMs what it stays at least; twice that at the most.
   */
  constructor(expect: (inode: number) => (() => void) | undefined, lingerMs = defaultLingerMs) {
    this.#expect = expect;
    this.#lingerMs = lingerMs;
  }

  add(inode: number): void {
    if (this.#closed) return;
    const end = this.#expect(inode);
    if (end === undefined) return;
    if (this.#young.length + this.#old.length >= maxExpected) this.#age();
    this.#young.push(end);
    this.#timer ??= this.#later();
  }

  /** It opens none of them. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const end of [...this.#old.splice(0), ...this.#young.splice(0)]) end();
  }

  close(): void {
    this.#closed = true;
    this.clear();
  }

  #later(): NodeJS.Timeout {
    return setTimeout(() => {
      this.#age();
      this.#timer = this.#old.length === 0 ? undefined : this.#later();
    }, this.#lingerMs).unref();
  }

  #age(): void {
    const past = this.#old;
    this.#old = this.#young;
    this.#young = [];
    for (const end of past) end();
  }
}
