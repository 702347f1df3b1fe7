import type { Backing } from './backing.ts';
import { Dismissed } from './calls.ts';
import { pause } from './repeating.ts';

/** So long at the most what changes a file may be on its way behind the question that found out that this host was given up, in ms: one that is as long as it may be takes less. */
const overtakenMs = 500;

type Remote = Backing & { readonly kind: 'remote' };

/** A host that serves us may have given us up and let us in again without our having heard that: until then it is asked nothing else. */
export class GivenUp {
  #by: Backing | undefined;
  /** Questions under way that change what is in a file. */
  readonly #changing = new Set<Promise<unknown>>();

  /** @param changes what is in a file. @throws Dismissed from {@link heard} until {@link over}: what comes after a `rejoin` whose answer was lost is answered, though nothing counts that this host had there. */
  async ask(backing: Remote, call: Uint8Array, changes: boolean): Promise<Uint8Array> {
    if (this.#by === backing) throw new Dismissed();
    const answer = backing.ask(call);
    if (!changes) return answer;
    this.#changing.add(answer);
    try {
      return await answer;
    } finally {
      this.#changing.delete(answer);
    }
  }

  /** Resolves when that may be said: what was written under a lock that is lost must not come behind it, for it would be done. */
  async heard(backing: Remote): Promise<void> {
    this.#by = backing;
    if (this.#changing.size > 0) await Promise.race([Promise.allSettled(this.#changing), pause(overtakenMs)]);
  }

  /** Whoever serves us now is greeted. */
  over(): void {
    this.#by = undefined;
  }
}
