import { InfinitError } from '../base/index.ts';
import { type Address, addressBytes, addressFromBytes, addressToBytes } from '../block/index.ts';
import type { PeerId, Transport } from '../overlay/index.ts';
import { kinds } from './kinds.ts';
import type { Permits } from './permits.ts';
import type { StorePlacement } from './store-placement.ts';
import { Subscriptions } from './subscriptions.ts';

/** Between a durable change on one replica and the notice of it, in ms: by then the write has its majority, and a reader does not get in its way. */
const settleMs = 4;
/** Subscriptions are renewed so often, and forgotten after three times that, in ms. */
const renewMs = 10_000;
const lifetimeMs = 3 * renewMs;
const subscribeDeadlineMs = 2000;
/** Blocks that other hosts watch here. */
const maxSubscriptions = 65_536;
/** Addresses of one message. */
const maxAddresses = 1024;

export interface ChangeFeedOptions {
  readonly self: PeerId;
  readonly transport: Transport | undefined;
  readonly permits: Permits;
  readonly placement: StorePlacement;
}

/**
 * Notices that mutable blocks may have changed: each replica tells those who watch a block when what it keeps of it has changed. A notice may
 * come for nothing, and may get lost; whoever is told reads the block, and reads it from time to time without being told.
 */
export class ChangeFeed implements Disposable {
  readonly #options: ChangeFeedOptions;
  /** Whom to tell: this host as a replica. */
  readonly #subscribers = new Subscriptions(maxSubscriptions);
  /** Who is told on this host. */
  readonly #listeners = new Map<Address, Set<() => void>>();
  readonly #pending = new Set<Address>();
  readonly #stopListening: () => void;
  #flush: NodeJS.Timeout | undefined;
  #renewal: NodeJS.Timeout | undefined;

  constructor(options: ChangeFeedOptions) {
    this.#options = options;
    const { transport, permits } = options;
    transport?.handle(kinds.watchBlocks, (peer, body) => this.#subscribe(peer, addressesIn(body)));
    transport?.handle(kinds.blocksChanged, (peer, body) => (permits.answers(peer) ? this.#tellHere(addressesIn(body)) : undefined));
    // It may have been restarted, and have forgotten who watches.
    this.#stopListening = transport?.onPeerUp((peer) => void this.#renew([peer], true)) ?? (() => {});
  }

  /** What this host keeps of a block has changed. On the path of every write: where nobody watches it costs two comparisons. */
  changed(address: Address): void {
    if (this.#listeners.size === 0 && this.#subscribers.size === 0) return;
    if (!this.#listeners.has(address) && !this.#subscribers.has(address)) return;
    this.#pending.add(address);
    this.#flush ??= setTimeout(() => this.#tell(), settleMs);
  }

  /** Has `listener` told when the block may have changed, and once when those who tell are in place: what is read from then on is followed. */
  watch(address: Address, listener: () => void): Disposable {
    const listeners = this.#listeners.get(address) ?? new Set();
    listeners.add(listener);
    this.#listeners.set(address, listeners);
    this.#renewal ??= setInterval(() => this.#onRenewal(), renewMs).unref();
    void this.#subscribeTo(this.#replicasOf(address), [address]).then(() => listeners.has(listener) && listener());
    return {
      [Symbol.dispose]: () => {
        listeners.delete(listener);
        if (listeners.size === 0 && this.#listeners.get(address) === listeners) this.#listeners.delete(address);
      },
    };
  }

  #replicasOf(address: Address): readonly PeerId[] {
    try {
      return [...new Set(this.#options.placement.views(address).flatMap(({ replicas }) => replicas))];
    } catch {
      return []; // This host is not in its cluster yet: the next renewal finds them.
    }
  }

  #tell(): void {
    this.#flush = undefined;
    const addresses = [...this.#pending];
    this.#pending.clear();
    const messages = new Map<PeerId, Address[]>();
    for (const address of addresses) {
      for (const peer of this.#subscribers.of(address)) {
        const list = messages.get(peer);
        if (list === undefined) messages.set(peer, [address]);
        else list.push(address);
      }
    }
    for (const [peer, list] of messages)
      for (const part of inParts(list)) this.#options.transport?.notify(peer, kinds.blocksChanged, part.map(addressToBytes));
    this.#tellHere(addresses);
  }

  #tellHere(addresses: readonly Address[]): undefined {
    for (const address of addresses) for (const listener of this.#listeners.get(address) ?? []) listener();
  }

  #subscribe(peer: PeerId, addresses: readonly Address[]): undefined {
    const expiresAt = performance.now() + lifetimeMs;
    for (const address of addresses)
      if (!this.#subscribers.add(peer, address, expiresAt))
        throw new InfinitError('overloaded', `${maxSubscriptions} blocks are watched on this host`);
    this.#renewal ??= setInterval(() => this.#onRenewal(), renewMs).unref();
  }

  #onRenewal(): void {
    this.#subscribers.sweep(performance.now());
    void this.#renew(this.#options.transport?.connected() ?? [], false);
  }

  /** Subscribes again with these peers, for all that is watched here. `missed`: what changed meanwhile was not told. */
  async #renew(peers: readonly PeerId[], missed: boolean): Promise<void> {
    const wanted = new Map<PeerId, Address[]>(peers.map((peer) => [peer, []]));
    for (const address of this.#listeners.keys()) for (const peer of this.#replicasOf(address)) wanted.get(peer)?.push(address);
    for (const [peer, addresses] of wanted) {
      for (const part of inParts(addresses)) await this.#subscribeTo([peer], part);
      if (missed) this.#tellHere(addresses);
    }
  }

  /** Whoever cannot be told now is told at the next renewal, or when it is connected again. */
  async #subscribeTo(peers: readonly PeerId[], addresses: readonly Address[]): Promise<void> {
    const { self, transport } = this.#options;
    if (transport === undefined) return;
    const body = addresses.map(addressToBytes);
    await Promise.allSettled(
      peers
        .filter((peer) => peer !== self && transport.isConnected(peer))
        .map((peer) => transport.request(peer, kinds.watchBlocks, body, { deadlineMs: subscribeDeadlineMs })),
    );
  }

  [Symbol.dispose](): void {
    this.#stopListening();
    clearTimeout(this.#flush);
    clearInterval(this.#renewal);
    this.#listeners.clear();
    this.#subscribers.clear();
  }
}

function inParts(addresses: readonly Address[]): Address[][] {
  const parts: Address[][] = [];
  for (let at = 0; at < addresses.length; at += maxAddresses) parts.push(addresses.slice(at, at + maxAddresses));
  return parts;
}

function addressesIn(body: Uint8Array): Address[] {
  if (body.length % addressBytes !== 0 || body.length > maxAddresses * addressBytes)
    throw new InfinitError('bad-argument', `${body.length} bytes are no list of addresses`);
  return Array.from({ length: body.length / addressBytes }, (_, index) => addressFromBytes(body, index * addressBytes));
}
