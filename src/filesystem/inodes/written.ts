import type { Address } from '../../block/index.ts';
import type { AttributeChanges, Attributes, FileTime } from '../file-system.ts';
import { isSameTime } from './file-time.ts';

/** What tells one state of a file from another: each change gives it another time of change. */
export interface FileVersion {
  readonly changed: FileTime;
  readonly modified: FileTime;
  readonly size: number;
}

/** A run of a file's bytes that lies in a block which is in the store already. */
export interface StoredPiece {
  readonly offset: number;
  readonly length: number;
  readonly address: Address;
  /** Index of the first byte in the block's body, and the length of that. */
  readonly at: number;
  readonly blockBytes: number;
}

/** A run of a file's bytes, as they are or where they lie. */
export type WrittenPiece = { readonly offset: number; readonly bytes: Uint8Array } | StoredPiece;

/** What another host did to a file in its own memory, since it last said so. */
export interface Written {
  /** The file was so before. */
  readonly expect: FileVersion;
  /** And is so afterwards. No other change makes it the same. */
  readonly version: FileVersion;
  /** Session that the blocks were sealed for. */
  readonly session: number;
  readonly pieces: readonly WrittenPiece[];
  readonly changes: Pick<AttributeChanges, 'mode' | 'uid' | 'gid'> & { readonly accessed?: FileTime };
}

export function versionOf({ changed, modified, size }: FileVersion | Attributes): FileVersion {
  return { changed, modified, size };
}

export function isSameVersion(one: FileVersion, other: FileVersion): boolean {
  return one.size === other.size && isSameTime(one.changed, other.changed) && isSameTime(one.modified, other.modified);
}
