import type { MemoryInode } from './memory-inode.ts';

/** POSIX ACLs as the kernel hands them over: version 2, then 8 bytes an entry (tag, permissions, id). */
export const [accessAcl, defaultAcl] = ['system.posix_acl_access', 'system.posix_acl_default'];
const [userObject, groupObject, mask, other] = [1, 4, 16, 32];

interface Entry {
  readonly tag: number;
  readonly at: number;
}

function entriesOf(acl: Uint8Array): Entry[] {
  const view = new DataView(acl.buffer, acl.byteOffset, acl.length);
  return Array.from({ length: (acl.length - 4) / 8 }, (_, index) => ({ tag: view.getUint16(4 + index * 8, true), at: 6 + index * 8 }));
}

/** The permission bits that an access ACL stands for. */
export function modeOfAcl(mode: number, acl: Uint8Array): number {
  const entries = entriesOf(acl);
  const of = (tag: number): number | undefined => {
    const found = entries.find((entry) => entry.tag === tag);
    return found && acl[found.at]! & 7;
  };
  return (mode & ~0o777) | ((of(userObject) ?? 0) << 6) | ((of(mask) ?? of(groupObject) ?? 0) << 3) | (of(other) ?? 0);
}

/** Puts the mode's bits into the ACL; with `and` only those that both allow stay (creation), else they are replaced (chmod). */
function apply(acl: Uint8Array, mode: number, and: boolean): Uint8Array {
  const copy = acl.slice();
  const entries = entriesOf(copy);
  const hasMask = entries.some(({ tag }) => tag === mask);
  for (const { tag, at } of entries) {
    const bits = tag === userObject ? mode >> 6 : tag === other ? mode : tag === (hasMask ? mask : groupObject) ? mode >> 3 : undefined;
    if (bits !== undefined) copy[at] = and ? copy[at]! & bits & 7 : bits & 7;
  }
  return copy;
}

/** Does the ACL say more than a mode can? */
export function isExtended(acl: Uint8Array): boolean {
  return entriesOf(acl).length > 3;
}

/** chmod on a file with an access ACL. */
export function chmodAcl(inode: MemoryInode): void {
  const acl = inode.xattrs.get(accessAcl);
  if (acl !== undefined) inode.xattrs.set(accessAcl, apply(acl, inode.mode, false));
}

/** A new inode's mode and ACLs: the parent's default ACL, or else the umask. */
export function inheritAcl(parent: MemoryInode, child: MemoryInode, umask: number): void {
  const acl = parent.xattrs.get(defaultAcl);
  if (acl === undefined) {
    child.mode &= ~(umask & 0o777);
    return;
  }
  const access = apply(acl, child.mode, true);
  child.mode = modeOfAcl(child.mode, access);
  if (isExtended(access)) child.xattrs.set(accessAcl, access);
  if (child.isDirectory) child.xattrs.set(defaultAcl, acl.slice());
}
