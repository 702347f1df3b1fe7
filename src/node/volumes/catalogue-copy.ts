import { type CatalogueEntry, readEntries } from './catalogue-entry.ts';

/** What a host keeps of the list of volumes on its own disk. */
export interface CatalogueCopy {
  readonly entries: readonly CatalogueEntry[];
  readonly trashed: readonly CatalogueEntry[];
  /** Which list it is of; undefined: of one of before lists had that. */
  readonly list: string | undefined;
}

/** The entries, and behind them what programs of before, which take it for none, leave out. */
export function encodeCopy({ entries, trashed, list }: CatalogueCopy): string {
  return JSON.stringify([...entries, ...(list === undefined && trashed.length === 0 ? [] : [{ list, trashed }])]);
}

/** A copy that cannot be read knows of nothing. */
export function decodeCopy(bytes: Uint8Array): CatalogueCopy {
  const entries = readEntries(bytes);
  const more = moreOf(bytes);
  const list = typeof more['list'] === 'string' ? more['list'] : undefined;
  return { entries, trashed: readEntries(Buffer.from(JSON.stringify(more['trashed'] ?? []))), list };
}

function moreOf(bytes: Uint8Array): Record<string, unknown> {
  try {
    const all: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    const last: unknown = Array.isArray(all) ? all.at(-1) : undefined;
    return typeof last === 'object' && last !== null && !('id' in last) ? (last as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
