import { InfinitError } from './errors.ts';

/**
 * Holds an invariant. A failure is a bug of ours, never bad input: it stays on in production and stops the host,
 * because going on from a state that cannot be is how data gets lost.
 */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new InfinitError('bug', `invariant broken: ${invariant}`);
}

/** Marks a branch that the types say cannot be reached. */
export function unreachable(value: never): never {
  throw new InfinitError('bug', `unreachable case: ${JSON.stringify(value)}`);
}
