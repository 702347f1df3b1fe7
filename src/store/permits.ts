import { InfinitError } from '../base/index.ts';
import { isRegisterAddress } from '../block/index.ts';
import type { PeerId, Request } from '../consensus/index.ts';

/** The rights that count here; a passport may have others. */
export type RightsOf = (peer: PeerId) => readonly string[];

/**
 * What this host does for whom. Reading is free to all members. A host with the right to write may do everything; one that only stores brings copies and
 * registers to where they belong, which is to write them, too: what it may not do by its own users' wish it refuses itself. A host with neither right
 * has nothing to write, and is refused whatever it says of itself.
 */
export class Permits {
  readonly #rightsOf: RightsOf | undefined;

  /** @param rightsOf Absent: all may do all. */
  constructor(rightsOf: RightsOf | undefined) {
    this.#rightsOf = rightsOf;
  }

  /** For new values, and the end of old ones. @throws InfinitError `denied`. */
  checkWrites(peer: PeerId): void {
    if (!this.#has(peer, 'write')) throw refusal(peer);
  }

  /** For copies of what is there, and for the news that it is gone. @throws InfinitError `denied`. */
  checkKeeps(peer: PeerId): void {
    if (!this.#keeps(peer)) throw refusal(peer);
  }

  /**
   * Whether an acceptor of this host hears the request.
   * @throws InfinitError `bad-argument` for what is no register: an immutable block would be taken for a damaged one, and overwritten.
   */
  allows(request: Request): boolean {
    const { type, block } = request;
    if (!isRegisterAddress(block))
      throw new InfinitError('bad-argument', `host ${request.from} sent a ${type} for ${block.slice(0, 80)}, which is no mutable or named block`);
    // A promise is durable, too, and its round stands against all that come later: only who may have something accepted needs one.
    return type === 'read' || this.#keeps(request.from);
  }

  /** Whether the peer may have an acceptor, whose replies tell what a ballot must be above: blocks are placed on hosts with the right to store only. */
  answers(peer: PeerId): boolean {
    return this.#has(peer, 'store');
  }

  /** @throws InfinitError `denied`. */
  check(request: Request): void {
    if (!this.allows(request)) throw refusal(request.from);
  }

  #keeps(peer: PeerId): boolean {
    return this.#has(peer, 'write') || this.#has(peer, 'store');
  }

  #has(peer: PeerId, right: string): boolean {
    return this.#rightsOf === undefined || this.#rightsOf(peer).includes(right);
  }
}

function refusal(peer: PeerId): InfinitError {
  return new InfinitError('denied', `host ${peer} has no right to write`);
}
