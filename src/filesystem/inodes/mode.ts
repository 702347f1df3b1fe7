/** Bits of st_mode, open(2) flags and the like, as Linux numbers them. */
export const typeMask = 0o170000;
export const typeSymlink = 0o120000;
export const typeRegular = 0o100000;
export const typeDirectory = 0o040000;
export const typeCharacterDevice = 0o020000;

export const setUidBit = 0o4000;
export const setGidBit = 0o2000;
export const groupExecuteBit = 0o0010;
/** All bits chmod(2) may set. */
export const permissionMask = 0o7777;

export const openAccessMask = 3;
export const openExclusive = 0o200;
export const openTruncate = 0o1000;

export const renameNoReplace = 1;
export const renameExchange = 2;
export const renameWhiteout = 4;

export function isDirectory(mode: number): boolean {
  return (mode & typeMask) === typeDirectory;
}

export function isRegular(mode: number): boolean {
  return (mode & typeMask) === typeRegular;
}

export function isSymlink(mode: number): boolean {
  return (mode & typeMask) === typeSymlink;
}

/**
 * The mode after a write, truncate or chown that takes privileges away: suid goes, and sgid too where the group may execute
 * (otherwise the bit once meant mandatory locking and stays). Directories keep theirs.
 */
export function withoutPrivileges(mode: number): number {
  if (isDirectory(mode)) return mode;
  const drop = setUidBit | ((mode & groupExecuteBit) === 0 ? 0 : setGidBit);
  return mode & ~drop;
}
