import { type Logger, messageOf } from '../base/index.ts';
import type { PeerId } from './transport.ts';

/** Hosts that are tried at once. Whoever is on the network may announce as many as it likes. */
const maxTried = 8;
/** Addresses of one host that are tried. */
const maxAddresses = 16;

/** Hosts that announce themselves on the network: each is tried once for each announcement, as long as it is not connected. */
export class Discoveries {
  readonly #isConnected: (peer: PeerId) => boolean;
  readonly #connect: (address: string, peer: PeerId) => Promise<unknown>;
  readonly #logger: Logger;
  readonly #tried = new Set<PeerId>();

  constructor(isConnected: (peer: PeerId) => boolean, connect: (address: string, peer: PeerId) => Promise<unknown>, logger: Logger) {
    this.#isConnected = isConnected;
    this.#connect = connect;
    this.#logger = logger;
  }

  /** A host was found; one that is not tried now announces itself again. */
  found(peer: PeerId, addresses: readonly string[]): void {
    if (this.#isConnected(peer) || this.#tried.has(peer) || this.#tried.size >= maxTried) return;
    this.#tried.add(peer);
    void this.#try(peer, addresses.slice(0, maxAddresses)).finally(() => this.#tried.delete(peer));
  }

  async #try(peer: PeerId, addresses: readonly string[]): Promise<void> {
    for (const address of addresses) {
      try {
        await this.#connect(address, peer);
        return;
      } catch (error) {
        this.#logger.debug('a discovered host was of no use', { peer, address, reason: messageOf(error) });
      }
    }
  }
}
