import type { Volume } from '../volume.ts';
import { Dismissed, type SharedCall, type SharedMethod } from './calls.ts';
import { Guest } from './guest.ts';

/** What a host of an earlier version begins with wherever the volume was opened: then it opens its files again. */
const greets: ReadonlySet<SharedMethod> = new Set(['made', 'remake', 'relock', 'relocked']);

/** Other hosts that use the volume which is open here: no more than the cluster has. */
export class Guests {
  readonly #expect: Volume['expect'];
  readonly #byPeer = new Map<string, Guest>();
  /** Hosts that do not know yet that they were given up. */
  readonly #dismissed = new Set<string>();
  /** What calls of hosts came to that were given up just now: they may come back, and ask again. */
  readonly #left = new Map<string, Guest['outcomes']>();

  constructor(expect: Volume['expect']) {
    this.#expect = expect;
  }

  get(peer: string): Guest | undefined {
    return this.#byPeer.get(peer);
  }

  all(): Iterable<Guest> {
    return this.#byPeer.values();
  }

  /**
   * Whose call it is.
   * @throws Dismissed where the host does not know that it was given up, or asked before it was let in here: what was locked then others may have had since, however late the call is here.
   */
  admit(peer: string, { method, args, term }: SharedCall): Guest {
    if (method === 'rejoin') {
      this.#dismissed.delete(peer);
      const guest = this.#of(peer);
      guest.term = args[0] as string | undefined;
      guest.again = new Map();
      return guest;
    }
    const guest = this.#byPeer.get(peer);
    // One that has not greeted this table of locks may have been a guest of the one before: the numbers of its handles mean nothing here.
    if (this.#dismissed.has(peer) || guest?.term !== term || (guest === undefined && !greets.has(method))) throw new Dismissed();
    return this.#of(peer);
  }

  #of(peer: string): Guest {
    let guest = this.#byPeer.get(peer);
    if (guest === undefined) {
      this.#byPeer.set(peer, (guest = new Guest(this.#expect, this.#left.get(peer))));
      this.#left.delete(peer);
    }
    return guest;
  }

  /** Nothing of it is done from now on. Returns what it had; undefined: nothing. */
  dismiss(peer: string): Guest | undefined {
    const guest = this.#byPeer.get(peer);
    if (guest === undefined) return undefined;
    this.#byPeer.delete(peer);
    this.#dismissed.add(peer);
    guest.gone.abort();
    for (const each of guest.outcomes.values()) each.closeAll();
    this.#left.set(peer, guest.outcomes);
    return guest;
  }

  /** It was away for so long that it asks for nothing again that it asked for before. */
  forget(peer: string, { outcomes }: Guest): void {
    if (this.#left.get(peer) === outcomes) this.#left.delete(peer);
  }

  /** Another mount of the host, of whose programs nothing is known yet. Returns what the one before had; undefined: it is the same, or the first. */
  mounted(peer: string, guest: Guest, mount: string): Guest | undefined {
    if (guest.mount === mount) return undefined;
    if (guest.mount === undefined) {
      guest.mount = mount;
      return undefined;
    }
    const next = new Guest(this.#expect);
    next.mount = mount;
    next.term = guest.term;
    this.#byPeer.set(peer, next);
    guest.gone.abort();
    return guest;
  }
}
