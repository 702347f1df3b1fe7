import type { Endpoint } from '../addresses.ts';

/** Callers at once that have not shown who they are, of which one address has not … */
const maxCalling = 256;
/** … more than these: behind one address there may be a whole test cluster. */
const maxOfHost = 64;
/** At an address that a member is known by there may be strangers, too, behind one NAT say: the places that are left are not for them alone. */
const maxOfKnown = 192;

/**
 * Who calls has some seconds to show who it is, and costs nothing meanwhile, so whoever holds all places until then keeps everybody else out. Hence of one address
 * only some are waited for, and of all that no member is known at no more than leave room for members.
 */
export class Callers {
  readonly #isKnown: (host: string) => boolean;
  /** Their ports, by address. */
  readonly #calling = new Map<string, Set<number>>();
  #count = 0;

  /** @param isKnown Whether a member is known to be at the address. */
  constructor(isKnown: (host: string) => boolean) {
    this.#isKnown = isKnown;
  }

  /** Somebody calls. False: it is hung up on. Otherwise {@link ended} is to follow. */
  began({ host, port }: Endpoint): boolean {
    const ports = this.#calling.get(host) ?? new Set();
    const isKnown = this.#isKnown(host);
    if (ports.size >= (isKnown ? maxOfKnown : maxOfHost) || (!isKnown && this.#count >= maxCalling)) return false;
    this.#calling.set(host, ports.add(port));
    this.#count++;
    return true;
  }

  /** It has not shown yet who it is. */
  isCalling({ host, port }: Endpoint): boolean {
    return this.#calling.get(host)?.has(port) === true;
  }

  /** It has shown who it is, or is gone; it may be said twice. */
  ended({ host, port }: Endpoint): void {
    const ports = this.#calling.get(host);
    if (ports?.delete(port) !== true) return;
    this.#count--;
    if (ports.size === 0) this.#calling.delete(host);
  }
}
