import { checkVolumeName } from '../../api/index.ts';
import { InfinitError } from '../../base/index.ts';

/** What the catalogue keeps of a volume. */
export interface CatalogueEntry {
  readonly name: string;
  /** 32 hex digits, drawn at creation. */
  readonly id: string;
  /** RFC 3339. */
  readonly createdAt: string;
  /** Normalised, defaults included. */
  readonly options: Readonly<Record<string, string>>;
  /** It was removed then, and waits in the trash. RFC 3339. */
  readonly trashedAt?: string;
  /** In the trash: it is being brought back under this name, and is not deleted meanwhile. */
  readonly restoringAs?: string;
  /** In the trash: its data is being deleted, and it cannot be brought back. */
  readonly purging?: boolean;
}

/**
 * The entry in what a block has. Whoever may write can write the catalogue's blocks past this program, and id and name become names of files on the hosts that read it, which
 * write, read and remove them as root.
 * @throws InfinitError `damaged` where it is none.
 */
export function readEntry(bytes: Uint8Array): CatalogueEntry {
  const entry = parsed(bytes);
  if (!isEntry(entry)) throw new InfinitError('damaged', 'the list of volumes has an entry that says of no volume what it is');
  return entry;
}

/** Those of a list that are entries. */
export function readEntries(bytes: Uint8Array): readonly CatalogueEntry[] {
  const list = parsed(bytes);
  return Array.isArray(list) ? list.filter(isEntry) : [];
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
}

function isEntry(value: unknown): value is CatalogueEntry {
  if (typeof value !== 'object' || value === null) return false;
  const { name, id, createdAt, options, trashedAt = '', restoringAs = name, purging = false } = value as Record<keyof CatalogueEntry, unknown>;
  return (
    [name, restoringAs].every(isName) &&
    typeof id === 'string' &&
    /^[0-9a-f]{32}$/.test(id) &&
    [createdAt, trashedAt].every((time) => typeof time === 'string') &&
    typeof purging === 'boolean' &&
    typeof options === 'object' &&
    options !== null &&
    Object.values(options).every((option) => typeof option === 'string')
  );
}

function isName(name: unknown): boolean {
  try {
    checkVolumeName(name);
    return true;
  } catch {
    return false;
  }
}
