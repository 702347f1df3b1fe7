import { InfinitError } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import type { Overlay, PeerId } from '../overlay/index.ts';
import { candidates, place, type Roster } from '../placement/index.ts';
import type { StorePlacement } from '../store/index.ts';

/** Addresses whose ranking is kept; a roster's change forgets all. */
const maxCached = 65_536;

/** Where blocks belong by the overlay's roster of the moment. */
export class OverlayPlacement implements StorePlacement {
  readonly replicas: number;
  readonly #overlay: Overlay;
  readonly #ranks = new Map<Address, readonly PeerId[]>();
  #roster: Roster | undefined;
  #counted: Roster | undefined;
  #isAlone = true;

  constructor(overlay: Overlay, replicas: number) {
    this.#overlay = overlay;
    this.replicas = replicas;
  }

  /** @throws InfinitError `unavailable` while this host is joining: its roster is not the cluster's yet. */
  get alone(): boolean {
    if (this.#overlay.state === 'joining' && this.#overlay.clusterId !== undefined)
      throw new InfinitError('unavailable', 'this host is still joining its cluster: see `infinit status`');
    if (this.#overlay.halted !== undefined) throw new InfinitError('unavailable', `this host has stopped taking part: ${this.#overlay.halted}`);
    // On the path of every call: the members are counted once for each roster.
    const roster = this.#overlay.roster();
    if (roster !== this.#counted) {
      this.#isAlone = this.#overlay.members().length === 1;
      this.#counted = roster;
    }
    return this.#isAlone;
  }

  rank(address: Address): readonly PeerId[] {
    const roster = this.#current();
    if (this.alone) return [this.#overlay.self];
    let ranked = this.#ranks.get(address);
    if (ranked === undefined) {
      // The first of the candidates in their zones, then the successors of lost ones.
      const best = place(address, roster, this.replicas);
      ranked = [...new Set([...best, ...candidates(address, roster)])];
      if (ranked.length === 0) ranked = [this.#overlay.self];
      if (this.#ranks.size >= maxCached) this.#ranks.clear();
      this.#ranks.set(address, ranked);
    }
    return ranked;
  }

  views(address: Address): readonly { readonly number: number; readonly replicas: readonly PeerId[] }[] {
    return [{ number: 0, replicas: this.rank(address).slice(0, this.replicas) }];
  }

  #current(): Roster {
    const roster = this.#overlay.roster();
    if (roster !== this.#roster) {
      this.#roster = roster;
      this.#ranks.clear();
    }
    return roster;
  }
}
