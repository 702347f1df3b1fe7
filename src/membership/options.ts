import type { Clock, Logger } from '../base/index.ts';
import type { Disk } from '../disk/index.ts';
import type { PeerId, Transport } from '../overlay/index.ts';
import type { Member } from '../placement/index.ts';
import type { Neighbour } from './plan.ts';
import type { Standing } from './standing.ts';

/** What the views need to know of the cluster's members. */
export interface Neighbourhood {
  readonly self: PeerId;
  readonly transport: Transport;
  /** undefined: this host is alone. */
  readonly clusterId: string | undefined;
  /** All members, this host included. */
  neighbours(): readonly Neighbour[];
  /** Whether a member has the right to store. */
  mayStore(peer: PeerId): boolean;
  /** Hosts that were expelled. */
  revoked(): ReadonlySet<PeerId>;
  /** A host, or this one, has so many records fewer on its disk than it once had: it must not take part. */
  wentBack(peer: PeerId, missing: number): void;
}

export interface MembershipOptions {
  readonly disk: Disk;
  readonly neighbourhood: Neighbourhood;
  /** This host as the first of a cluster, or alone. */
  readonly own: Omit<Member, 'peer'>;
  /** Copies of each block in a cluster that this host founds. Where it joins one, the cluster's number counts. */
  readonly replicas: number;
  /** Silence after which another host takes the place of one. */
  readonly evictionDelayMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Between two looks at what is to be done; 250 where absent. */
  readonly tickMs?: number;
}

/** What this host knows of the views, for people. */
export interface MembershipStatus {
  /** Numbers of the views in force, the oldest first; empty before this host knows of any. */
  readonly views: readonly number[];
  /** Hosts that store blocks by the newest of them. */
  readonly hosts: number;
  readonly retiring: number;
  readonly standing: Standing;
  /** Hosts that were counted out. */
  readonly countedOut: readonly PeerId[];
  readonly troubles: readonly string[];
}

/** How long confirmations hold (confirmations.ts): a fraction of what it takes to be counted out, within bounds. */
export function termMsOf(evictionDelayMs: number): number {
  return Math.min(15_000, Math.max(2000, evictionDelayMs / 4));
}
