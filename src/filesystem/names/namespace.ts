import { accessAclName, decodeAcl, defaultAclName, encodeAcl, inheritAcl } from '../inodes/acl.ts';
import type { VolumeCore } from '../core.ts';
import type { Directory } from './directory.ts';
import type { Dentry } from './directory-codec.ts';
import { asFileSystemError } from '../failure.ts';
import { type Attributes, type Caller, FileSystemError } from '../file-system.ts';
import type { Inode } from '../inodes/inode.ts';
import { isDirectory, isRegular, isSymlink, setGidBit, typeCharacterDevice, typeDirectory, typeMask, typeSymlink } from '../inodes/mode.ts';
import { Miss } from '../miss.ts';
import type { MadeFile } from '../journal/made-file.ts';
import { checkName, maxLinks, maxTargetBytes } from './names.ts';

/** What a new inode is to be. */
export interface Making {
  readonly mode: number;
  readonly device?: number;
  readonly target?: string;
  readonly umask: number;
  readonly caller: Caller;
  /** It was made at a host that had the volume before, and is to be what it was. */
  readonly again?: MadeFile;
}

/**
 * Making, naming and removing things. Every method is one operation as {@link attempt} runs it: all that can be missing is looked at
 * first, then checks, then changes in memory and one entry in the log.
 */
export class Namespace {
  readonly #core: VolumeCore;

  constructor(core: VolumeCore) {
    this.#core = core;
  }

  /** The inode that a name stands for. @throws Miss, FileSystemError ENOTDIR, ENAMETOOLONG; EIO where a name stands for what is lost */
  lookup(parent: number, name: string): Inode | undefined {
    const directory = this.#directory(parent);
    if (name.length > 255) throw new FileSystemError('ENAMETOOLONG');
    if (name === '.') return directory.inode;
    if (name === '..') return this.#core.table.get(directory.inode.parent);
    const dentry = directory.names.lookup(name);
    if (dentry === undefined) return undefined;
    const inode = this.#core.table.find(dentry.inode);
    // To say that there is no such name would be wrong: it is listed, and cannot be made.
    if (inode === undefined && this.#core.table.peek(dentry.inode) === undefined)
      throw new FileSystemError('EIO', `the record of inode ${dentry.inode} is not there: it was lost with all its hosts`);
    return inode;
  }

  /** A new inode under a name. @throws Miss, FileSystemError EEXIST, ENOENT … */
  make(parent: number, name: string, making: Making): Inode {
    const { inode: directory, names } = this.writableDirectory(parent);
    checkName(name);
    if (names.lookup(name) !== undefined) throw new FileSystemError('EEXIST');
    if (making.target !== undefined && making.target.length > maxTargetBytes) throw new FileSystemError('ENAMETOOLONG');
    names.checkRoom(name);
    this.#core.claim([directory], [directory]);
    const inode = this.#create(directory, making, isDirectory(making.mode) ? 2 : 1);
    const change = names.change(name, dentryOf(inode));
    const links = [{ inode, delta: inode.links }];
    if (inode.isDirectory) {
      directory.links++;
      links.push({ inode: directory, delta: 1 });
    }
    this.stamp(directory);
    this.#core.record({ names: [{ directory, change }], links });
    return inode;
  }

  /**
   * What stands under the old name after RENAME_WHITEOUT, as a part of that operation: the device 0:0, by which an overlay file system knows that the name is gone of which a
   * layer below has something. Like all that has no maker it is root's.
   */
  whiteout(directory: Inode): Inode {
    return this.#create(directory, { mode: typeCharacterDevice, umask: 0, caller: { uid: 0, gid: 0, pid: 0 } }, 1);
  }

  /** A new file without a name (O_TMPFILE). */
  makeUnnamed(parent: number, making: Making): Inode {
    const { inode: directory } = this.writableDirectory(parent);
    const inode = this.#create(directory, making, 0);
    this.#core.record({ names: [], links: [{ inode, delta: 0 }] });
    return inode;
  }

  /**
   * A file that was made at a host that had the volume before, which is known to have gone before it was durable.
   * @throws Miss, FileSystemError EEXIST where the name is another's by now, ENOENT, ESTALE where the directory is gone
   */
  makeAgain(made: MadeFile): Inode {
    const { parent, name, mode, umask, caller } = made;
    const making = { mode, umask, caller, again: made };
    return name === '' ? this.makeUnnamed(parent, making) : this.make(parent, name, making);
  }

  /** One more name. @throws Miss, FileSystemError EPERM, EEXIST, EMLINK, ENOENT */
  link(number: number, newParent: number, newName: string): Inode {
    const { inode: directory, names } = this.writableDirectory(newParent);
    checkName(newName);
    const inode = this.#core.table.get(number);
    if (inode.isDirectory) throw new FileSystemError('EPERM');
    if (names.lookup(newName) !== undefined) throw new FileSystemError('EEXIST');
    if (inode.links >= maxLinks) throw new FileSystemError('EMLINK');
    names.checkRoom(newName);
    this.#core.claim([directory, inode], [directory]);
    const change = names.change(newName, dentryOf(inode));
    inode.links++;
    inode.stamp(this.stamp(directory));
    this.#core.touch(inode);
    this.#core.record({ names: [{ directory, change }], links: [{ inode, delta: 1 }] });
    return inode;
  }

  unlink(parent: number, name: string): void {
    const { inode: directory, names } = this.writableDirectory(parent);
    const inode = this.#target(names, name);
    if (inode?.isDirectory === true) throw new FileSystemError('EISDIR');
    this.#core.claim(inode === undefined ? [directory] : [directory, inode], [directory]);
    const change = names.change(name, undefined);
    const now = this.stamp(directory);
    if (inode === undefined) return this.#core.record({ names: [{ directory, change }], links: [] });
    this.#core.record({ names: [{ directory, change }], ...this.dropName(inode, now) });
  }

  rmdir(parent: number, name: string): void {
    const { inode: directory, names } = this.writableDirectory(parent);
    const inode = this.#target(names, name);
    if (inode === undefined) throw new FileSystemError('ENOENT');
    if (!inode.isDirectory) throw new FileSystemError('ENOTDIR');
    if (!inode.directory!.empty) throw new FileSystemError('ENOTEMPTY');
    this.#core.claim([directory, inode], [directory]);
    const change = names.change(name, undefined);
    const now = this.stamp(directory);
    directory.links--;
    const dropped = this.dropName(inode, now);
    this.#core.record({ names: [{ directory, change }], ...dropped, links: [...dropped.links, { inode: directory, delta: -1 }] });
  }

  #directory(number: number): { inode: Inode; names: Directory } {
    const inode = this.#core.table.get(number);
    return { inode, names: this.#core.table.names(inode) };
  }

  /** A directory in which names may change. */
  writableDirectory(number: number): { inode: Inode; names: Directory } {
    this.#core.writable();
    const found = this.#directory(number);
    if (found.inode.links === 0) throw new FileSystemError('ENOENT', 'the directory was removed');
    const room = this.#core.flusher.room();
    if (room !== undefined) throw new Miss(room);
    const refusal = this.#core.checkpoint.refusalOf(found.inode);
    if (refusal !== undefined) throw asFileSystemError(refusal);
    return found;
  }

  /** What a name that is to go stands for; undefined where the inode is lost, which must not keep the name from going. */
  #target(names: Directory, name: string): Inode | undefined {
    const dentry = names.lookup(name);
    if (dentry === undefined) throw new FileSystemError('ENOENT');
    return this.#core.table.find(dentry.inode);
  }

  #create(directory: Inode, making: Making, links: number): Inode {
    const inherits = (directory.mode & setGidBit) !== 0;
    const { mode, xattrs } = inheritedMode(directory, making);
    const { again } = making;
    const number = again === undefined ? this.#core.numbers.take() : this.#vacate(again.inode);
    const { clock, setup } = this.#core.context;
    const now = (isRegular(mode) ? setup.kernelNow?.() : undefined) ?? clock.now();
    const record = {
      mode: inherits && isDirectory(mode) ? mode | setGidBit : mode,
      uid: making.caller.uid,
      gid: inherits ? directory.gid : making.caller.gid,
      links,
      device: making.device ?? 0,
      size: making.target?.length ?? 0,
      parent: isDirectory(mode) ? directory.number : 0,
      accessed: now,
      modified: now,
      changed: now,
      target: making.target,
      xattrs,
    };
    const { table } = this.#core;
    const inode = again === undefined ? table.create(number, record) : table.createAgain(number, { ...record, ...recordOf(again) });
    this.#core.redo?.created(inode, this.#core.log.last + 1);
    this.#core.usage.add(0, 1);
    return inode;
  }

  /** A number of a mount before this one, of which a host that was lost in the middle of making it again may have left a record that nothing names. @throws Miss */
  #vacate(number: number): number {
    const { table, numbers, checkpoint } = this.#core;
    if (number >= numbers.first) throw new FileSystemError('EINVAL', 'a number of this mount');
    table.find(number);
    const left = table.peek(number);
    if (left === undefined) return number;
    if (left.gone) throw new FileSystemError('ESTALE', `inode ${number} is being removed`);
    if (!left.isRegular || left.size > 0 || left.handles > 0 || left.lookups > 0 || left.lastOperation > 0 || checkpoint.pins(left))
      throw new FileSystemError('EEXIST', `inode ${number} is in use`);
    table.forget(left);
    return number;
  }

  /** The directory's content changed now. */
  stamp(directory: Inode): Inode['changed'] {
    const now = this.#core.context.clock.now();
    directory.modified = now;
    directory.stamp(now);
    this.#core.touch(directory);
    return now;
  }

  /** One name less (all, for a directory); with the last one, and nobody who uses it, the inode goes. */
  dropName(inode: Inode, now: Inode['changed']): { links: { inode: Inode; delta: number }[]; gone?: Inode } {
    const delta = inode.isDirectory ? -inode.links : -1;
    inode.links += delta;
    inode.stamp(now);
    this.#core.touch(inode);
    const links = [{ inode, delta }];
    if (!inode.unused) {
      if (inode.links === 0 && inode.isRegular) this.#core.leaving.add(inode);
      // A program of another host may have removed it. Where nobody else has the volume the kernel knows what it removes.
      if (inode.links === 0 && this.#core.context.setup.kernelOpens !== true) void this.#core.askKernel(inode);
      return { links };
    }
    this.#core.markGone(inode);
    return { links, gone: inode };
  }
}

function recordOf({ attributes }: MadeFile): Pick<Attributes, 'mode' | 'uid' | 'gid' | 'accessed' | 'modified' | 'changed'> {
  const { mode, uid, gid, accessed, modified, changed } = attributes;
  return { mode, uid, gid, accessed, modified, changed };
}

export function dentryOf(inode: Inode): Dentry {
  return { inode: inode.number, type: inode.mode & typeMask };
}

/** The mode and ACLs of something new: from the directory's default ACL where it has one, otherwise from the umask. */
function inheritedMode(directory: Inode, making: Making): { mode: number; xattrs: Map<string, Uint8Array> | undefined } {
  const value = isSymlink(making.mode) ? undefined : directory.xattrs?.get(defaultAclName);
  const defaults = value === undefined ? undefined : decodeAcl(value);
  if (defaults === undefined) return { mode: isSymlink(making.mode) ? typeSymlink | 0o777 : making.mode & ~making.umask, xattrs: undefined };
  const inherited = inheritAcl(defaults, making.mode);
  const xattrs = new Map<string, Uint8Array>();
  if (inherited.access !== undefined) xattrs.set(accessAclName, encodeAcl(inherited.access));
  if ((making.mode & typeMask) === typeDirectory) xattrs.set(defaultAclName, value!);
  return { mode: inherited.mode, xattrs: xattrs.size === 0 ? undefined : xattrs };
}
