import { InfinitError } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';
import type { BlockStore, CallOptions, CommitResult, Stage, StoredBlock } from '../../store/index.ts';

/** @param why Why this host is no member of its cluster; undefined: it is one. @throws InfinitError `unavailable` with the reason: what it asks of the others would only fail, and later. */
export function refuseOutside(why: string | undefined): void {
  if (why !== undefined) throw new InfinitError('unavailable', `this host is no member of its cluster: ${why}; see \`infinit doctor\``);
}

/** A block store that answers at once on a host that will never be a member again, where the calls of programs would look for replicas until their deadlines. */
export class MembersStore implements BlockStore {
  readonly #store: BlockStore;
  readonly #checkMember: () => void;

  /** @param checkMember Called before each call: throws where this host has no part in its cluster any more. */
  constructor(store: BlockStore, checkMember: () => void) {
    this.#store = store;
    this.#checkMember = checkMember;
  }

  get(address: Address, options?: CallOptions): Promise<Uint8Array> {
    this.#checkMember();
    return this.#store.get(address, options);
  }

  fetch(address: Address, options?: CallOptions): Promise<StoredBlock | undefined> {
    this.#checkMember();
    return this.#store.fetch(address, options);
  }

  commit(stages: readonly Stage[], options?: CallOptions): Promise<CommitResult> {
    this.#checkMember();
    return this.#store.commit(stages, options);
  }
}
