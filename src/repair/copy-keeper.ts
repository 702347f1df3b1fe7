import { codeOf, type ErrorCode } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import type { PeerId } from '../consensus/index.ts';
import type { Counter } from './counts.ts';
import type { Standpoint } from './standpoint.ts';
import type { RosterView } from '../membership/index.ts';

/** With these a host says that its disk takes nothing, which may last. */
const takesNothing: readonly ErrorCode[] = ['disk-full', 'disk-failed', 'read-only'];

/** Which hosts were found to have a block. A host that did not answer is in neither set. */
interface Holders {
  readonly have: ReadonlySet<PeerId>;
  readonly lack: ReadonlySet<PeerId>;
}

interface Sent {
  readonly made: number;
  readonly refused: number;
  readonly isHere: boolean;
}

/** Looks after the immutable blocks that this host holds: copies where they belong, and nowhere else. */
export class CopyKeeper {
  readonly #at: Standpoint;

  constructor(standpoint: Standpoint) {
    this.#at = standpoint;
  }

  /** For the retirement of a view: every host of the newest set that is up gets its copy. Returns the blocks that are not that far yet. */
  async move(addresses: readonly Address[], from: readonly RosterView[], patience: number, signal: AbortSignal): Promise<Address[]> {
    const to = this.#at.newest;
    const homes = new Map(addresses.map((address) => [address, this.#at.home(address, to)]));
    const old = new Map(addresses.map((address) => [address, from.flatMap((view) => this.#at.home(address, view))]));
    const holders = await this.#ask(
      addresses.map((address) => ({ address, peers: [...new Set([...homes.get(address)!, ...old.get(address)!])] })),
      signal,
    );
    const open: Address[] = [];
    // Nearly all are where they belong: there is nothing to wait for.
    const isThere = (address: Address): boolean => homes.get(address)!.every((peer) => holders.get(address)!.have.has(peer));
    await this.#at.pace.each(
      addresses.filter((address) => !isThere(address)),
      async (address) => {
        const home = homes.get(address)!;
        const { have, lack } = holders.get(address)!;
        const order = [...new Set([...home, ...old.get(address)!, this.#at.self])].filter((peer) => have.has(peer));
        const missing = home.filter((peer) => lack.has(peer));
        const turn = order.indexOf(this.#at.self);
        if (missing.length > 0 && (turn < 0 || turn > patience)) return void open.push(address);
        const { made, refused, isHere } = await this.#send(address, missing, signal);
        // It was removed meanwhile, or is damaged here: whoever has a good copy gives it.
        if (!isHere) return;
        const copies = home.filter((peer) => have.has(peer)).length + made;
        // A host that is down gets its copy when it returns, or is counted out, one whose disk is full when it has room; a majority is what a write waits for too.
        if (made + refused < missing.length || copies < Math.floor(home.length / 2) + 1) open.push(address);
      },
    );
    return open;
  }

  /** Between changes of the roster: gives away and trims what belongs to others. What belongs here is compared by digests. */
  async tend(addresses: readonly Address[], counter: Counter, signal: AbortSignal): Promise<void> {
    const { self, newest } = this.#at;
    counter.immutable += addresses.length;
    const surplus: { readonly address: Address; readonly peers: readonly PeerId[] }[] = [];
    for (const address of addresses) {
      const home = this.#at.home(address, newest);
      await this.#at.pace.breathe();
      if (home.length === 0) continue;
      if (home.includes(self)) this.#count(home, counter);
      else surplus.push({ address, peers: home });
    }
    counter.surplus += surplus.length;
    const holders = await this.#ask(surplus, signal);
    const trimmed: Address[] = [];
    await this.#at.pace.each(surplus, async ({ address, peers }) => {
      const { have, lack } = holders.get(address)!;
      const { made } = await this.#send(address, [...lack], signal);
      if (peers.filter((peer) => have.has(peer)).length + made < peers.length) return;
      trimmed.push(address);
    });
    // While an older view is in force somebody may still look for it here; and by a newer one it may belong here.
    if (trimmed.length === 0 || this.#at.onlyView?.number !== newest.number) return;
    await this.#at.housekeeping.trim(trimmed);
    counter.surplus -= trimmed.length;
    counter.immutable -= trimmed.length;
  }

  #count(home: readonly PeerId[], counter: Counter): void {
    const up = this.#at.up(home);
    if (up[0] !== this.#at.self) return;
    if (up.length < this.#at.copiesWanted) counter.underReplicated++;
  }

  /** Asks the hosts that are up which of the blocks they have, one message a host. This host has them. */
  async #ask(
    blocks: readonly { readonly address: Address; readonly peers: readonly PeerId[] }[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<Address, Holders>> {
    const { self, housekeeping } = this.#at;
    const holders = new Map(blocks.map(({ address }) => [address, { have: new Set([self]), lack: new Set<PeerId>() }]));
    const questions = new Map<PeerId, Address[]>();
    for (const { address, peers } of blocks)
      for (const peer of peers) {
        if (peer === self || !this.#at.isUp(peer)) continue;
        const asked = questions.get(peer);
        if (asked === undefined) questions.set(peer, [address]);
        else asked.push(address);
      }
    await Promise.all(
      [...questions].map(async ([peer, addresses]) => {
        const answers = await housekeeping.has(peer, addresses, { signal }).catch(() => undefined);
        for (const [index, address] of addresses.entries()) {
          if (answers?.[index] === true) holders.get(address)!.have.add(peer);
          else if (answers?.[index] === false) holders.get(address)!.lack.add(peer);
        }
      }),
    );
    return holders;
  }

  /** Sends this host's copy to each, where there is one. Tells how many now have it, and how many have no room for it. */
  async #send(address: Address, peers: readonly PeerId[], signal: AbortSignal): Promise<Sent> {
    let [made, refused] = [0, 0];
    if (peers.length === 0) return { made, refused, isHere: true };
    const { housekeeping } = this.#at;
    let own: Uint8Array | undefined;
    try {
      own = await housekeeping.own(address);
    } catch {
      // This host's own disk fails, which says nothing of the others: the block stays open until another that has it sends it.
      return { made, refused, isHere: true };
    }
    if (own === undefined) return { made, refused, isHere: false };
    for (const peer of peers) {
      try {
        const bytes = await housekeeping.give(address, own, peer, { signal });
        if (bytes === undefined) return { made, refused, isHere: false };
        made++;
        await this.#at.pace.spend(bytes);
      } catch (error) {
        if (takesNothing.includes(codeOf(error))) refused++;
      }
    }
    return { made, refused, isHere: true };
  }
}
