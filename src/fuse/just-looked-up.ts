import type { Attributes } from '../filesystem/index.ts';

/** So long after the answer the kernel asks for the attributes at the latest, in ms, where its thread gets a processor. */
const memoMs = 2;
/** Threads that were answered just now. */
const maxThreads = 64;

/**
 * The attributes in a look-up's answer, for the question that the very same thread puts next: on its way along a path the kernel looks each name up and then asks for the attributes
 * of what it found, though they came with it, where it may trust them for no time at all. A call that looks a name up begins before that is answered, so what was true then is a right answer to its question.
 * Only for the next request of the thread, so that no later call is told the same, and only while nothing else was answered: the kernel must not hear older attributes after newer ones.
 */
export class JustLookedUp {
  readonly #now: () => number;
  /** By thread. */
  readonly #memos = new Map<number, { readonly attributes: Attributes; readonly at: number }>();

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** A look-up of the thread is being answered. */
  note(thread: number, attributes: Attributes): void {
    // Of no thread at all the kernel asks by itself.
    if (thread === 0) return;
    if (this.#memos.size >= maxThreads) this.#memos.clear();
    this.#memos.set(thread, { attributes, at: this.#now() });
  }

  /** What the thread asks for next, if it is that. */
  take(thread: number, inode: number): Attributes | undefined {
    const memo = this.#memos.get(thread);
    if (memo === undefined) return undefined;
    this.#memos.delete(thread);
    return memo.attributes.inode === inode && this.#now() - memo.at <= memoMs ? memo.attributes : undefined;
  }

  /** The thread asks for something else. */
  asksElse(thread: number): void {
    if (this.#memos.size > 0) this.#memos.delete(thread);
  }

  /** Something else is answered: attributes may have changed by it. */
  answersElse(): void {
    if (this.#memos.size > 0) this.#memos.clear();
  }
}
