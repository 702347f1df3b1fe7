/**
 * The consensus core: each mutable block is a linearizable register, replicated over a set of hosts that can change.
 * Decisions only, no I/O, clock or randomness of its own: the shell (src/store) and the simulator (test/simulation) drive the same code.
 * The protocol and the argument for its safety are in docs/consensus.md.
 */
export { Acceptor, type AcceptorOptions, type AcceptorState, type AcceptorStep, lostState } from './acceptor.ts';
export { type Ballot, BallotSource, compareBallots, formatBallot, type PeerId, sameBallot } from './ballot.ts';
export type { Heartbeat, HeartbeatReply, LeaseMessage, Recall, Release } from './lease-messages.ts';
export { LeaseHolder, type LeaseHolderOptions, maxClockDrift } from './lease-holder.ts';
export { decodeLeaseMessage, encodeLeaseMessage } from './lease-codec.ts';
export { decodeReply, decodeRequest, encodeReply, encodeRequest, type Parts } from './message-codec.ts';
export { type EarlierHolder, LeaseTable, type LeaseTableOptions } from './lease-table.ts';
export * from './limits.ts';
export type { Accept, Forget, LeaseMode, LeaseRequest, Learn, Prepare, Read, Reply, ReplyType, Request } from './messages.ts';
export { withoutStalePromise } from './hint.ts';
export {
  type Apply,
  compareAndSet,
  type Effect,
  type Hint,
  type LeaseGrants,
  type Operation,
  type ProposalOutcome,
  type Sent,
  putAny,
  putIfAbsent,
  read,
  update,
} from './operation.ts';
export { Proposer } from './proposer.ts';
export type { ProposerEvent, ProposerOptions } from './proposer-options.ts';
export {
  type Accepted,
  type BlockId,
  type BlockRecord,
  isMember,
  membersOf,
  type Origin,
  type ReplicaSet,
  sameReplicas,
  type View,
} from './record.ts';
export { maxRetransmitMs, retransmitMs } from './round.ts';
export { mayServe } from './say.ts';
export { decodeState, encodeState } from './state-codec.ts';
export { productionRules, type Rules } from './rules.ts';
