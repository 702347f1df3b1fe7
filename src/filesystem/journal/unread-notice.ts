/** Inodes that nobody can be shown for now, for people. */
export interface UnreadNotice {
  readonly inodes: number;
  /** Of those, the ones of which a killed daemon left what waits for that: it is on no disk. */
  readonly held: number;
  /** Numbers of some of them. */
  readonly examples: readonly number[];
  /** Why the last one that was tried cannot be read. */
  readonly reason: string;
}

/** Whatever changes meanwhile is told so much later at the most, in ms. */
const delayMs = 1000;

/** Tells of them whenever there are others than before: not of each. */
export class UnreadTeller {
  readonly #look: () => UnreadNotice | undefined;
  readonly #tell: ((notice: UnreadNotice | undefined) => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #told = false;

  /** @param look undefined: there are none. */
  constructor(look: () => UnreadNotice | undefined, tell: ((notice: UnreadNotice | undefined) => void) | undefined) {
    this.#look = look;
    this.#tell = tell;
  }

  changed(): void {
    if (this.#tell === undefined || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#say(this.#look());
    }, delayMs);
    this.#timer.unref();
  }

  /** The volume is not open here any more. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#say(undefined);
  }

  #say(notice: UnreadNotice | undefined): void {
    if (notice !== undefined || this.#told) this.#tell?.(notice);
    this.#told = notice !== undefined;
  }
}
