import type { Ballot, PeerId } from './ballot.ts';
import type { Accepted, BlockId, BlockRecord, View } from './record.ts';

/** What a lease lets its holder do: read from its own memory, or write there too. */
export type LeaseMode = 'shared' | 'exclusive';

/** Asks for a lease along with a read or an accept; an exclusive one comes with an accept only. */
export interface LeaseRequest {
  readonly mode: LeaseMode;
  /** Which life of the holder's process. */
  readonly incarnation: number;
  /** The holder's own count of requests for this block: a release covers all up to its number, whatever overtakes it. */
  readonly sequence: number;
}

/** What every request says. `tag` names the operation at its host, `attempt` its phase; the reply echoes both. */
export interface RequestHead {
  readonly from: PeerId;
  readonly block: BlockId;
  readonly tag: number;
  readonly attempt: number;
}

/** Phase 1: promise to accept nothing lower, and tell what was accepted. */
export interface Prepare extends RequestHead {
  readonly type: 'prepare';
  readonly ballot: Ballot;
  /** The newest view that the proposer took into account. */
  readonly view: number;
  /** The proposer has the record of this ballot: do not send it again. */
  readonly known: Ballot | null;
}

/** Phase 2: accept the record. */
export interface Accept extends RequestHead {
  readonly type: 'accept';
  readonly ballot: Ballot;
  readonly record: BlockRecord;
  /** A ballot to promise along with it: the next write of this host then needs no phase 1. */
  readonly next: Ballot | null;
  /** In place of a promise, where one acceptor is the whole quorum: accept only where this is what was accepted last. */
  readonly condition: { readonly ballot: Ballot | null } | null;
  /** Where the record founds the block: the newest view that was taken into account. −1 elsewhere. */
  readonly founding: number;
  /** How many leases the host had asked for when it sent this: a straggler must not pass under a lease of its own host that is younger than it. */
  readonly leaseClock: number;
  readonly lease: LeaseRequest | null;
}

/** Tell what was accepted; promises nothing. */
export interface Read extends RequestHead {
  readonly type: 'read';
  readonly view: number;
  readonly known: Ballot | null;
  readonly lease: LeaseRequest | null;
}

/** The record is known to be chosen at this ballot: keep it, or, where the host is no member of it, keep only where it went. */
export interface Learn extends RequestHead {
  readonly type: 'learn';
  readonly ballot: Ballot;
  readonly record: BlockRecord;
}

/** Forget the tombstone or pointer of exactly this ballot: everybody who could contradict it has it. */
export interface Forget extends RequestHead {
  readonly type: 'forget';
  readonly ballot: Ballot;
  /** No ballot of this round or lower may meet an empty memory: it could carry what somebody told before he knew of this record. */
  readonly floor: number;
}

export type Request = Prepare | Accept | Read | Learn | Forget;

export type ReplyType =
  | 'promised'
  | 'accepted'
  | 'value'
  | 'learned'
  | 'forgotten'
  /** A higher ballot, a floor, a failed condition or a newer view stands against it: `promised`, `floor`, `views` tell. */
  | 'rejected'
  /** Somebody holds a lease, or might hold one that the acceptor forgot in a restart. Ask again. */
  | 'leased'
  /** The acceptor's record is damaged: it has no say until the block's replicas changed without it. */
  | 'lost';

/** One shape for all replies, so that the hot path stays monomorphic. */
export interface Reply {
  readonly type: ReplyType;
  readonly from: PeerId;
  readonly block: BlockId;
  readonly tag: number;
  readonly attempt: number;
  /** What the acceptor promised last. */
  readonly promised: Ballot | null;
  /** What it accepted last, in answers to prepare, read and learn; its value is left out where `same`. */
  readonly accepted: Accepted | null;
  /** The record is the one that the request called known. */
  readonly same: boolean;
  /** Ballots of this round and lower are refused for blocks that are not here. */
  readonly floor: number;
  /** The acceptor's views of the block that are newer than the request's, where the block is not here. */
  readonly views: readonly View[];
  /** Until recently another host could write here under an exclusive lease: answers of one round may be of before and after it. */
  readonly unsure: boolean;
  /** The session under which the lease asked for was granted; 0: not granted. */
  readonly grant: number;
}
