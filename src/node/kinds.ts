import { firstStoreKind } from '../overlay/index.ts';

/** The first kind above the store's. */
const firstNodeKind = firstStoreKind + 32;

/** Message kinds between the daemons themselves; docs/wire-protocol.md lists their bodies. */
export const nodeKinds = {
  /** An operation on a volume: its id (16 bytes), then the call; answered with the result, or nothing where this host does not serve the volume. */
  volumeCall: firstNodeKind,
  /** A volume's id (16 bytes); answered with the holders on this host as JSON, an empty list where it is not mounted. */
  volumeHolders: firstNodeKind + 1,
  /** The catalogue changed. A notification without a body. */
  catalogueChanged: firstNodeKind + 2,
  /** Answered with the host's status as JSON. */
  status: firstNodeKind + 3,
  /** Answered with the bytes that the host still takes, a 64-bit float. */
  space: firstNodeKind + 4,
  /** A volume's id (16 bytes), then JSON `[[address, inode, session]…]`; answered with the addresses of those that nothing refers to, or `null` where this host does not serve the volume. */
  judgeBlocks: firstNodeKind + 5,
  /** JSON `true`: begin to drain; `false`: stay after all. Answered with nothing. */
  drain: firstNodeKind + 6,
  /** Answered with the ids of the volumes that the host has mounted, as JSON. */
  mounted: firstNodeKind + 7,
  /** Answered with the invitations that the host knows of, as JSON: nothing secret. */
  tokens: firstNodeKind + 8,
  /** JSON `{peer, on}`: the sender is about to expel a host, or not after all; answered with the hosts that are being expelled, as JSON. */
  expelling: firstNodeKind + 9,
  /** A volume's id (16 bytes), then 64-bit floats: inodes, and below zero directories, that the asked host has in memory and is to forget. Answered with nothing when it has. */
  volumeRecall: firstNodeKind + 10,
} as const;
