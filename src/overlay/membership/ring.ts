import type { PeerId } from '../transport.ts';

/** Up to so many others watch each other, all of them. */
const fewPeers = 6;

/**
 * Whom a host watches of those that it is connected with: all where they are few, otherwise the hosts 1, 2, 4, 8 … places before and after it in the ring of all ids (the fingers
 * of Chord; Stoica et al., 2001). So each is watched by some 2 log₂ N others, and news that go from watcher to watcher are everywhere after log₂ N steps.
 */
export function ringNeighbours(self: PeerId, peers: readonly PeerId[]): ReadonlySet<PeerId> {
  if (peers.length <= fewPeers) return new Set(peers);
  const ring = [...peers, self].toSorted();
  const place = ring.indexOf(self);
  const neighbours = new Set<PeerId>();
  for (let distance = 1; distance <= ring.length / 2; distance *= 2) {
    neighbours.add(ring[(place + distance) % ring.length]!);
    neighbours.add(ring[(place - distance + ring.length) % ring.length]!);
  }
  return neighbours;
}
