import type { Neighbour, Neighbourhood } from '../../membership/index.ts';
import type { MemberView, Overlay, PeerId, Transport } from '../../overlay/index.ts';

/** The cluster's members as the views of the roster need them. */
export class OverlayNeighbourhood implements Neighbourhood {
  readonly #overlay: Overlay;

  constructor(overlay: Overlay) {
    this.#overlay = overlay;
  }

  get self(): PeerId {
    return this.#overlay.self;
  }

  get transport(): Transport {
    return this.#overlay.transport;
  }

  get clusterId(): string | undefined {
    return this.#overlay.clusterId;
  }

  neighbours(): readonly Neighbour[] {
    return [...this.#overlay.members(), ...this.#overlay.departed()].map((member) => neighbour(member));
  }

  mayStore(peer: PeerId): boolean {
    return this.#overlay.rightsOf(peer).includes('store');
  }

  revoked(): ReadonlySet<PeerId> {
    return this.#overlay.expelled();
  }

  wentBack(peer: PeerId, missing: number): void {
    this.#overlay.sayOlderState(peer, `${missing} records that were on its disk are gone`);
  }
}

function neighbour({ peer, name, zone, capacity, state, liveness }: MemberView): Neighbour {
  return {
    peer,
    name,
    zone,
    capacity,
    state: state === 'joining' ? 'up' : state,
    alive: liveness !== 'down',
  };
}
