/** What one side of a port asked the other and has not heard yet, by number. */
export class Questions<T> {
  readonly #waiting = new Map<number, PromiseWithResolvers<T>>();
  #next = 1;

  get size(): number {
    return this.#waiting.size;
  }

  /** @param send the question, which bears that number. */
  ask(send: (id: number) => void): Promise<T> {
    const id = this.#next++;
    const waiting = Promise.withResolvers<T>();
    this.#waiting.set(id, waiting);
    try {
      send(id);
    } catch (error) {
      this.failed(id, error);
    }
    return waiting.promise;
  }

  /** It was answered. Of what nobody waits for any more nothing comes. */
  answered(id: number, answer: T): void {
    this.#take(id)?.resolve(answer);
  }

  failed(id: number, error: unknown): void {
    this.#take(id)?.reject(error);
  }

  /** None of them is answered any more. */
  fail(error: unknown): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  /** All come to the same. */
  answerAll(answer: T): void {
    for (const { resolve } of this.#waiting.values()) resolve(answer);
    this.#waiting.clear();
  }

  #take(id: number): PromiseWithResolvers<T> | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }
}
