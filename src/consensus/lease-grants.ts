import { compareBallots, type PeerId } from './ballot.ts';
import type { LeaseRequest, Reply } from './messages.ts';
import type { LeaseGrants } from './operation.ts';
import type { Accepted } from './record.ts';

/** A lease counts only by grants of acceptors that held the very record it is about: no other can have been chosen behind them. */
export function grantsOf(request: LeaseRequest, accepted: Accepted, answers: ReadonlyMap<PeerId, Reply>): LeaseGrants {
  const sessions = new Map<PeerId, number>();
  for (const [peer, answer] of answers) {
    if (answer.grant > 0 && (answer.type === 'accepted' || compareBallots(answer.accepted?.ballot ?? null, accepted.ballot) === 0))
      sessions.set(peer, answer.grant);
  }
  return { request, accepted, sessions };
}
