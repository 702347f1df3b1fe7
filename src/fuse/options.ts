/** How a mount is served. */
export interface FuseOptions {
  /**
   * Do other hosts change the files as well, from time to time?
   *
   * No: all users of the files are this kernel's. It opens, closes and locks files and directories without asking us (zero-message opens): it keeps an inode for as long as
   * anybody has it open, which is all that has to be known, so opening, reading and closing a file that it has cached costs no request at all. It
   * collects writes (the writeback cache), and is the authority on size and times of cached files.
   *
   * Yes: the kernel caches only while the file system says that this host is alone (KernelCache.beginSole), the times below have no meaning, and nothing is written behind our back.
   * Neither can be changed while it is mounted.
   */
  readonly leased: boolean;
  /** How long the kernel may trust a name without asking. Long where every change by others is notified. */
  readonly entrySeconds: number;
  /** The same for attributes. With the writeback cache a short time costs a GETATTR per write. */
  readonly attributeSeconds: number;
  /** The same for the absence of a name; 0: absences are not remembered. */
  readonly negativeSeconds: number;
  /** May the mount outlive the daemon, where the kernel can have it so? Off: as before Linux 6.9. */
  readonly outlivesDaemon: boolean;
  readonly readAheadBytes: number;
  /** No request but a wait for a lock is left unanswered for longer; then ETIMEDOUT. */
  readonly requestDeadlineMs: number;
}

export const defaultFuseOptions: FuseOptions = {
  leased: false,
  entrySeconds: 3600,
  attributeSeconds: 3600,
  negativeSeconds: 3600,
  outlivesDaemon: true,
  readAheadBytes: 1_048_576,
  requestDeadlineMs: 120_000,
};
