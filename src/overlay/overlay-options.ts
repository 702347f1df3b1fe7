import type { Clock, Logger, Random } from '../base/index.ts';
import type { Gate } from './gate.ts';
import type { ProcessId } from './hello.ts';
import { Libp2pTransport } from './libp2p-transport.ts';
import type { KeyPair, MemberRecord, Passport, Right } from './identity/index.ts';
import type { Trouble } from './trouble.ts';
import type { FailureDetectorOptions, Liveness, PeerHealth } from './membership/failure-detector.ts';
import type { MeshTransport, PeerId } from './transport.ts';

export interface OverlayOptions {
  /** Where the keys, the passport and the known members are kept. */
  readonly stateDirectory: string;
  /** `HOST:PORT`; undefined: only dial. Nothing listens before this host belongs to a cluster. */
  readonly listen?: string | undefined;
  /** What to tell others instead of the addresses of the network interfaces. */
  readonly advertise?: readonly string[];
  /** Members to ask first, `HOST:PORT`. */
  readonly join?: readonly string[];
  /** File with the token of `cluster token create`. Needed once; the passport made from it is kept. */
  readonly tokenFile?: string | undefined;
  readonly name: string;
  readonly zone: string;
  /** Bytes this host offers to keep; 0: none. */
  readonly capacity: number;
  readonly tls?: 'native' | 'stock';
  readonly kademlia?: boolean;
  readonly mdns?: boolean;
  readonly heartbeat?: FailureDetectorOptions;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
  /** Another way to reach peers; the tests' network in memory. */
  readonly makeTransport?: (context: TransportContext) => MeshTransport;
}

export interface TransportContext {
  readonly key: KeyPair;
  readonly process: ProcessId;
  readonly gate: Gate;
  readonly onTrouble: (trouble: Trouble) => void;
  /** A member says that this host was expelled: a revocation to be verified. */
  readonly onFarewell: (peer: PeerId, revocation: string) => void;
  /** Why a peer's process cannot be its latest: see {@link MemberTable.isPast}. */
  readonly isPast: (peer: PeerId, process: ProcessId) => Trouble | undefined;
}

/** The way to reach peers that the options ask for. */
export function openTransport(options: OverlayOptions, context: TransportContext): MeshTransport {
  if (options.makeTransport !== undefined) return options.makeTransport(context);
  const { listen, tls = 'native', kademlia = false, mdns = false, clock, random, logger } = options;
  return new Libp2pTransport({
    ...context,
    listen,
    tls,
    kademlia,
    mdns,
    ...(clock === undefined ? {} : { clock }),
    ...(random === undefined ? {} : { random }),
    ...(logger === undefined ? {} : { logger }),
  });
}

/** A member as `node ls` shows it. */
export interface MemberView extends Omit<MemberRecord, 'sequence' | 'nonce'> {
  /** Bytes that it stores for the cluster: what it says of itself, and 0 where its passport does not let it store. */
  readonly capacity: number;
  readonly self: boolean;
  readonly rights: readonly Right[];
  /** How this host sees it. This host itself is alive. */
  readonly liveness: Liveness;
  /** Wall clock, milliseconds: since when it is seen so. */
  readonly livenessSinceMs: number;
  readonly passportExpiresMs: number | undefined;
}

/** @param health undefined: it is this host itself. */
export function memberView(
  { sequence: _sequence, nonce: _nonce, ...record }: MemberRecord,
  passport: Passport | undefined,
  health: PeerHealth | undefined,
): MemberView {
  return {
    ...record,
    capacity: passport === undefined || passport.rights.includes('store') ? record.capacity : 0,
    self: health === undefined,
    rights: passport?.rights ?? [],
    liveness: health?.liveness ?? 'alive',
    livenessSinceMs: health?.sinceMs ?? 0,
    passportExpiresMs: passport?.expiresMs,
  };
}
