import type { Address } from '../block/index.ts';
import type { PeerId, View } from '../consensus/index.ts';

/** Where blocks belong, as this host sees it now. */
export interface StorePlacement {
  /** Hosts that may hold an immutable block, best first; this host may be among them. */
  rank(address: Address): readonly PeerId[];
  /** This host knows of no other: all blocks are here. */
  readonly alone: boolean;
  /** How many of them should. */
  readonly replicas: number;
  /** The views of the roster in force for a mutable or named block, the newest last; at least one. */
  views(address: Address): readonly View[];
  /** No block that was forgotten in a view that is retired had a version above it. Absent: none was. */
  readonly floor?: number;
  /** Whether a block of which nobody has anything may have been lost with all that had it. Absent: none may. */
  readonly mayBeLost?: (address: Address) => boolean;
  /** False while this host may have been counted out without knowing it: then its acceptor answers nothing. Absent: it always has a say. */
  readonly hasSay?: boolean;
  /** False while no view that this host knows has it, new or counted out: then it is replica of nothing, whatever it is told. Absent: it may be. */
  readonly isMember?: boolean;
}

/** A host that knows of no other. */
export function soloPlacement(self: PeerId): StorePlacement {
  const rank = [self];
  const views = [{ number: 0, replicas: rank }];
  return { alone: true, replicas: 1, rank: () => rank, views: () => views };
}
