import type { View } from './record.ts';

/** The views of the roster that an operation knows: those that it began with, and those that acceptors told it of. */
export class KnownViews {
  #all: readonly View[];

  constructor(views: readonly View[]) {
    this.#all = views;
  }

  /** The newest last. */
  get all(): readonly View[] {
    return this.#all;
  }

  /** The number of the newest; −1: there is none. */
  get newest(): number {
    return this.#all.at(-1)?.number ?? -1;
  }

  add(views: readonly View[]): void {
    const news = views.filter(({ number }) => this.#all.every((view) => view.number !== number));
    if (news.length > 0) this.#all = [...this.#all, ...news].toSorted((a, b) => a.number - b.number);
  }
}
