import { BlockBuffers, type Clock, type Logger } from '../base/index.ts';
import { type Address, namedAddress, type OwnerTag, type Sealer } from '../block/index.ts';
import type { BlockStore } from '../store/index.ts';
import type { NodeSealer } from '../tree/index.ts';
import { FileClock } from './inodes/file-clock.ts';
import type { FileTime } from './file-system.ts';
import type { LostBlock } from './journal/lost-blocks.ts';
import type { UnreadNotice } from './journal/unread-notice.ts';
import type { SurvivingMemory } from './redo/surviving-memory.ts';
import { SmallBuffers } from './content/small-buffers.ts';

/** What a volume is opened with. */
export interface VolumeSetup {
  readonly store: BlockStore;
  readonly sealer: Sealer;
  /** 32 hex digits. */
  readonly volumeId: string;
  /** Number of this mount session, never used before for this volume; below 2^32. */
  readonly session: number;
  /** Blocks are numbered from here on; the session's own from 0. */
  readonly firstSequence?: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly options?: VolumeOptions;
  /** Told when an inode gets content that is not durable, and when all of it is; synchronously. */
  readonly onDirty?: (inode: number) => void;
  readonly onClean?: (inode: number) => void;
  /** Where what is not durable outlives this process. */
  readonly memory?: SurvivingMemory;
  /** The process before this one may have left something there for this mount. */
  readonly inherits?: boolean;
  /** Inodes whose buffered content died with the process before this one, unless it is in `memory`: their next fsync, or close where the kernel tells of it, says so, once. */
  readonly lostInodes?: ReadonlySet<number>;
  /** Those of them that were lost with a process before that one: `memory` does not have them. */
  readonly lostBefore?: ReadonlySet<number>;
  /** Those may be any inode of that time. */
  readonly lostAny?: boolean;
  /** Told when a program has heard of what was lost of an inode. */
  readonly onSaid?: (inode: number) => void;
  /** Told of inodes that cannot be read for now, and when there are none any more. */
  readonly onUnread?: (notice: UnreadNotice | undefined) => void;
  /** How much the store still takes, as far as known, for statfs. Asked often, so it answers from memory. */
  readonly capacity?: () => { readonly freeBytes: number };
  /** A person wants it opened without blocks of its journals that were given up: which of those may have had something. */
  readonly lost?: LostBlock[];
  /** Told when a block turns out to be written by a later session: the volume is to be opened anew, for this one has lost it. */
  readonly onOvertaken?: () => void;
  /** The kernel session of the process before this one goes on: it may hold files that have no name any more. */
  readonly resumed?: boolean;
  /** The kernel may wait for something that this process asked of another host, or of an opening before this one. */
  readonly askedBefore?: boolean;
  /** With `resumed`: resolves when the kernel has the answers to all that it had asked the process before. */
  readonly resent?: Promise<unknown>;
  /** Programs on other hosts may have files open that have no name any more: once this resolves they have opened them here, and what nobody has open is removed. Until then no file of before is. */
  readonly othersOpened?: Promise<unknown>;
  /** The kernel opens and closes files without telling: an inode is in use for as long as the kernel has references to it. */
  readonly kernelOpens?: boolean;
  /**
   * The kernel's own clock for files, where it keeps the times of regular files itself (the write-back cache). A new file gets its times from it: they are then as
   * the kernel would set them at a write in the same tick, so that this changes nothing, and nothing has to be told at the close.
   */
  readonly kernelNow?: () => FileTime;
}

/** Properties of the volume and bounds of its memory. */
export interface VolumeOptions {
  /** Quota in bytes; none where absent. */
  readonly sizeBytes?: number;
  /** Of the root directory, where the volume is new. */
  readonly uid?: number;
  readonly gid?: number;
  readonly mode?: number;
  readonly readOnly?: boolean;
  /** Snapshot epoch that writes belong to. */
  readonly epoch?: number;
  /** Changes reach the store at most this much later. */
  readonly flushDelayMs?: number;
  /** Content bytes held back in memory; above it writers wait. */
  readonly maxDirtyBytes?: number;
  readonly maxCachedInodes?: number;
  readonly maxCachedBytes?: number;
}

/** What every part of a volume needs. */
export class VolumeContext {
  readonly store: BlockStore;
  readonly sealer: Sealer;
  readonly volumeId: string;
  readonly clock: FileClock;
  readonly logger: Logger;
  readonly epoch: number;
  readonly options: VolumeOptions;
  readonly setup: VolumeSetup;
  readonly session: number;
  /** Memory of large blocks. */
  readonly buffers = new BlockBuffers();
  /** Memory of small writes. */
  readonly small = new SmallBuffers();
  readonly #volume: Uint8Array;
  #sequence: number;

  constructor(setup: VolumeSetup) {
    this.setup = setup;
    this.store = setup.store;
    this.sealer = setup.sealer;
    this.volumeId = setup.volumeId;
    this.clock = new FileClock(setup.clock);
    this.logger = setup.logger;
    this.options = setup.options ?? {};
    this.epoch = this.options.epoch ?? 0;
    this.#volume = Uint8Array.from(Buffer.from(setup.volumeId, 'hex'));
    this.session = setup.session;
    this.#sequence = setup.firstSequence ?? 0;
  }

  /** The tag of the next block to be sealed for an inode: its sequence number is never used again. */
  owner(inode: number): OwnerTag {
    return { volume: this.#volume, inode, epoch: this.epoch, session: this.session, sequence: ++this.#sequence };
  }

  /** Of the block that was sealed last. */
  get sequence(): number {
    return this.#sequence;
  }

  /** The address of one of the volume's named blocks. */
  address(name: string): Address {
    return namedAddress(this.volumeId, name);
  }

  inodeAddress(inode: number): Address {
    return namedAddress(this.volumeId, `inode:${inode}`);
  }

  /** Seals the nodes of a tree that belongs to an inode. */
  nodeSealer(inode: number): NodeSealer {
    return {
      seal: (address, body) => this.sealer.sealPayload(address, this.owner(inode), body),
      open: (address, payload) => this.sealer.openPayload(address, payload).body,
    };
  }
}
