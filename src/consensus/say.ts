import type { PeerId } from './ballot.ts';
import type { Request } from './messages.ts';
import { isMember } from './record.ts';

/**
 * Whether an acceptor may serve a request, given whether it has a say, and whether its host is a member (docs/consensus.md, “A host that returns”).
 *
 * What is chosen a host may be told whether it has a say or not: a host that was counted out returns by being told. But not that it is a replica, as one was of whom
 * nobody knew yet that it is counted out: what it took so after it gave up everything it would still have when it returns, and the others settle, remove and forget the
 * block without asking it.
 *
 * A host that drained has nothing but pointers, told it when the others settle what it had, and says so little by forgetting one that it needs no say for it.
 */
export function mayServe(request: Request, self: PeerId, hasSay: boolean, isHostMember: boolean): boolean {
  switch (request.type) {
    case 'learn':
      return isHostMember || !isMember(request.record, self);
    case 'forget':
      return hasSay || !isHostMember;
    default:
      return hasSay;
  }
}
