import type { PeerId } from './ballot.ts';
import type { BlockId } from './record.ts';

/** From a holder to an acceptor, one a pair of hosts: keeps all its leases there alive. */
export interface Heartbeat {
  readonly type: 'heartbeat';
  readonly from: PeerId;
  /** Which life of the holder's process: leases of an earlier one are void. */
  readonly incarnation: number;
  /** The holder's own clock, echoed. */
  readonly sentAt: number;
}

/** The acceptor's answer: the leases of `session` live for one more term. Another number than before: all older leases are void. */
export interface HeartbeatReply {
  readonly type: 'heartbeat-reply';
  readonly from: PeerId;
  readonly incarnation: number;
  readonly sentAt: number;
  readonly session: number;
}

/** From an acceptor to a holder: somebody waits for the block. */
export interface Recall {
  readonly type: 'recall';
  readonly from: PeerId;
  readonly block: BlockId;
}

/** From a holder to an acceptor: it uses no lease for the block up to this request number any longer. */
export interface Release {
  readonly type: 'release';
  readonly from: PeerId;
  readonly incarnation: number;
  readonly block: BlockId;
  readonly sequence: number;
}

/** From an acceptor that restarted to a host that may hold leases of before: it knows of none below this session. */
export interface Forgot {
  readonly type: 'forgot';
  readonly from: PeerId;
  readonly session: number;
}

/** The host's answer: it relies on none of those any longer, nor will it. */
export interface ForgotReply {
  readonly type: 'forgot-reply';
  readonly from: PeerId;
  readonly session: number;
}

export type LeaseMessage = Heartbeat | HeartbeatReply | Recall | Release | Forgot | ForgotReply;
