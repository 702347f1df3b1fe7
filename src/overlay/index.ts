/**
 * Hosts that know each other: identities and the gate, the roster of members, failure detection, and requests between peers.
 * Nothing here knows of blocks.
 */
export { type Gate, openGate } from './gate.ts';
export type { ProcessId } from './hello.ts';
export { type KnownToken, knownTokens } from './known-tokens.ts';
export type { TokenRequest, TokenSummary } from './cluster-authority.ts';
export { allRights, KeyPair, type MemberState, newPassport, peerIdOf, publicKeyOf, type Right } from './identity/index.ts';
export type { FailureDetectorOptions, Liveness } from './membership/failure-detector.ts';
export { Overlay } from './overlay.ts';
export type { MemberView, OverlayOptions, TransportContext } from './overlay-options.ts';
export { hasPassport } from './state-files.ts';
export type { Trouble } from './trouble.ts';
export type { TroubleReport } from './trouble-log.ts';
export { wrongClock } from './wrong-clock.ts';
export { Libp2pTransport, loadLibp2p, type Libp2pTransportOptions } from './libp2p-transport.ts';
export { MemoryNetwork, type MemoryNetworkOptions, MemoryTransport } from './memory-transport.ts';
export {
  type Body,
  type Channel,
  defaultDeadlineMs,
  firstStoreKind,
  type Handler,
  type IncomingCall,
  type Kind,
  maxBodyBytes,
  type MeshTransport,
  type PeerId,
  type RequestOptions,
  type SendOptions,
  type Target,
  type Traffic,
  type Transport,
} from './transport.ts';
