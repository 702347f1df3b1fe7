import { randomBytes } from 'node:crypto';

import { codeOf } from '../../base/index.ts';
import type { Backing } from './backing.ts';
import { type CallTag, decodeResult, Dismissed, encodeCall, type SharedMethod } from './calls.ts';
import { contentChangedBy } from './effects.ts';
import { pause } from './repeating.ts';

/** So long at the most what changes a file may be on its way to a host of an earlier version behind the question that found out that this host was given up, in ms: one that is as long as it may be takes less. */
const overtakenMs = 500;

/** A host's terms are few, and told from each other only. */
const termBytes = 6;

/** Another host. */
export type Remote = Backing & { readonly kind: 'remote' };

/** A host has let this one in. */
export interface LetIn {
  /** Whatever is asked there bears it; undefined: one of an earlier version knows none. */
  readonly term: string | undefined;
}

/**
 * A host that serves us is asked nothing else before it has let us in, for a term that it is told: once it has, nothing is done there any more that was asked before, however late it comes. That may have been of
 * before it gave us up, and let us in again without our having heard that; of another opening of the volume, at the same host; or of a process before this one. What was locked then others may have had since.
 */
export class Admission {
  #by: Remote | undefined;
  #saying: Promise<LetIn> | undefined;
  /** What is asked bears it: it is known by that not to be of before. */
  #term: string | undefined;
  /** Questions under way that change what is in a file. */
  readonly #changing = new Set<Promise<unknown>>();

  /** @throws Dismissed from {@link seek} until {@link found}. */
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

  /** Nothing is asked there, or anywhere where nobody is, until it has let us in. */
  seek(backing: Remote | undefined): void {
    if (this.#by !== backing) this.#saying = undefined;
    this.#by = backing;
  }

  /** Nobody else has been {@link seek sought} since. */
  isSought(backing: Remote): boolean {
    return this.#by === backing;
  }

  /** Says that this host is there, and knows of whatever was before; once however many find out that it has to. */
  say(backing: Remote): Promise<LetIn> {
    this.seek(backing);
    const saying = (this.#saying ??= this.#say(backing).finally(() => {
      if (this.#saying === saying) this.#saying = undefined;
    }));
    return saying;
  }

  async #say(backing: Remote): Promise<LetIn> {
    const term = randomBytes(termBytes).toString('base64url');
    try {
      decodeResult(await backing.ask(encodeCall('rejoin', [term])));
      return { term };
    } catch (error) {
      if (codeOf(error) !== 'bad-argument') throw error;
    }
    // What was written under a lock that is lost must not come behind it, for it would be done.
    if (this.#changing.size > 0) await Promise.race([Promise.allSettled(this.#changing), pause(overtakenMs)]);
    if (this.#by === backing) decodeResult(await backing.ask(encodeCall('rejoin', [])));
    return { term: undefined };
  }

  /** Whoever serves us now is greeted. */
  found({ term }: LetIn): void {
    this.#by = undefined;
    this.#term = term;
  }
}
