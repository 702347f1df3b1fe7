import type { PeerId } from '../overlay/index.ts';

/**
 * For how long each host has been silent, counted in time that this host was up and in touch with a majority: what its clock shows, how long it slept
 * or was cut off itself does not count. Saved, so that a restart of the observer does not start it anew.
 */
export class Silence {
  readonly #silentMs: Map<PeerId, number>;

  constructor(saved: Iterable<readonly [PeerId, number]> = []) {
    this.#silentMs = new Map(saved);
  }

  /** Counts some time for each of these hosts that is silent; whoever was heard begins anew, whoever is not among them is forgotten. */
  count(peers: ReadonlySet<PeerId>, isHeard: (peer: PeerId) => boolean, elapsedMs: number): void {
    for (const peer of this.#silentMs.keys()) if (!peers.has(peer)) this.#silentMs.delete(peer);
    for (const peer of peers) {
      if (isHeard(peer)) this.#silentMs.delete(peer);
      else this.#silentMs.set(peer, this.of(peer) + elapsedMs);
    }
  }

  of(peer: PeerId): number {
    return this.#silentMs.get(peer) ?? 0;
  }

  /** Those silent for at least so long. */
  beyond(ms: number): PeerId[] {
    return [...this.#silentMs].flatMap(([peer, silentMs]) => (silentMs >= ms ? [peer] : []));
  }

  /** To be saved. */
  entries(): [PeerId, number][] {
    return [...this.#silentMs].map(([peer, ms]) => [peer, Math.floor(ms)]);
  }
}
