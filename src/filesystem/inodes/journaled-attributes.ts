import type { FileTime } from '../file-system.ts';

/** What a file or directory is beside its content, names and extended attributes, as the journal of contents and the redo log have it. */
export interface JournaledAttributes {
  readonly inode: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly accessed: FileTime;
  readonly modified: FileTime;
  readonly changed: FileTime;
}
