/** What one block of the content journal takes of a file; a file with more goes into its place at once. */
export const maxUnsyncedBytes: number = 48 * 1024;
export const maxUnsyncedSpans = 64;

/** A range of a file's bytes. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * Which of a file's bytes an fsync has to make durable still: short, sorted, disjoint. Once it would be long it only says
 * so (`tooMuch`), which costs a stream of writes nothing.
 */
export class Unsynced {
  #spans: { start: number; end: number }[] = [];
  #bytes = 0;
  #tooMuch = false;

  get empty(): boolean {
    return this.#spans.length === 0 && !this.#tooMuch;
  }

  get tooMuch(): boolean {
    return this.#tooMuch;
  }

  get spans(): readonly Span[] {
    return this.#spans;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(start: number, end: number): void {
    if (this.#tooMuch) return;
    const spans = this.#spans;
    let first = spans.length;
    while (first > 0 && spans[first - 1]!.end >= start) first--;
    let after = first;
    let low = start;
    let high = end;
    for (; after < spans.length && spans[after]!.start <= end; after++) {
      low = Math.min(low, spans[after]!.start);
      high = Math.max(high, spans[after]!.end);
      this.#bytes -= spans[after]!.end - spans[after]!.start;
    }
    spans.splice(first, after - first, { start: low, end: high });
    this.#bytes += high - low;
    if (this.#bytes > maxUnsyncedBytes || spans.length > maxUnsyncedSpans) this.overflow();
  }

  /** A change that the journal does not take. */
  overflow(): void {
    this.#tooMuch = true;
    this.#spans = [];
    this.#bytes = 0;
  }
}
