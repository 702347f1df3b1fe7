import { loadLibp2p } from '../overlay/index.ts';

/** Loads what the daemon loads in threads, or with a cluster, only: to have it compiled. */
export async function loadLazyModules(): Promise<void> {
  await Promise.all([
    loadLibp2p(),
    // It is compiled with all that it imports, and then misses the data that a thread has.
    import('./volumes/volume-thread.ts').catch(() => {}),
  ]);
}
