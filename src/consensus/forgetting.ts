import { compareBallots, type PeerId } from './ballot.ts';
import { hostsToSettle } from './decision.ts';
import type { Reply } from './messages.ts';
import type { Operation } from './operation.ts';
import type { Accepted } from './record.ts';

/** Of those that were told a record: how many know it, or have nothing of the block and acknowledge that, and the highest round that any of them promised. */
export function acknowledged(answers: ReadonlyMap<PeerId, Reply>, { ballot }: Accepted): { readonly count: number; readonly promised: number } {
  let count = 0;
  let round = 0;
  for (const { accepted, promised, floor } of answers.values()) {
    if (accepted === null || compareBallots(accepted.ballot, ballot) >= 0) count++;
    round = Math.max(round, floor, promised?.round ?? 0);
  }
  return { count, promised: round };
}

/** Who may forget the block once all know the record: all replicas a tombstone, those that are none their pointer. */
export function whoForgets(operation: Operation, { record }: Accepted): readonly PeerId[] {
  const { replicas } = record;
  return operation.kind === 'forget' ? replicas : hostsToSettle(operation, record).filter((peer) => !replicas.includes(peer));
}
