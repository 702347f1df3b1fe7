import { randomUUID } from 'node:crypto';

import { codeOf } from '../../base/index.ts';
import type { Backing } from './backing.ts';
import { type CallTag, decodeResult, Dismissed, encodeCall, type SharedMethod } from './calls.ts';
import { contentChangedBy } from './effects.ts';
import { pause } from './repeating.ts';

/** So long at the most what changes a file may be on its way to a host of an earlier version behind the question that found out that this host was given up, in ms: one that is as long as it may be takes less. */
const overtakenMs = 500;

type Remote = Backing & { readonly kind: 'remote' };

/**
 * A host that serves us may have given us up and let us in again without our having heard that: until then it is asked nothing else. And once it has let us in, nothing is done there any more that
 * was on its way: what was locked then others may have had since.
 */
export class GivenUp {
  #by: Remote | undefined;
  #saying: Promise<string | undefined> | undefined;
  /** What is asked bears it: it is known by that not to be of before. */
  #term: string | undefined;
  /** Questions under way that change what is in a file. */
  readonly #changing = new Set<Promise<unknown>>();

  /** @throws Dismissed from {@link say} until {@link over}: what comes after a `rejoin` whose answer was lost is answered, though nothing counts that this host had there. */
  async ask(backing: Remote, method: SharedMethod, args: readonly unknown[], tag?: CallTag): Promise<Uint8Array> {
    if (this.#by === backing) throw new Dismissed();
    const answer = backing.ask(encodeCall(method, args, tag, this.#term));
    if (contentChangedBy(method, args) === undefined) return answer;
    this.#changing.add(answer);
    try {
      return await answer;
    } finally {
      this.#changing.delete(answer);
    }
  }

  /** Says that this host knows; once however many find it out. Resolves with the term of what is asked from then on; undefined: a host of an earlier version knows none. */
  say(backing: Remote): Promise<string | undefined> {
    if (this.#by !== backing) this.#saying = undefined;
    this.#by = backing;
    const saying = (this.#saying ??= this.#say(backing).finally(() => {
      if (this.#saying === saying) this.#saying = undefined;
    }));
    return saying;
  }

  async #say(backing: Remote): Promise<string | undefined> {
    const term = randomUUID();
    try {
      decodeResult(await backing.ask(encodeCall('rejoin', [term])));
      return term;
    } catch (error) {
      if (codeOf(error) !== 'bad-argument') throw error;
    }
    // What was written under a lock that is lost must not come behind it, for it would be done.
    if (this.#changing.size > 0) await Promise.race([Promise.allSettled(this.#changing), pause(overtakenMs)]);
    if (this.#by !== backing) return undefined;
    decodeResult(await backing.ask(encodeCall('rejoin', [])));
    return undefined;
  }

  /** Whoever serves us now is greeted. */
  over(term: string | undefined): void {
    this.#by = undefined;
    this.#term = term;
  }
}
