import { type Accepted, compareBallots, isMember, type ProposalOutcome } from '../../src/consensus/index.ts';

/** Whether a read that a host answered too found at least what that held when the read began: nothing of before is left there that the read did not see. */
export function isResolved(held: Accepted | null, outcome: ProposalOutcome): boolean {
  if (held === null || held.pointer) return true;
  return outcome.status === 'committed' && outcome.accepted !== null && compareBallots(held.ballot, outcome.accepted.ballot) <= 0;
}

/** Whether what a host held is a record of a block that it is no replica of. */
export function isOutsider(peer: string, held: Accepted | null, current: Accepted | null): boolean {
  return held !== null && !held.pointer && (current === null || !isMember(current.record, peer));
}
