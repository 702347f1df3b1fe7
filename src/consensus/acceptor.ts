import { type Ballot, compareBallots, lowestRound, type PeerId, sameBallot } from './ballot.ts';
import { LeaseTable } from './lease-table.ts';
import type { Accept, Forget, Learn, Prepare, Read, Reply, ReplyType, Request } from './messages.ts';
import { type Accepted, type BlockId, type BlockRecord, isMember, type View } from './record.ts';
import { productionRules, type Rules } from './rules.ts';

/** What an acceptor keeps of a block, durably. */
export interface AcceptorState {
  /** Nothing lower is accepted any longer. */
  readonly promised: Ballot | null;
  readonly accepted: Accepted | null;
  /** The record was damaged and could not be read: see docs/consensus.md, “Lost records”. */
  readonly lost: boolean;
}

/** The state to go on with where a stored record turns out to be damaged. Store it, so that the damage is not taken for absence later. */
export const lostState: AcceptorState = { promised: null, accepted: null, lost: true };

/** What one message led to. */
export interface AcceptorStep {
  /** The block's state from now on; undefined: nothing is kept. */
  readonly state: AcceptorState | undefined;
  readonly reply: Reply;
  /** The state must be durable before the reply leaves. */
  readonly changed: boolean;
  /** Where not −1: this floor must be durable no later than the state. */
  readonly floor: number;
  /** Holders that must be sent a recall of the block. */
  readonly recalls: readonly PeerId[];
}

export interface AcceptorOptions {
  readonly self: PeerId;
  readonly leases: LeaseTable;
  /** The views of the roster that are in force here, as they apply to the block; the newest last. */
  readonly views: (block: BlockId) => readonly View[];
  /** The highest floor that was made durable. */
  readonly floor?: number;
  readonly rules?: Rules;
}

const nobody: readonly PeerId[] = [];
const noViews: readonly View[] = [];

/** What a reply tells beside the state that it leaves: nothing, but for what is given. */
interface Told {
  readonly changed?: boolean;
  readonly accepted?: Accepted | null;
  /** The asker has what is accepted already. */
  readonly same?: boolean;
  readonly views?: readonly View[];
  /** The session under which a lease is granted; 0: none is. */
  readonly grant?: number;
  readonly recalls?: readonly PeerId[];
  readonly unsure?: boolean;
}

/** What the asker of a reply that tells what was accepted knows already. */
interface Inquiry {
  readonly known: Ballot | null;
  /** The newest view of the roster that it knows; −1: it wants none. */
  readonly view?: number;
  readonly changed?: boolean;
  readonly grant?: number;
  readonly now?: number;
}

/**
 * One host's acceptor (Lamport 2001; Rystsov 2018): what it promised and accepted, a block at a time. It decides and does nothing:
 * whoever calls keeps the state, makes it durable where `changed`, and only then sends the reply.
 */
export class Acceptor {
  readonly self: PeerId;
  readonly leases: LeaseTable;
  readonly #rules: Rules;
  readonly #views: (block: BlockId) => readonly View[];
  #floor: number;

  constructor({ self, leases, views, floor = 0, rules = productionRules }: AcceptorOptions) {
    this.self = self;
    this.leases = leases;
    this.#views = views;
    this.#floor = floor;
    this.#rules = rules;
  }

  /** Blocks that are not here take no ballot of this round or lower: it could be a straggler of a block that was forgotten. */
  get floor(): number {
    return this.#floor;
  }

  /** Answers one request. `state` is what was kept of the request's block; `now` the host's monotonic clock in milliseconds. */
  step(state: AcceptorState | undefined, request: Request, now: number): AcceptorStep {
    if (state !== undefined && state.lost && !this.#rules.lostMayVote()) return this.#whileLost(state, request);
    switch (request.type) {
      case 'prepare':
        return this.#prepare(state, request, now);
      case 'accept':
        return this.#accept(state, request, now);
      case 'read':
        return this.#read(state, request, now);
      case 'learn':
        return this.#learn(state, request);
      case 'forget':
        return this.#forget(state, request);
    }
  }

  #prepare(state: AcceptorState | undefined, request: Prepare, now: number): AcceptorStep {
    const { ballot } = request;
    const recalls: PeerId[] = [];
    // Only a dirty holder must be heard before somebody builds on the record; a clean one is asked when the accept comes.
    if (!this.leases.allows(request.from, request.block, 'read', now, recalls)) return this.#keep(state, request, 'leased', recalls);
    if (state === undefined && ballot.round <= this.#floor) return this.#keep(state, request, 'rejected');
    const promised = state?.promised ?? null;
    if (!this.#rules.mayPromise(promised, ballot)) return this.#keep(state, request, 'rejected');
    const again = state !== undefined && sameBallot(promised, ballot);
    const next = again ? state : { promised: ballot, accepted: state?.accepted ?? null, lost: false };
    return this.#answer(next, request, 'promised', { changed: !again, known: request.known, view: request.view, now });
  }

  #accept(state: AcceptorState | undefined, request: Accept, now: number): AcceptorStep {
    const { ballot, record, next, founding } = request;
    // No proposer asks a host that has no say about the record.
    if (!isMember(record, this.self)) return this.#keep(state, request, 'rejected');
    const recalls: PeerId[] = [];
    const promised = state?.promised ?? null;
    const accepted = state?.accepted ?? null;
    if (accepted !== null && sameBallot(accepted.ballot, ballot)) return this.#acceptedBefore(state!, request, now);
    if (!this.leases.allows(request.from, request.block, 'write', now, recalls, request)) return this.#keep(state, request, 'leased', recalls);
    // Nothing is below the lowest ballot: what is promised along with it stands against stragglers of a block that was forgotten.
    const round = ballot.round === lowestRound ? (next?.round ?? lowestRound) : ballot.round;
    if (state === undefined && round <= this.#floor) return this.#keep(state, request, 'rejected');
    if (!this.#rules.mayAccept(promised, ballot)) return this.#keep(state, request, 'rejected');
    const { condition } = request;
    // What its proposer read was another life of the block, forgotten since: no promise stood against that, but versions tell.
    if (condition !== null && accepted === null && !this.#rules.mayBegin(this.#floor, record.version)) return this.#keep(state, request, 'rejected');
    if (condition !== null && !this.#rules.meetsCondition(accepted?.ballot ?? null, condition.ballot)) return this.#keep(state, request, 'rejected');
    if (founding >= 0 && accepted === null) {
      const views = this.#views(request.block);
      // Of a view that is retired nobody looks for what is left here any more.
      const inForce = views.length === 0 || record.replicas.includes(this.self) || views.some(({ replicas }) => replicas.includes(this.self));
      if (!inForce || !this.#rules.mayFound(founding, views))
        return this.#reply(state, request, 'rejected', { views: this.#rules.viewsToTell(founding, views) });
    }
    // The record, not the message, is kept: the message's other fields must not stay in memory.
    const kept = { promised: next ?? ballot, accepted: { ballot, record, pointer: false }, lost: false };
    const grant = this.#grant(request, 'accept', now);
    return this.#reply(kept, request, 'accepted', { changed: true, grant });
  }

  /** The same accept again, or one whose record was learnt meanwhile. What it asked to promise must hold too. */
  #acceptedBefore(state: AcceptorState, request: Accept, now: number): AcceptorStep {
    const { next } = request;
    const raise = next !== null && compareBallots(next, state.promised) > 0;
    const kept = raise ? { ...state, promised: next } : state;
    const grant = this.#grant(request, 'repeated accept', now);
    return this.#reply(kept, request, 'accepted', { changed: raise, grant });
  }

  #grant({ from, block, lease, record }: Accept, along: 'accept' | 'repeated accept', now: number): number {
    return lease !== null && this.#rules.mayLease(record) && this.#rules.mayGrant(lease.mode, along) ? this.leases.grant(from, block, lease, now) : 0;
  }

  #read(state: AcceptorState | undefined, request: Read, now: number): AcceptorStep {
    const recalls: PeerId[] = [];
    if (!this.leases.allows(request.from, request.block, 'read', now, recalls)) return this.#keep(state, request, 'leased', recalls);
    const accepted = state?.accepted ?? null;
    const { lease } = request;
    const here = accepted !== null && !accepted.pointer && this.#rules.mayLease(accepted.record);
    const grant = here && lease !== null && this.#rules.mayGrant(lease.mode, 'read') ? this.leases.grant(request.from, request.block, lease, now) : 0;
    return this.#answer(state, request, 'value', { known: request.known, view: request.view, grant, now });
  }

  #learn(state: AcceptorState | undefined, request: Learn): AcceptorStep {
    const { ballot, record } = request;
    const accepted = state?.accepted ?? null;
    if (accepted === null && !this.#rules.mayLearn(this.#floor, ballot.round)) return this.#keep(state, request, 'learned');
    const order = accepted === null ? 1 : compareBallots(ballot, accepted.ballot);
    const pointer = !isMember(record, this.self);
    const news = order > 0 || (order === 0 && pointer && !accepted!.pointer);
    const kept = news ? learnt(state, ballot, record, pointer) : state;
    return this.#answer(kept, request, 'learned', { changed: news, known: ballot });
  }

  #forget(state: AcceptorState | undefined, request: Forget): AcceptorStep {
    const { ballot } = request;
    const accepted = state?.accepted ?? null;
    // A bare promise may go at any time: the floor, raised to its round, refuses all that it refused.
    if (accepted !== null && !(sameBallot(accepted.ballot, ballot) && this.#mayForget(accepted, request.block)))
      return this.#keep(state, request, 'rejected');
    // Whatever was promised here must stay refused when the promise itself is gone.
    const floor = Math.max(ballot.round, request.floor, state?.promised?.round ?? 0);
    const raised = floor > this.#floor;
    if (raised) this.#floor = floor;
    const { reply } = this.#reply(undefined, request, 'forgotten', { changed: true });
    return { state: undefined, reply, changed: state !== undefined || raised, floor: raised ? floor : -1, recalls: nobody };
  }

  /** A pointer that some view in force may lead to must stay: it is what keeps a second founding away. */
  #mayForget({ record, pointer }: Accepted, block: BlockId): boolean {
    if (pointer) return !this.#views(block).some(({ replicas }) => replicas.includes(this.self));
    return record.value === null && record.previous.length === 0 && record.unsettled.length === 0;
  }

  /** A host that lost its record says nothing about the block until a chosen record says that it has nothing to say. */
  #whileLost(state: AcceptorState, request: Request): AcceptorStep {
    if (request.type === 'learn' && !isMember(request.record, this.self)) {
      return this.#answer(learnt(undefined, request.ballot, request.record, true), request, 'learned', { changed: true, known: request.ballot });
    }
    return this.#keep(state, request, 'lost');
  }

  #keep(state: AcceptorState | undefined, request: Request, type: ReplyType, recalls: readonly PeerId[] = nobody): AcceptorStep {
    return this.#reply(state, request, type, { recalls });
  }

  /** A reply that tells what was accepted. */
  #answer(
    state: AcceptorState | undefined,
    request: Request,
    type: ReplyType,
    { changed = false, known, view = -1, grant = 0, now = 0 }: Inquiry,
  ): AcceptorStep {
    const accepted = state?.accepted ?? null;
    const same = accepted !== null && known !== null && sameBallot(accepted.ballot, known);
    const views = accepted === null && view >= 0 ? this.#rules.viewsToTell(view, this.#views(request.block)) : noViews;
    const unsure = type !== 'learned' && this.leases.isUnsure(request.from, request.block, now);
    return this.#reply(state, request, type, { changed, accepted, same, views, grant, unsure });
  }

  #reply(state: AcceptorState | undefined, request: Request, type: ReplyType, told: Told): AcceptorStep {
    const { changed = false, accepted = null, same = false, views = noViews, grant = 0, recalls = nobody, unsure = false } = told;
    const reply: Reply = {
      type,
      from: this.self,
      block: request.block,
      tag: request.tag,
      attempt: request.attempt,
      promised: state?.promised ?? null,
      accepted,
      same,
      floor: this.#floor,
      views,
      unsure,
      grant,
    };
    return { state, reply, changed, floor: -1, recalls };
  }
}

function learnt(state: AcceptorState | undefined, ballot: Ballot, record: BlockRecord, pointer: boolean): AcceptorState {
  const promised = state?.promised ?? null;
  const kept = pointer && record.value !== null ? { ...record, value: null } : record;
  return { promised: compareBallots(ballot, promised) > 0 ? ballot : promised, accepted: { ballot, record: kept, pointer }, lost: false };
}
