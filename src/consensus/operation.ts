import type { Ballot, PeerId } from './ballot.ts';
import type { LeaseRequest, Request } from './messages.ts';
import type { Accepted, BlockRecord, ReplicaSet } from './record.ts';

/**
 * The new value of a block given its current record and the version that it would have; null removes it, undefined leaves it alone and makes the
 * outcome a conflict.
 * May be called several times, so it must have no effects. A tombstone is a record whose value is null; null: the block never was.
 */
export type Apply = (current: BlockRecord | null, version: number) => Uint8Array | null | undefined;

/** What a proposer is asked to do with one block. */
export type Operation =
  /** `own`: the acceptor of this very host must be among those that answer: what it holds may be above what all others know. Present: it is no client's, and is told of nothing also where that may be lost. */
  | { readonly kind: 'read'; readonly own?: boolean }
  /** `fresh`: nobody ever wrote to the address before, and this is the only operation that ever begins so there: at the lowest ballot, without phase 1. */
  | { readonly kind: 'write'; readonly apply: Apply; readonly fresh?: boolean }
  /** Makes `replicas` the block's set where its epoch is `fromEpoch`. */
  | { readonly kind: 'change'; readonly fromEpoch: number; readonly replicas: ReplicaSet }
  /**
   * Tells former replicas where the block is and lets them forget it. `revoked`: hosts whose identity will never speak again.
   * `also`: hosts that turned out to hold something of the block without the record knowing of it; it does from then on.
   */
  | { readonly kind: 'settle'; readonly revoked: readonly PeerId[]; readonly also?: readonly PeerId[] }
  /**
   * Accepts the record once more, as it is, at a ballot of this operation's own: for replicas that refuse the one it has, since it is not above their floor.
   * Nobody's version or condition is touched by it.
   */
  | { readonly kind: 'renew' }
  /**
   * Past any quorum, by a person's decision (src/repair/salvage.ts): makes `survivors` the block's set, where the newest record that they hold is still the one accepted at `from`.
   * Each of them must promise first, so that nothing they hold is passed over. `unsettled`: hosts that may come back with an earlier record.
   * `pointer`: the newest that was found above that record; where it led nothing is left.
   */
  | {
      readonly kind: 'salvage';
      readonly from: Ballot;
      readonly pointer: Accepted | null;
      readonly survivors: ReplicaSet;
      readonly unsettled: readonly PeerId[];
    }
  /**
   * Past any quorum, by a person's decision: nothing is left of the block but, at most, pointers to where it was, the newest is `pointer`. `value`, which says that it is lost, becomes its
   * record, joint over `sets` (the first is to keep it), as a founding is over the views in force. Each of `asked` must promise first: all that may speak of it again.
   */
  | {
      readonly kind: 'give-up';
      readonly pointer: Accepted | null;
      readonly asked: readonly PeerId[];
      readonly sets: readonly ReplicaSet[];
      readonly unsettled: readonly PeerId[];
      readonly value: Uint8Array;
    }
  /** Forgets a tombstone once all replicas have it. */
  | { readonly kind: 'forget' };

/** The current record's value where the block exists. */
function live(current: BlockRecord | null): Uint8Array | null {
  return current === null ? null : current.value;
}

/** Linearizable read. */
export const read: Operation = { kind: 'read' };

/** Writes where nothing is, or only a tombstone. */
export function putIfAbsent(value: Uint8Array, fresh = false): Operation {
  return { kind: 'write', apply: (current) => (live(current) === null ? value : undefined), fresh };
}

/** Writes whatever is there. */
export function putAny(value: Uint8Array | null): Operation {
  return { kind: 'write', apply: () => value };
}

/** Writes (null: removes) where the block exists at exactly this version. */
export function compareAndSet(version: number, value: Uint8Array | null): Operation {
  return { kind: 'write', apply: (current) => (live(current) !== null && current!.version === version ? value : undefined) };
}

/** Writes what the function makes of the current record. */
export function update(apply: Apply): Operation {
  return { kind: 'write', apply };
}

export type ProposalOutcome =
  /** Durable at a quorum; of a read: what the block holds (null: it never was, or was forgotten). */
  | { readonly status: 'committed'; readonly accepted: Accepted | null }
  /** Nothing was changed, for certain: the current record does not allow it. */
  | { readonly status: 'conflict'; readonly accepted: Accepted | null }
  /** Nothing was changed, for certain: too few acceptors answered. `lost`: those that did have nothing of the block, and all that had it may be lost. */
  | { readonly status: 'no-quorum'; readonly lost?: true }
  /** It may or may not take effect, now or later. `sent`: of a write. */
  | { readonly status: 'unknown'; readonly sent?: Sent };

/** How a value was sent of which it is not known whether it was written. */
export interface Sent {
  /** The lowest version that it would have made. */
  readonly from: number;
  /** The highest version of a record that it would have followed upon; 0: it was to found the block. */
  readonly upon: number;
}

/** What the shell may keep of a block after an operation, to make the next one cheaper. Losing it costs a round trip, nothing else. */
export interface Hint {
  /** The chosen record that was seen last. */
  readonly accepted: Accepted;
  /** A ballot that a quorum promised to this host on top of that record; null: none. To be used once. */
  readonly next: Ballot | null;
}

/** Acceptors that granted the lease asked for, all having reported the same accepted record. */
export interface LeaseGrants {
  readonly request: LeaseRequest;
  readonly accepted: Accepted;
  readonly sessions: ReadonlyMap<PeerId, number>;
}

/** What the shell must do. Where one step asks for several things, in this order. */
export type Effect =
  | { readonly type: 'send'; readonly to: readonly PeerId[]; readonly message: Request }
  /** Send `wake` after this time, in place of any wake asked for before. */
  | { readonly type: 'sleep'; readonly ms: number }
  /** The last effect. `hint` replaces what is kept of the block; null: keep none. */
  | { readonly type: 'done'; readonly outcome: ProposalOutcome; readonly hint: Hint | null; readonly lease: LeaseGrants | null };
