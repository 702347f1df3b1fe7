import { systemRandom } from '../../base/index.ts';
import { type Address, mutableAddress } from '../../block/index.ts';
import type { RosterView, Views } from '../../membership/index.ts';
import type { PeerId } from '../../overlay/index.ts';
import { candidates, nearAddress, place } from '../../placement/index.ts';
import type { StorePlacement } from '../../store/index.ts';

/** Addresses whose places are kept; a change of the views forgets all. */
const maxCached = 65_536;

/** A view of the roster as it applies to one block. */
interface Place {
  readonly number: number;
  readonly replicas: readonly PeerId[];
}

export interface ViewPlacementOptions {
  readonly self: PeerId;
  readonly views: Views & { readonly hasSay: boolean; readonly isMember: boolean; readonly floor: number; mayBeLost(address: Address): boolean };
  /** @throws InfinitError where this host takes no part in the cluster. */
  readonly check: () => void;
}

/** Where blocks belong by the views of the roster that are in force. */
export class ViewPlacement implements StorePlacement {
  readonly #options: ViewPlacementOptions;
  readonly #ranks = new Map<Address, readonly PeerId[]>();
  readonly #places = new Map<Address, readonly Place[]>();
  #views: readonly RosterView[] | undefined;
  /** The answers where this host is all there is: the same for every block. */
  #sole: { readonly rank: readonly PeerId[]; readonly places: readonly Place[] } | undefined;

  constructor(options: ViewPlacementOptions) {
    this.#options = options;
  }

  /** @throws InfinitError `unavailable` while this host is joining: it does not know the views of its cluster yet. */
  get alone(): boolean {
    this.#options.check();
    this.#current();
    return this.#sole !== undefined;
  }

  get replicas(): number {
    return this.#current().at(-1)!.replicas;
  }

  get floor(): number {
    return this.#options.views.floor;
  }

  get hasSay(): boolean {
    return this.#options.views.hasSay;
  }

  get isMember(): boolean {
    return this.#options.views.isMember;
  }

  mayBeLost(address: Address): boolean {
    return this.#options.views.mayBeLost(address);
  }

  rank(address: Address): readonly PeerId[] {
    const views = this.#current();
    if (this.#sole !== undefined) return this.#sole.rank;
    let ranked = this.#ranks.get(address);
    if (ranked === undefined) {
      const { roster } = views.at(-1)!;
      // Where it should be, the best in their zones first; where it may still be by older views; then the successors of lost hosts.
      const placed = this.views(address).flatMap(({ replicas }) => replicas);
      const newest = this.views(address).at(-1)!.replicas;
      ranked = [...new Set([...newest, ...placed, ...candidates(address, roster)])];
      keep(this.#ranks, address, ranked);
    }
    return ranked;
  }

  views(address: Address): readonly Place[] {
    const views = this.#current();
    if (this.#sole !== undefined) return this.#sole.places;
    let places = this.#places.get(address);
    if (places === undefined) {
      places = views.map(({ number, roster, replicas }) => ({ number, replicas: place(address, roster, replicas) }));
      keep(this.#places, address, places);
    }
    return places;
  }

  #current(): readonly RosterView[] {
    const views = this.#options.views.inForce();
    if (views !== this.#views) {
      this.#views = views;
      this.#ranks.clear();
      this.#places.clear();
      const { self } = this.#options;
      const isSole = views.every(({ roster }) => roster.size === 1 && roster.eligible[0]!.peer === self);
      this.#sole = isSole ? { rank: [self], places: views.map(({ number }) => ({ number, replicas: [self] })) } : undefined;
    }
    return views;
  }
}

/** Of a mutable block that is made on this host. One with a copy here, unless this host has less room than others: then it gets its share and no more. */
export function freshAddress(self: PeerId, views: Pick<Views, 'inForce'>, space: { readonly hasRoom: boolean }): Address {
  if (!space.hasRoom) return mutableAddress();
  const { roster, replicas } = views.inForce().at(-1)!;
  const random = systemRandom.bytes(31);
  // Random bytes are dear: the draws differ in one of them, whatever it is.
  return nearAddress(self, roster, replicas, () => {
    random[0]!++;
    return mutableAddress(random);
  });
}

function keep<T>(cache: Map<Address, T>, address: Address, value: T): void {
  if (cache.size >= maxCached) cache.clear();
  cache.set(address, value);
}
