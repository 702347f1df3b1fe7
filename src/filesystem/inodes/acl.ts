import { FileSystemError } from '../file-system.ts';

/**
 * POSIX ACLs (the withdrawn POSIX 1003.1e draft 17, acl(5)) as Linux keeps them in xattrs: u32 version 2, then entries of
 * u16 tag, u16 permissions, u32 id. The kernel checks access with them; keeping ACL and mode in step is ours.
 */
export interface Acl {
  readonly entries: readonly AclEntry[];
}

export interface AclEntry {
  readonly tag: number;
  readonly permissions: number;
  /** Of a named user or group; otherwise 0xffffffff. */
  readonly id: number;
}

export const accessAclName = 'system.posix_acl_access';
export const defaultAclName = 'system.posix_acl_default';

const version = 2;
const userOwner = 0x01;
const namedUser = 0x02;
const groupOwner = 0x04;
const namedGroup = 0x08;
const mask = 0x10;
const other = 0x20;
const noId = 0xffffffff;

/** Reads and checks an ACL; undefined for one without entries, which means "remove". @throws FileSystemError EINVAL, EOPNOTSUPP. */
export function decodeAcl(value: Uint8Array): Acl | undefined {
  const from = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (from.length === 0) return undefined;
  if (from.length < 4 || (from.length - 4) % 8 !== 0) throw new FileSystemError('EINVAL');
  if (from.readUInt32LE(0) !== version) throw new FileSystemError('EOPNOTSUPP');
  const entries: AclEntry[] = [];
  for (let at = 4; at < from.length; at += 8)
    entries.push({ tag: from.readUInt16LE(at), permissions: from.readUInt16LE(at + 2), id: from.readUInt32LE(at + 4) });
  if (entries.length === 0) return undefined;
  validate(entries);
  return { entries };
}

/** The order of tags and the presence of the needed ones, as posix_acl_valid() of the kernel. */
function validate(entries: readonly AclEntry[]): void {
  let state = 0;
  let needsMask = false;
  const order = [userOwner, namedUser, groupOwner, namedGroup, mask, other];
  const seen = new Set<number>();
  for (const { tag, permissions, id } of entries) {
    const place = order.indexOf(tag);
    if (place < 0 || place < state || permissions > 7) throw new FileSystemError('EINVAL');
    const named = tag === namedUser || tag === namedGroup;
    if (named) {
      if (id === noId) throw new FileSystemError('EINVAL');
      needsMask = true;
    } else if (seen.has(tag)) throw new FileSystemError('EINVAL');
    seen.add(tag);
    state = place;
  }
  const complete = seen.has(userOwner) && seen.has(groupOwner) && seen.has(other) && (!needsMask || seen.has(mask));
  if (!complete) throw new FileSystemError('EINVAL');
}

export function encodeAcl(acl: Acl): Uint8Array<ArrayBuffer> {
  const into = Buffer.alloc(4 + acl.entries.length * 8);
  into.writeUInt32LE(version, 0);
  acl.entries.forEach(({ tag, permissions, id }, index) => {
    into.writeUInt16LE(tag, 4 + index * 8);
    into.writeUInt16LE(permissions, 6 + index * 8);
    into.writeUInt32LE(id, 8 + index * 8);
  });
  return into;
}

/** The mode that an access ACL shows: owner, mask (or group without one), other. `minimal`: the mode says it all, no ACL need be kept. */
export function modeOfAcl(acl: Acl, mode: number): { mode: number; minimal: boolean } {
  let bits = 0;
  let minimal = true;
  const masked = acl.entries.some(({ tag }) => tag === mask);
  for (const { tag, permissions } of acl.entries) {
    if (tag === userOwner) bits |= permissions << 6;
    else if (tag === other) bits |= permissions;
    else if (tag === mask || (tag === groupOwner && !masked)) bits |= permissions << 3;
    if (tag === namedUser || tag === namedGroup || tag === mask) minimal = false;
  }
  return { mode: (mode & ~0o777) | bits, minimal };
}

/** The access ACL after chmod(2): what the mode stands for in it follows. */
export function aclAfterChmod(acl: Acl, mode: number): Acl {
  const masked = acl.entries.some(({ tag }) => tag === mask);
  return {
    entries: acl.entries.map((entry) => {
      if (entry.tag === userOwner) return { ...entry, permissions: (mode >> 6) & 7 };
      if (entry.tag === other) return { ...entry, permissions: mode & 7 };
      if (entry.tag === mask || (entry.tag === groupOwner && !masked)) return { ...entry, permissions: (mode >> 3) & 7 };
      return entry;
    }),
  };
}

/**
 * What a new object gets from its directory's default ACL: the access ACL is the default one, restricted by the mode asked for,
 * and the mode is restricted by it in turn. The umask plays no part then (acl(5), "object creation and default ACLs").
 */
export function inheritAcl(defaults: Acl, mode: number): { mode: number; access: Acl | undefined } {
  const masked = defaults.entries.some(({ tag }) => tag === mask);
  const access: Acl = {
    entries: defaults.entries.map((entry) => {
      if (entry.tag === userOwner) return { ...entry, permissions: entry.permissions & (mode >> 6) };
      if (entry.tag === other) return { ...entry, permissions: entry.permissions & mode };
      if (entry.tag === mask || (entry.tag === groupOwner && !masked)) return { ...entry, permissions: entry.permissions & (mode >> 3) };
      return entry;
    }),
  };
  const shown = modeOfAcl(access, mode);
  return { mode: shown.mode, access: shown.minimal ? undefined : access };
}
