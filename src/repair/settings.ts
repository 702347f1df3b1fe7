/** What people may set of repair. */
export interface RepairSettings {
  /** Bytes of blocks that this host moves in a second, at the most. */
  readonly bytesPerSecond: number;
  /** Bytes that scrub reads in a second, at the most; 0: none. */
  readonly scrubBytesPerSecond: number;
  /** Pause between two checks of everything, in ms. */
  readonly checkIntervalMs: number;
  /** Pause between two scrubs of everything, in ms. */
  readonly scrubIntervalMs: number;
  /** How long a removed block is kept as a tombstone at least, in ms: far longer than any operation may still be under way. */
  readonly tombstoneMs: number;
}

export const defaultRepairSettings: RepairSettings = {
  bytesPerSecond: 64 * 1024 * 1024,
  scrubBytesPerSecond: 4 * 1024 * 1024,
  checkIntervalMs: 60 * 60 * 1000,
  scrubIntervalMs: 7 * 24 * 60 * 60 * 1000,
  tombstoneMs: 120_000,
};

/** Blocks looked at before the next ones are listed. */
export const pageBlocks = 256;
/** Of copies so many are moved before their progress is told: a page of them takes long, and to be asked for a page of them keeps a host's disk busy for long. */
export const copiesAtOnce = 32;
/** Operations of repair under way on this host while no client is, while some are, and while these notice it. */
export const maxIdleJobs = 8;
export const maxBusyJobs = 2;
export const maxStrainedJobs = 1;
/** Registers that one of them resolves and moves together: what they ask one host shares frames and groups of its disk. */
export const registersInLane = 16;
/** And while clients are at work. With 16 there and 4 hosts at it, 128 operations of repair were before each of a client's. */
export const maxBusyInLane = 4;
/** Blocks that could not be finished at once and are remembered by name; with more of them everything is walked again. */
export const maxOpenBlocks = 8192;
/** Damaged registers that wait to be replaced before the next check, and those that a replica refused. */
export const maxUrgent = 1024;
/** Tombstones whose age is being watched. */
export const maxWatchedTombstones = 65_536;
/** How long after a host appeared everything is checked, in ms: others may be coming too. */
export const settleDownMs = 3000;
/** How far a walk came is written down so often, in ms. */
export const saveEveryMs = 5000;
/** How long after its start a host begins to scrub, in ms. */
export const scrubDelayMs = 60_000;
