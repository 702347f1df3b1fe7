/**
 * How V8 collects garbage in the daemon, and compiles. Blocks pass through it in buffers outside of V8's heap, which count towards its limits all the same: with the defaults
 * it walked the whole heap after every four or five blocks, half of all processor time. A small young generation finds dead buffers cheaply, and a limit that does not begin
 * at the size of the bare program leaves it time to. What lives in a young generation as small as that one thread walks in a millisecond: waking four others for it, and waiting for them,
 * took a sixth of the processor time of a put (bench/results/cluster.md). `--expose-gc` is what collecting at rest takes (base/idle-collection.ts): from the start, since V8 finds code
 * compiled only where its flags are the same, and the threads of volumes begin after it is set.
 *
 * And how long it waits before it compiles a function better: so many calls since that last met something new, 500 by default. What serves programs one request after
 * the other is called a few thousand times in its first second, and runs in several threads, each of which compiles for itself.
 */
export const daemonNodeFlags: readonly string[] = [
  '--max-semi-space-size=4',
  '--initial-old-space-size=128',
  '--no-parallel-scavenge',
  '--expose-gc',
  '--minimum-invocations-after-ic-update=100',
];
