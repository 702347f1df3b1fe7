import { accessAclName, aclAfterChmod, decodeAcl, defaultAclName, encodeAcl, modeOfAcl } from './acl.ts';
import type { VolumeCore } from '../core.ts';
import { FileSystemError } from '../file-system.ts';
import type { Inode } from './inode.ts';
import { permissionMask, setGidBit, withoutPrivileges } from './mode.ts';

/** Names and values of one inode together, so that its record fits a mutable block. */
export const maxXattrBytes: number = 46 * 1024;
/** XATTR_NAME_MAX and XATTR_SIZE_MAX of Linux. */
const maxNameBytes = 255;
const createOnly = 1;
const replaceOnly = 2;
const capabilityName = 'security.capability';
const prefixes = ['user.', 'trusted.', 'security.'];

/** @param value is the inode's from now on. @throws FileSystemError EEXIST, ENODATA, ENOSPC, EOPNOTSUPP, ERANGE, EINVAL … */
export function setXattr(core: VolumeCore, inode: Inode, name: string, value: Uint8Array, flags: number, killSetgid: boolean): void {
  checkName(name);
  const present = inode.xattrs?.has(name) === true;
  if ((flags & createOnly) !== 0 && present) throw new FileSystemError('EEXIST');
  if ((flags & replaceOnly) !== 0 && !present) throw new FileSystemError('ENODATA');
  if (name === accessAclName || name === defaultAclName) setAcl(inode, name, value);
  else store(inode, name, value);
  if (killSetgid) inode.mode &= ~setGidBit;
  changed(core, inode);
}

/** Made once: the kernel asks each file that is written for a capability, and hardly any has one. */
const noData = new FileSystemError('ENODATA');

export function getXattr(inode: Inode, name: string): Uint8Array {
  checkName(name);
  const value = inode.xattrs?.get(name);
  if (value === undefined) throw noData;
  return value;
}

export function removeXattr(core: VolumeCore, inode: Inode, name: string): void {
  checkName(name);
  if (inode.xattrs?.delete(name) !== true) {
    // Removing the ACL of a file without one is fine, as in ext4.
    if (name === accessAclName || name === defaultAclName) return;
    throw new FileSystemError('ENODATA');
  }
  changed(core, inode);
}

/** chmod(2): an access ACL follows the mode. */
export function changeMode(inode: Inode, mode: number): void {
  inode.mode = (inode.mode & ~permissionMask) | (mode & permissionMask);
  const value = inode.xattrs?.get(accessAclName);
  const acl = value === undefined ? undefined : decodeAcl(value);
  if (acl === undefined) return;
  inode.xattrs!.set(accessAclName, encodeAcl(aclAfterChmod(acl, mode)));
  beyondJournal(inode);
}

/** A write or a change of owner takes suid, sgid and file capabilities away. */
export function killPrivileges(inode: Inode): void {
  inode.mode = withoutPrivileges(inode.mode);
  if (inode.xattrs?.delete(capabilityName) === true) beyondJournal(inode);
}

function setAcl(inode: Inode, name: string, value: Uint8Array): void {
  const acl = decodeAcl(value);
  if (name === defaultAclName) {
    if (!inode.isDirectory) {
      if (acl !== undefined) throw new FileSystemError('EACCES');
      return;
    }
    if (acl === undefined) inode.xattrs?.delete(name);
    else store(inode, name, encodeAcl(acl));
    return;
  }
  if (inode.target !== undefined) throw new FileSystemError('EOPNOTSUPP');
  if (acl === undefined) {
    inode.xattrs?.delete(name);
    return;
  }
  const { mode, minimal } = modeOfAcl(acl, inode.mode);
  if (minimal) inode.xattrs?.delete(name);
  else store(inode, name, encodeAcl(acl));
  inode.mode = mode;
}

function store(inode: Inode, name: string, value: Uint8Array): void {
  let bytes = name.length + value.length;
  for (const [other, { length }] of inode.xattrs ?? []) if (other !== name) bytes += other.length + length;
  if (bytes > maxXattrBytes) throw new FileSystemError('ENOSPC');
  (inode.xattrs ??= new Map()).set(name, value);
}

function changed(core: VolumeCore, inode: Inode): void {
  inode.stamp(core.context.clock.now());
  beyondJournal(inode);
  core.include(inode);
  core.touch(inode);
  core.table.weigh(inode);
  core.unwrittenXattrs.changed(inode);
  if (core.unwrittenXattrs.pressing) core.flusher.hurry();
}

/** An extended attribute changed, and the inode is about to be touched: that revision of it only its record can hold. */
function beyondJournal(inode: Inode): void {
  inode.xattrsRevision = inode.revision + 1;
}

function checkName(name: string): void {
  if (name.length > maxNameBytes) throw new FileSystemError('ERANGE');
  if (name === accessAclName || name === defaultAclName) return;
  if (!prefixes.some((prefix) => name.startsWith(prefix) && name.length > prefix.length)) throw new FileSystemError('EOPNOTSUPP');
}
