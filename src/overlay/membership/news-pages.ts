import type { SignedText } from '../identity/index.ts';
import type { Entry, News } from './member-table.ts';

/** Entries in one message. */
export const maxEntries = 500;
/** Characters of statements in one message; they are ASCII. Few enough for a slow connection to carry them within the deadline of a request. */
const maxPageChars = 256 * 1024;
/** What a statement takes besides its text. */
const overheadChars = 40;

/** News in messages that each can be sent; none where there are none. Revocations come first: of whom they tell nothing else counts. */
export function* pagesOf({ entries, revocations, used = [] }: News): Generator<News> {
  const pages = new Pages();
  for (const text of revocations) yield* pages.add(text.length, ({ revocations }) => revocations.push(text));
  for (const text of used) yield* pages.add(text.length, (page) => page.used.push(text));
  for (const entry of entries) yield* pages.add(entry.record.length + entry.passport.length, (page) => page.entries.push(entry));
  yield* pages.end();
}

class Pages {
  #page = emptyPage();
  #chars = 0;

  *add(length: number, put: (page: ReturnType<typeof emptyPage>) => void): Generator<News> {
    const chars = length + overheadChars;
    if (this.#chars > 0 && (this.#chars + chars > maxPageChars || this.#page.entries.length >= maxEntries)) yield* this.end();
    this.#chars += chars;
    put(this.#page);
  }

  *end(): Generator<News> {
    if (this.#chars > 0) yield this.#page;
    this.#page = emptyPage();
    this.#chars = 0;
  }
}

function emptyPage(): { readonly entries: Entry[]; readonly revocations: SignedText[]; readonly used: SignedText[] } {
  return { entries: [], revocations: [], used: [] };
}

/** The same list from another place on. */
export function rotated<T>(list: readonly T[], by: number): readonly T[] {
  const start = list.length === 0 ? 0 : by % list.length;
  return start === 0 ? list : [...list.slice(start), ...list.slice(0, start)];
}
