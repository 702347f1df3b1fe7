/** How a mount is served. */
export interface FuseOptions {
  /** How long the kernel may trust a name without asking. Long where every change by others is notified. */
  readonly entrySeconds: number;
  /** The same for attributes. With the writeback cache a short time costs a GETATTR per write. */
  readonly attributeSeconds: number;
  /** The same for the absence of a name; 0: absences are not remembered. */
  readonly negativeSeconds: number;
  /** May the kernel keep listings and file contents over a close? Needs notifications like the times above. */
  readonly keepCache: boolean;
  /** Does the kernel collect writes? It then is the authority on size and times of cached files: not for a mount whose files others write. */
  readonly writebackCache: boolean;
  /**
   * Does the kernel open, close and lock files and directories without asking us (zero-message opens)? Right where all users of the files
   * are this kernel's: it keeps an inode for as long as anybody has it open, which is all that has to be known. Opening, reading and
   * closing a file that it has cached then costs no request at all. Implies `keepCache`.
   */
  readonly kernelOpens: boolean;
  /**
   * Do other hosts change the files as well, from time to time? Then the kernel caches only while the file system says that this host is alone (KernelCache.beginSole), and
   * the times above and `keepCache` have no meaning. Not with `writebackCache` or `kernelOpens`, which cannot be taken back.
   */
  readonly leased: boolean;
  /** May the mount outlive the daemon, where the kernel can have it so? Off: as before Linux 6.9. */
  readonly outlivesDaemon: boolean;
  readonly readAheadBytes: number;
  /** No request but a wait for a lock is left unanswered for longer; then ETIMEDOUT. */
  readonly requestDeadlineMs: number;
}

/** For the only user of a volume, or one that a lease protects. */
export const defaultFuseOptions: FuseOptions = {
  entrySeconds: 3600,
  attributeSeconds: 3600,
  negativeSeconds: 3600,
  keepCache: true,
  writebackCache: true,
  kernelOpens: false,
  leased: false,
  outlivesDaemon: true,
  readAheadBytes: 1_048_576,
  requestDeadlineMs: 120_000,
};

/** A volume that only this host has mounted. */
export const soleFuseOptions: Partial<FuseOptions> = { kernelOpens: true };

/** A volume that several hosts may have mounted: the kernel caches while only this one has, and writes nothing behind our back. */
export const sharedFuseOptions: Partial<FuseOptions> = { leased: true, writebackCache: false };
