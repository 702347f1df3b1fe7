import { FileSystemError } from '../file-system.ts';

/** Bytes of a name, as in ext4. */
export const maxNameBytes = 255;
/** Bytes of a symbolic link's target, one less than PATH_MAX. */
export const maxTargetBytes = 4095;
/** Names of one file, as in ext4. */
export const maxLinks = 65_000;

/** A name that something new may get. @throws FileSystemError ENAMETOOLONG, EINVAL, EEXIST. */
export function checkName(name: string): void {
  if (name.length > maxNameBytes) throw new FileSystemError('ENAMETOOLONG');
  if (name === '.' || name === '..') throw new FileSystemError('EEXIST');
  if (name === '' || name.includes('/') || name.includes('\0')) throw new FileSystemError('EINVAL');
}
