import { type Logger, messageOf, RecentMap } from '../base/index.ts';
import type { PeerId } from './transport.ts';

/** Announcements that are tried at once: whoever is on the network may make as many as it likes, … */
const maxTried = 8;
/** … and of one host, since it may not be the host who makes them. */
const maxTriedOfHost = 2;
/** Addresses of one announcement that are tried. */
const maxAddresses = 16;
/** An announcement that was of no use is tried again after so long, in ms; twice that after the next time, … */
const firstPauseMs = 20_000;
/** … and at the most. */
const maxPauseMs = 600_000;
/** Announcements that were of no use which are remembered at the most; half as many, those heard last, in any case. */
const maxUseless = 512;

interface Useless {
  readonly pauseMs: number;
  readonly until: number;
}

/**
 * Hosts that announce themselves on the network, again and again: each is tried as long as it is not connected. Anybody can announce any host, so a host is known by all that
 * an announcement says: a false one does not put off the true one.
 */
export class Discoveries {
  readonly #isConnected: (peer: PeerId) => boolean;
  readonly #connect: (address: string, peer: PeerId) => Promise<unknown>;
  readonly #logger: Logger;
  readonly #nowMs: () => number;
  /** What is being tried, and whom it is about. */
  readonly #tried = new Map<string, PeerId>();
  readonly #useless = new RecentMap<string, Useless>(maxUseless);

  /** @param nowMs A clock that is not set; the process's own where absent. */
  constructor(
    isConnected: (peer: PeerId) => boolean,
    connect: (address: string, peer: PeerId) => Promise<unknown>,
    logger: Logger,
    nowMs: () => number = () => performance.now(),
  ) {
    this.#isConnected = isConnected;
    this.#connect = connect;
    this.#logger = logger;
    this.#nowMs = nowMs;
  }

  /** A host was found; one that is not tried now announces itself again. */
  found(peer: PeerId, all: readonly string[]): void {
    const addresses = all.slice(0, maxAddresses);
    const what = [peer, ...addresses].join(' ');
    if (this.#isConnected(peer) || this.#tried.has(what) || this.#nowMs() < (this.#useless.get(what)?.until ?? 0)) return;
    const ofHost = [...this.#tried.values()].filter((tried) => tried === peer).length;
    if (this.#tried.size >= maxTried || ofHost >= maxTriedOfHost) return;
    this.#tried.set(what, peer);
    void this.#try(peer, addresses).then((isOfUse) => {
      this.#tried.delete(what);
      this.#remember(what, isOfUse);
      return undefined;
    });
  }

  #remember(what: string, isOfUse: boolean): void {
    if (isOfUse) return this.#useless.delete(what);
    const before = this.#useless.get(what);
    const pauseMs = before === undefined ? firstPauseMs : Math.min(maxPauseMs, 2 * before.pauseMs);
    this.#useless.set(what, { pauseMs, until: this.#nowMs() + pauseMs });
  }

  async #try(peer: PeerId, addresses: readonly string[]): Promise<boolean> {
    for (const address of addresses) {
      try {
        await this.#connect(address, peer);
        return true;
      } catch (error) {
        this.#logger.debug('a discovered host was of no use', { peer, address, reason: messageOf(error) });
      }
    }
    return false;
  }
}
