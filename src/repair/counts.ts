/** What one check of everything on this host found. Copies are this host's own; what is amiss is counted by one host for each block, the first that is up. */
export interface BlockCounts {
  readonly immutable: number;
  readonly mutable: number;
  readonly named: number;
  /** Removed blocks that are not forgotten yet. */
  readonly tombstones: number;
  /** Fewer copies in reach than wanted. */
  readonly underReplicated: number;
  /** No majority in reach: unavailable. */
  readonly underQuorum: number;
  /** Copies that belong elsewhere. */
  readonly surplus: number;
  /** Records here that were found damaged and are not replaced yet. */
  readonly damaged: number;
  /** Blocks that were given up, since all their hosts were lost, and not made anew. */
  readonly givenUp: number;
}

export type Counter = { -readonly [Name in keyof BlockCounts]: number };

export function noCounts(): Counter {
  return { immutable: 0, mutable: 0, named: 0, tombstones: 0, underReplicated: 0, underQuorum: 0, surplus: 0, damaged: 0, givenUp: 0 };
}
