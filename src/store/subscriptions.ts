import type { Address } from '../block/index.ts';
import type { PeerId } from '../overlay/index.ts';

/** Which hosts watch which blocks, and until when. Of a full table the host that watches most loses what it asked for first: one that asks without end keeps no other out. */
export class Subscriptions {
  readonly #most: number;
  readonly #byAddress = new Map<Address, Map<PeerId, number>>();
  /** In the order in which each host asked for them. */
  readonly #byPeer = new Map<PeerId, Set<Address>>();

  /** @param most Blocks. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Blocks that are watched. */
  get size(): number {
    return this.#byAddress.size;
  }

  has(address: Address): boolean {
    return this.#byAddress.has(address);
  }

  of(address: Address): Iterable<PeerId> {
    return this.#byAddress.get(address)?.keys() ?? [];
  }

  /** False where there is no room, since nobody watches more blocks than this host. */
  add(peer: PeerId, address: Address, expiresAt: number): boolean {
    if (!this.#byAddress.has(address) && !this.#makeRoom(peer)) return false;
    const peers = this.#byAddress.get(address) ?? new Map<PeerId, number>();
    this.#byAddress.set(address, peers.set(peer, expiresAt));
    const addresses = this.#byPeer.get(peer) ?? new Set();
    this.#byPeer.set(peer, addresses.add(address));
    return true;
  }

  /** Forgets what has expired. */
  sweep(now: number): void {
    for (const [address, peers] of this.#byAddress) for (const [peer, expiresAt] of peers) if (expiresAt < now) this.#forget(peer, address);
  }

  clear(): void {
    this.#byAddress.clear();
    this.#byPeer.clear();
  }

  #makeRoom(peer: PeerId): boolean {
    while (this.#byAddress.size >= this.#most) {
      const [[greediest, addresses]] = [...this.#byPeer].sort(([, a], [, b]) => b.size - a.size) as [[PeerId, Set<Address>]];
      if (addresses.size <= (this.#byPeer.get(peer)?.size ?? 0)) return false;
      this.#forget(greediest, addresses.values().next().value!);
    }
    return true;
  }

  #forget(peer: PeerId, address: Address): void {
    const peers = this.#byAddress.get(address)!;
    peers.delete(peer);
    if (peers.size === 0) this.#byAddress.delete(address);
    const addresses = this.#byPeer.get(peer)!;
    addresses.delete(address);
    if (addresses.size === 0) this.#byPeer.delete(peer);
  }
}
