import type { Address } from '../block/index.ts';
import type { RosterView } from '../membership/index.ts';
import type { Standpoint } from './standpoint.ts';

/**
 * Which blocks may have no other copy than this host's, as far as rosters and hosts in reach tell: nobody is asked. `views` are those by which copies were placed: one of
 * them may not have been followed yet, so a block counts where any of them says so.
 */
export class LastCopies {
  readonly #at: Standpoint;
  /** Only where so many hosts are away that a block may have lost all its other copies. */
  readonly #views: readonly RosterView[];

  constructor(standpoint: Standpoint, views: readonly RosterView[]) {
    this.#at = standpoint;
    this.#views = views.filter(({ roster, replicas }) => {
      const copies = Math.min(replicas, roster.size);
      const away = roster.eligible.filter(({ peer }) => !this.#isThere(peer)).length;
      return copies > 1 && away >= copies - 1;
    });
  }

  /** False: no block is one. */
  get any(): boolean {
    return this.#views.length > 0;
  }

  has(address: Address): boolean {
    return this.#views.some((view) => this.#at.home(address, view).every((peer) => peer === this.#at.self || !this.#isThere(peer)));
  }

  #isThere(peer: Parameters<Standpoint['isUp']>[0]): boolean {
    return this.#at.isUp(peer) && !this.#at.views.countedOut().has(peer);
  }
}
