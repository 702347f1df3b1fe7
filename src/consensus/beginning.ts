import type { Hint, Operation } from './operation.ts';

/**
 * How an operation begins. `fresh`: at the lowest ballot of all. `promised`: a quorum promised it a ballot on top of the record that it knows. `conflict`: that record does not allow
 * it, which a read shows for less. `unknown`: a write that has yet to ask.
 */
export type Beginning = 'read' | 'prepare' | 'fresh' | 'promised' | 'conflict' | 'unknown';

/** @param mustAccept A lease is asked for that comes with an accept only. */
export function beginningOf(operation: Operation, hint: Hint | null, mustAccept: boolean): Beginning {
  if (operation.kind === 'read' && !mustAccept) return 'read';
  if (operation.kind !== 'write') return 'prepare';
  if (operation.fresh === true) return 'fresh';
  if (hint === null) return 'unknown';
  const { record } = hint.accepted;
  if (operation.apply(record, record.version + 1) === undefined) return 'conflict';
  return hint.next === null ? 'unknown' : 'promised';
}
