/**
 * States of a search that were met, by what must be the same and by what had better be low: whatever can be done from a state with more of that can be
 * done from one with less, so only the first of two such states is worth looking at.
 */
export class Dominance {
  readonly #lowest = new Map<string, (readonly number[])[]>();

  /** True where no state met before had the same and none of these numbers higher. It counts as met from now on. */
  isNew(same: string, low: readonly number[]): boolean {
    const met = this.#lowest.get(same);
    if (met === undefined) {
      this.#lowest.set(same, [low]);
      return true;
    }
    if (met.some((other) => isAtMost(other, low))) return false;
    this.#lowest.set(same, [...met.filter((other) => !isAtMost(low, other)), low]);
    return true;
  }
}

function isAtMost(one: readonly number[], other: readonly number[]): boolean {
  return one.every((value, index) => value <= other[index]!);
}
