/** Small values by key that outlive this process where somebody keeps them. */
export interface Records {
  /** Nothing that was put under any process before is missing. */
  readonly isWhole: boolean;
  /** What the process before left. */
  all(): ReadonlyMap<string, unknown>;
  /** All of it at once. A value is JSON; undefined: none any more. */
  put(changes: Iterable<readonly [key: string, value: unknown]>): void;
}
