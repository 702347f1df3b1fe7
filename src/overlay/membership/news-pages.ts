import { maxBodyBytes } from '../transport.ts';
import type { News } from './member-table.ts';

/** Entries in one message. */
export const maxEntries = 500;
/** Characters of statements in one message; they are ASCII. The rest of what may be sent is for what a reply says besides. */
const maxPageChars = maxBodyBytes / 4;
/** What a statement takes besides its text. */
const overheadChars = 40;

/** News in messages that each can be sent; none where there are none. Revocations come first: of whom they tell nothing else counts. */
export function* pagesOf({ entries, revocations }: News): Generator<News> {
  const rest = { entries: 0, revocations: 0 };
  while (rest.revocations < revocations.length || rest.entries < entries.length) {
    let chars = 0;
    const fits = (length: number): boolean => {
      const isFirst = chars === 0;
      chars += length + overheadChars;
      return isFirst || chars <= maxPageChars;
    };
    const page: { entries: News['entries'][number][]; revocations: News['revocations'][number][] } = { entries: [], revocations: [] };
    while (rest.revocations < revocations.length && fits(revocations[rest.revocations]!.length))
      page.revocations.push(revocations[rest.revocations++]!);
    if (rest.revocations === revocations.length)
      while (rest.entries < entries.length && page.entries.length < maxEntries) {
        const entry = entries[rest.entries]!;
        if (!fits(entry.record.length + entry.passport.length)) break;
        page.entries.push(entry);
        rest.entries++;
      }
    yield page;
  }
}

/** The same list from another place on. */
export function rotated<T>(list: readonly T[], by: number): readonly T[] {
  const start = list.length === 0 ? 0 : by % list.length;
  return start === 0 ? list : [...list.slice(start), ...list.slice(0, start)];
}
