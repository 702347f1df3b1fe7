import { firstStoreKind } from '../overlay/index.ts';

/** Message kinds of the store; docs/wire-protocol.md says who may send them. */
export const kinds = {
  /** A request to the acceptor of one register, answered by its reply (src/consensus/message-codec.ts): for single questions. */
  register: firstStoreKind,
  /** An immutable block to keep: 32 bytes of address, then the sealed bytes. Answered, with nothing, once it is durable. */
  putBlock: firstStoreKind + 1,
  /** The address of an immutable block; answered with the sealed bytes. */
  getBlock: firstStoreKind + 2,
  /** Addresses, 32 bytes each, of immutable blocks that nothing refers to. A notification. */
  dropBlocks: firstStoreKind + 3,
  /** Addresses, 32 bytes each; answered with one byte each: 1 where the block is here. */
  hasBlocks: firstStoreKind + 4,
  /** Requests to acceptors, all of a tick: their number, the length of each (32 bits each), then they themselves. A notification. */
  registerRequests: firstStoreKind + 5,
  /** Replies of acceptors, laid out likewise. A notification. */
  registerReplies: firstStoreKind + 6,
  /**
   * As putBlock, from repair: refused with `conflict` where the block was lately removed. Answered with one byte: times as long as it worked that the sender is to rest
   * (hosts of before answer with nothing).
   */
  copyBlock: firstStoreKind + 12,
  /** Addresses, 32 bytes each, of immutable blocks to delete that may be put again. Answered with nothing once they are gone. */
  eraseBlocks: firstStoreKind + 18,
  /** Heartbeats, recalls and releases of leases (src/consensus/lease-codec.ts). A notification. */
  lease: firstStoreKind + 7,
  /** Addresses, 32 bytes each: whoever asks is told of writes of these blocks that this host accepts, for 30 s. Answered with nothing. */
  watchBlocks: firstStoreKind + 16,
  /** Addresses, 32 bytes each, of watched blocks that may have changed. A notification. */
  blocksChanged: firstStoreKind + 17,
} as const;

/** What somebody waits for, who asked just now: not repair, nor what hosts tell each other by the clock. */
export const awaitedKinds: ReadonlySet<number> = new Set([kinds.register, kinds.registerRequests, kinds.putBlock, kinds.getBlock]);
