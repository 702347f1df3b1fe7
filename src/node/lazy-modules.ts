import { loadLibp2p } from '../overlay/index.ts';

/** Loads what the daemon loads in threads, with a cluster or once it is asked for metrics, only: to have it compiled. */
export async function loadLazyModules(): Promise<void> {
  await Promise.all([
    loadLibp2p(),
    import('prom-client'),
    // It is compiled with all that it imports, and then misses the data that a thread has.
    import('./volumes/volume-thread.ts').catch(() => {}),
  ]);
}
