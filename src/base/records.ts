/** Small values by key that outlive this process where somebody keeps them. */
export interface Records {
  /** What the process before left. */
  all(): ReadonlyMap<string, unknown>;
  /** @param value JSON; undefined: none any more. */
  put(key: string, value: unknown): void;
}
