import type { BallotSource } from './ballot.ts';
import type { LeaseRequest, Reply } from './messages.ts';
import type { Hint, Operation } from './operation.ts';
import type { BlockId, View } from './record.ts';
import type { Rules } from './rules.ts';

/** What a proposer is told. */
export type ProposerEvent =
  | { readonly type: 'reply'; readonly reply: Reply }
  /** The sleep it asked for last is over. */
  | { readonly type: 'wake' }
  /** The caller's patience is over: the next effect is `done`. */
  | { readonly type: 'deadline' };

export interface ProposerOptions {
  readonly block: BlockId;
  /** Names this operation among all of its process; replies bring it back. */
  readonly tag: number;
  readonly operation: Operation;
  /** The views of the roster in force, as they apply to the block; at least one, the newest last. */
  readonly views: readonly View[];
  readonly ballots: BallotSource;
  /** Uniform in [0, 1): spreads the retries of rivals. */
  readonly random: () => number;
  /** No block that was forgotten in a view that is retired had a version above it; 0 where absent. */
  readonly floor?: number;
  /** Whether all that had the block may be lost, so that nothing is proved by finding nothing. Absent: never. */
  readonly mayBeLost?: () => boolean;
  readonly hint?: Hint | undefined;
  /** A round that an acceptor is known to have promised: a prepare begins above it, so that it need not be refused first. */
  readonly promised?: number | undefined;
  /** Ask for a lease along the way. For an exclusive one a read writes the record back. */
  readonly lease?: LeaseRequest | undefined;
  /** The holder's count of lease requests, {@link LeaseHolder.clock}; needed where this host holds leases. */
  readonly leaseClock?: (() => number) | undefined;
  readonly rules?: Rules;
}
