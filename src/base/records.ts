/** Small values by key that outlive this process where somebody keeps them. */
export interface Records {
  /** It is known that nothing is missing which was put under any process before. */
  readonly isWhole: boolean;
  /** What the process before left. */
  all(): ReadonlyMap<string, unknown>;
  /** It is known that something may be: the process before could not keep all of it, or one before that. Neither is so after an earlier version. */
  readonly areIncomplete: boolean;
  /** All of it at once. A value is JSON; undefined: none any more. */
  put(changes: Iterable<readonly [key: string, value: unknown]>): void;
}
