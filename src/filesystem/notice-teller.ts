/** Whatever changes meanwhile is told so much later at the most, in ms. */
const delayMs = 1000;

/** Tells people of something that lasts, whenever it is another than before: not of each change. */
export class NoticeTeller<T> {
  readonly #look: () => T | undefined;
  readonly #tell: ((notice: T | undefined) => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #told = false;

  /** @param look undefined: there is nothing to tell. */
  constructor(look: () => T | undefined, tell: ((notice: T | undefined) => void) | undefined) {
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

  /** It is no more, whatever it was. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#say(undefined);
  }

  #say(notice: T | undefined): void {
    if (notice !== undefined || this.#told) this.#tell?.(notice);
    this.#told = notice !== undefined;
  }
}
