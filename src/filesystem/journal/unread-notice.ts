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
