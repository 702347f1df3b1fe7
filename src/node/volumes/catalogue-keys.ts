import type { CatalogueEntry } from './catalogue-entry.ts';

/** Names that live in the tree of volumes: first the kind, then the volume's name or id. */
export const livePrefix = 'volume/';
export const trashPrefix = 'trash/';
export const gonePrefix = 'gone/';
/** Under this key is which list it is: one that is made anew has another than the one before. Those of before the end of November 2026 have none. */
export const listKey = 'list';

export function liveKey(name: string): string {
  return livePrefix + Buffer.from(name, 'utf8').toString('latin1');
}

export function encode(entry: CatalogueEntry): Uint8Array {
  return Buffer.from(JSON.stringify(entry));
}
