import type { Libp2p, PeerId } from '@libp2p/interface';

/** So many may be remembered that are no members. */
const maxMet = 1024;

/**
 * libp2p remembers whoever connected or announced itself, for as long as the process lives, and an identity costs nothing: of those that are no members it is made to
 * forget all that are gone, whenever so many more came by.
 */
export class MetStrangers {
  readonly #libp2p: Pick<Libp2p, 'peerStore' | 'getConnections'>;
  readonly #isMember: (peer: string) => boolean;
  #met = 0;

  constructor(libp2p: Pick<Libp2p, 'peerStore' | 'getConnections'>, isMember: (peer: string) => boolean) {
    this.#libp2p = libp2p;
    this.#isMember = isMember;
  }

  /** A host came by. */
  met(peer: PeerId): void {
    if (this.#isMember(peer.toString()) || ++this.#met < maxMet) return;
    this.#met = 0;
    // What fails is tried again after as many more.
    this.#forget().catch(() => {});
  }

  async #forget(): Promise<void> {
    const { peerStore } = this.#libp2p;
    for (const { id } of await peerStore.all()) {
      const isNeeded = this.#isMember(id.toString()) || this.#libp2p.getConnections(id).length > 0;
      if (!isNeeded) await peerStore.delete(id);
    }
  }
}
