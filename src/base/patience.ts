/**
 * How long a program's operation on a volume waits for what is out of reach, a majority or the volume's holder, before it fails, in ms. Long, as with a hard mount of NFS: a database
 * that sees EIO stops, and nothing is lost by waiting. Bounded, so that nothing hangs for ever; who is killed meanwhile waits no longer. Below FUSE's own deadline.
 */
export const programPatienceMs = 60_000;
/** The same where it has been out of reach for longer than that already: a program makes many calls, and each would wait so long. */
export const waningPatienceMs = 10_000;
