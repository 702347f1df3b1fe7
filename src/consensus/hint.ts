import { type Ballot, compareBallots } from './ballot.ts';
import type { Hint } from './operation.ts';

/**
 * What is left of a hint where this host's own acceptor promised `promised` last. A promise to another host, above the one that the hint has, would have an accept refused by
 * some and perhaps taken by others that had not heard of it, and nobody would know how the write ended. A prepare finds out without any doubt.
 */
export function withoutStalePromise(hint: Hint | undefined, promised: Ballot | undefined): Hint | undefined {
  if (hint === undefined || hint.next === null || promised === undefined) return hint;
  return compareBallots(promised, hint.next) > 0 ? { accepted: hint.accepted, next: null } : hint;
}
