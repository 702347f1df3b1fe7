import { type Message, replyHeaderBytes } from './message.ts';
import type { Reply } from './reply.ts';

/** FUSE_* of struct fuse_init_in.flags; from bit 32 on they are in flags2. */
const initFlags = {
  asyncRead: 1 << 0,
  posixLocks: 1 << 1,
  bigWrites: 1 << 5,
  dontMask: 1 << 6,
  flockLocks: 1 << 10,
  automaticInvalidation: 1 << 12,
  readdirplus: 1 << 13,
  readdirplusAuto: 1 << 14,
  asyncDirectIo: 1 << 15,
  writebackCache: 1 << 16,
  noOpen: 1 << 17,
  parallelDirectoryOperations: 1 << 18,
  posixAcl: 1 << 20,
  abortError: 1 << 21,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
  noOpendir: 1 << 24,
  explicitInvalidation: 1 << 25,
  killPrivilegesV2: 1 << 28,
  setxattrExtended: 1 << 29,
  initExtended: 1 << 30,
} as const;

const initFlags2 = {
  expireOnly: 1 << 3,
  directIoAllowMmap: 1 << 4,
  resend: 1 << 7,
} as const;

/** The oldest kernel protocol that has all that correctness needs: KILLPRIV_V2 and extended SETXATTR. */
export const minMinor = 33;
/** The Linux versions that matter: the first that speaks that protocol, and the first on which mounts outlive the daemon (see `hasResend`). */
export const linux = { least: '5.12', keepsMounts: '6.9' } as const;
/** The newest one this codec was written against. */
const ourMinor = 45;

/** The largest WRITE and READ. */
export const maxTransferBytes = 1_048_576;
/** Requests that the kernel has in flight by itself: read-ahead and write-back. */
const maxBackground = 64;
const congestionThreshold = 48;

/** {@link SavedInit.generation} of the daemon that mounted the file system. */
export const firstGeneration = 1;

/** What was agreed with the kernel: it asks only once a mount, so a daemon that takes over a mount must be told. */
export interface SavedInit {
  readonly minor: number;
  readonly flags: number;
  readonly flags2: number;
  /** Counts the daemons that served this mount: handles of an earlier one are told apart by it. */
  readonly generation: number;
  /** Names the mount, over all daemons that serve it. Absent: an older daemon made it. */
  readonly asker?: string;
}

/** struct fuse_init_in. */
export interface KernelOffer {
  readonly major: number;
  readonly minor: number;
  readonly flags: number;
  readonly flags2: number;
}

/** What a mount is to have, see FuseOptions. */
export interface InitChoices {
  readonly leased: boolean;
  readonly outlivesDaemon: boolean;
}

export function decodeInit(message: Message): KernelOffer {
  message.require(56);
  const words = message.words;
  return { major: words[10]!, minor: words[11]!, flags: words[13]!, flags2: message.length >= 60 ? words[14]! : 0 };
}

/** What the kernel does by itself where nobody else uses the files: see FuseOptions. What it has cached then is right until it is told otherwise. */
const soleFlags = initFlags.noOpen | initFlags.noOpendir | initFlags.writebackCache | initFlags.explicitInvalidation;
/** And otherwise: locks are ours, and what it has cached of a file, open or not, is old when its size or time are others. */
const leasedFlags = initFlags.posixLocks | initFlags.flockLocks | initFlags.automaticInvalidation;
/** Without them a kernel cannot be alone; all that speak {@link minMinor} have them. */
const neededAlone = initFlags.noOpen | initFlags.noOpendir | initFlags.writebackCache;

/** Takes of the kernel's offer what we can use. `undefined`: it is too old. */
export function negotiate(offer: KernelOffer, { leased, outlivesDaemon }: InitChoices): SavedInit | undefined {
  if (offer.major !== 7 || offer.minor < minMinor || (!leased && (offer.flags & neededAlone) !== neededAlone)) return undefined;
  let wanted = 0;
  for (const flag of Object.values(initFlags)) wanted |= flag;
  wanted &= leased ? ~soleFlags : ~leasedFlags;
  let wanted2 = 0;
  for (const flag of Object.values(initFlags2)) wanted2 |= flag;
  if (!outlivesDaemon) wanted2 &= ~initFlags2.resend;
  const extended = (offer.flags & initFlags.initExtended) !== 0;
  return {
    minor: Math.min(offer.minor, ourMinor),
    flags: offer.flags & wanted,
    flags2: extended ? offer.flags2 & wanted2 : 0,
    generation: firstGeneration,
  };
}

/** struct fuse_init_out. */
export function putInit(reply: Reply, init: SavedInit, readAheadBytes: number): number {
  const words = reply.words;
  const at = replyHeaderBytes / 4;
  words.fill(0, at, at + 16);
  words[at] = 7;
  words[at + 1] = init.minor;
  words[at + 2] = readAheadBytes;
  words[at + 3] = init.flags;
  words[at + 4] = maxBackground | (congestionThreshold << 16);
  words[at + 5] = maxTransferBytes;
  words[at + 6] = 1;
  words[at + 7] = maxTransferBytes / 4096;
  words[at + 8] = init.flags2;
  return 64;
}

/**
 * Is the kernel the only user of the files? Then it keeps their size and times itself while they are cached, and opens them without us: their
 * handle is 0, and nothing of opens and closes is asked.
 */
export function isSole(init: SavedInit): boolean {
  return (init.flags & neededAlone) === neededAlone;
}

/** Can files that are opened without a cache be mapped shared (Linux 6.6)? */
export function hasDirectMaps(init: SavedInit): boolean {
  return (init.flags2 & initFlags2.directIoAllowMmap) !== 0;
}

/** Does it take in no attributes of an inode of which it was told to forget them after it had asked (Linux 5.8; the protocol counts on with 5.10)? */
export function forgetsInTime(init: SavedInit): boolean {
  return init.minor >= 32;
}

/** Are SETXATTR requests in their long form? */
export function hasExtendedSetxattr(init: SavedInit): boolean {
  return (init.flags & initFlags.setxattrExtended) !== 0;
}

/** Can a request that a dead daemon had read be asked for again (Linux 6.9)? Without it a mount cannot outlive its daemon. */
export function hasResend(init: SavedInit): boolean {
  return (init.flags2 & initFlags2.resend) !== 0;
}
