import {
  type ExchangeRequest,
  type Attributes,
  type AttributeChanges,
  type Caller,
  type DirectoryEntry,
  type Errno,
  type FileLock,
  type FileSystem,
  FileSystemError,
  type FileSystemStatistics,
  type KernelCache,
  type MaybePromise,
} from '../../src/filesystem/index.ts';
import { accessAcl, chmodAcl, defaultAcl, inheritAcl, isExtended, modeOfAcl } from './memory-acl.ts';
import { directoryType, linkType, MemoryInode, now, regularType, type SavedInode, typeBits } from './memory-inode.ts';
import { MemoryLocks } from './memory-locks.ts';

const maxFileBytes = 2 ** 44;

function fail(errno: Errno): never {
  throw new FileSystemError(errno);
}

/** A whole POSIX file system in memory, to test and to measure the FUSE session with. */
export class MemoryFileSystem implements FileSystem {
  readonly root = new MemoryInode(1, directoryType | 0o755, 0, 0);
  kernel: KernelCache | undefined;
  isGuarded?: (inode: number) => boolean;
  readonly inodes = new Map<number, MemoryInode>([[1, this.root]]);
  readonly handles = new Map<number, MemoryInode>();
  readonly #locks = new Map<number, MemoryLocks>();
  #nextInode = 2;
  #nextHandle = 1;

  constructor() {
    this.root.parent = this.root;
    this.root.references = 1;
  }

  attach(kernel: KernelCache): void {
    this.kernel = kernel;
  }

  #get(inode: number): MemoryInode {
    return this.inodes.get(inode) ?? fail('ESTALE');
  }

  #directory(inode: number): MemoryInode {
    const found = this.#get(inode);
    return found.isDirectory ? found : fail('ENOTDIR');
  }

  #child(parent: MemoryInode, name: string): MemoryInode {
    return parent.entries.get(name)?.inode ?? fail('ENOENT');
  }

  #drop(inode: MemoryInode): void {
    if (inode.links > 0 || inode.references > 0 || inode.open > 0) return;
    this.inodes.delete(inode.inode);
    this.#locks.delete(inode.inode);
  }

  #refer(inode: MemoryInode): Attributes {
    inode.references++;
    return inode.attributes();
  }

  lookup(parent: number, name: string): MaybePromise<Attributes | undefined> {
    const entry = this.#directory(parent).entries.get(name);
    return entry && this.#refer(entry.inode);
  }

  forget(inode: number, count: number): void {
    const found = this.inodes.get(inode);
    if (found === undefined) return;
    found.references = Math.max(0, found.references - count);
    this.#drop(found);
  }

  getattr(inode: number): MaybePromise<Attributes> {
    return this.#get(inode).attributes();
  }

  setattr(inode: number, changes: AttributeChanges): MaybePromise<Attributes> {
    const found = this.#get(inode);
    found.changed = changes.changed ?? now();
    if (changes.uid !== undefined || changes.gid !== undefined || changes.killPrivileges === true) found.dropPrivileges();
    found.uid = changes.uid ?? found.uid;
    found.gid = changes.gid ?? found.gid;
    if (changes.mode !== undefined) {
      found.mode = (found.mode & typeBits) | (changes.mode & 0o7777);
      chmodAcl(found);
    }
    if (changes.size !== undefined) {
      if (changes.size > maxFileBytes) fail('EFBIG');
      found.truncate(changes.size);
      found.modified = found.changed;
    }
    if (changes.accessed !== undefined) found.accessed = changes.accessed === 'now' ? now() : changes.accessed;
    if (changes.modified !== undefined) found.modified = changes.modified === 'now' ? now() : changes.modified;
    return found.attributes();
  }

  readlink(inode: number): MaybePromise<string> {
    const found = this.#get(inode);
    return (found.mode & typeBits) === linkType ? found.target : fail('EINVAL');
  }

  #make(parent: number, name: string | undefined, mode: number, umask: number, caller: Caller): MemoryInode {
    const directory = this.#directory(parent);
    if (directory.links === 0) fail('ENOENT');
    if (name !== undefined && directory.entries.has(name)) fail('EEXIST');
    const setgid = (directory.mode & 0o2000) !== 0;
    const made = new MemoryInode(this.#nextInode++, mode, caller.uid, setgid ? directory.gid : caller.gid);
    if ((mode & typeBits) !== linkType) inheritAcl(directory, made, umask);
    if (made.isDirectory && setgid) made.mode |= 0o2000;
    this.inodes.set(made.inode, made);
    if (name === undefined) made.links = 0;
    else this.#insert(directory, name, made);
    return made;
  }

  #insert(directory: MemoryInode, name: string, inode: MemoryInode): void {
    directory.entries.set(name, { inode, cookie: directory.nextCookie++ });
    if (inode.isDirectory) {
      directory.links++;
      inode.parent = directory;
    }
    directory.touch('modified', 'changed');
  }

  #remove(directory: MemoryInode, name: string): void {
    const inode = this.#child(directory, name);
    directory.entries.delete(name);
    if (inode.isDirectory) directory.links--;
    directory.touch('modified', 'changed');
  }

  symlink(parent: number, name: string, target: string, caller: Caller): MaybePromise<Attributes> {
    const made = this.#make(parent, name, linkType | 0o777, 0, caller);
    made.target = target;
    return this.#refer(made);
  }

  mknod(parent: number, name: string, mode: number, device: number, umask: number, caller: Caller): MaybePromise<Attributes> {
    const made = this.#make(parent, name, mode, umask, caller);
    made.device = device;
    return this.#refer(made);
  }

  mkdir(parent: number, name: string, mode: number, umask: number, caller: Caller): MaybePromise<Attributes> {
    return this.#refer(this.#make(parent, name, directoryType | (mode & 0o7777), umask, caller));
  }

  unlink(parent: number, name: string): MaybePromise<void> {
    const directory = this.#directory(parent);
    const inode = this.#child(directory, name);
    if (inode.isDirectory) fail('EISDIR');
    this.#remove(directory, name);
    inode.links--;
    inode.touch('changed');
    this.#drop(inode);
  }

  rmdir(parent: number, name: string): MaybePromise<void> {
    const directory = this.#directory(parent);
    const inode = this.#child(directory, name);
    if (!inode.isDirectory) fail('ENOTDIR');
    if (inode.entries.size > 0) fail('ENOTEMPTY');
    this.#remove(directory, name);
    inode.links = 0;
    this.#drop(inode);
  }

  rename(parent: number, name: string, newParent: number, newName: string, flags: number, request?: ExchangeRequest): MaybePromise<void> {
    // Nothing here outlives a process.
    if (request?.again === true) fail('EIO');
    const [from, to] = [this.#directory(parent), this.#directory(newParent)];
    const inode = this.#child(from, name);
    const target = to.entries.get(newName)?.inode;
    if ((flags & 1) !== 0 && target !== undefined) fail('EEXIST');
    if ((flags & 2) !== 0) return this.#exchange(from, name, to, newName);
    if (target === inode) return;
    if (target !== undefined) {
      if (inode.isDirectory && !target.isDirectory) fail('ENOTDIR');
      if (!inode.isDirectory && target.isDirectory) fail('EISDIR');
      if (target.entries.size > 0) fail('ENOTEMPTY');
      this.#remove(to, newName);
      target.links -= target.isDirectory ? 2 : 1;
      target.touch('changed');
      this.#drop(target);
    }
    this.#remove(from, name);
    this.#insert(to, newName, inode);
    inode.touch('changed');
  }

  #exchange(from: MemoryInode, name: string, to: MemoryInode, newName: string): void {
    const [one, other] = [this.#child(from, name), this.#child(to, newName)];
    this.#remove(from, name);
    this.#remove(to, newName);
    this.#insert(from, name, other);
    this.#insert(to, newName, one);
    one.touch('changed');
    other.touch('changed');
  }

  link(inode: number, newParent: number, newName: string): MaybePromise<Attributes> {
    const found = this.#get(inode);
    const directory = this.#directory(newParent);
    if (found.isDirectory) fail('EPERM');
    if (directory.entries.has(newName)) fail('EEXIST');
    this.#insert(directory, newName, found);
    found.links++;
    found.touch('changed');
    return this.#refer(found);
  }

  #open(inode: MemoryInode): number {
    inode.open++;
    this.handles.set(this.#nextHandle, inode);
    return this.#nextHandle++;
  }

  open(inode: number, _flags: number): MaybePromise<number> {
    return this.#open(this.#get(inode));
  }

  create(
    parent: number,
    name: string,
    mode: number,
    umask: number,
    _flags: number,
    caller: Caller,
  ): MaybePromise<{ attributes: Attributes; handle: number }> {
    const made = this.#make(parent, name, regularType | (mode & 0o7777), umask, caller);
    return { attributes: this.#refer(made), handle: this.#open(made) };
  }

  tmpfile(parent: number, mode: number, umask: number, _flags: number, caller: Caller): MaybePromise<{ attributes: Attributes; handle: number }> {
    const made = this.#make(parent, undefined, regularType | (mode & 0o7777), umask, caller);
    return { attributes: this.#refer(made), handle: this.#open(made) };
  }

  read(inode: number, handle: number, offset: number, length: number): MaybePromise<readonly Uint8Array[]> {
    const found = handle === 0 ? this.#get(inode) : (this.handles.get(handle) ?? fail('EBADF'));
    if (found.inode !== inode) fail('EBADF');
    found.touch('accessed');
    return found.read(offset, length);
  }

  write(inode: number, _handle: number, offset: number, data: Uint8Array, killPrivileges: boolean): MaybePromise<number> {
    const found = this.#get(inode);
    if (offset + data.length > maxFileBytes) fail('EFBIG');
    found.write(offset, data);
    if (killPrivileges) found.dropPrivileges();
    found.touch('modified', 'changed');
    return data.length;
  }

  writeMapped(inode: number, handle: number, offset: number, data: Uint8Array): MaybePromise<number> {
    const inside = data.subarray(0, Math.max(0, this.#get(inode).attributes().size - offset));
    if (inside.length > 0) void this.write(inode, handle, offset, inside, false);
    return data.length;
  }

  flush(inode: number, _handle: number, lockOwner: string): MaybePromise<void> {
    this.#locks.get(inode)?.release('posix', lockOwner);
  }

  release(inode: number, handle: number, flockOwner?: string): MaybePromise<void> {
    const found = this.handles.get(handle) ?? fail('EBADF');
    this.handles.delete(handle);
    if (flockOwner !== undefined) this.#locks.get(inode)?.release('flock', flockOwner);
    found.open--;
    this.#drop(found);
  }

  fsync(): MaybePromise<void> {}

  fallocate(inode: number, _handle: number, mode: number, offset: number, length: number): MaybePromise<void> {
    const [keepSize, punchHole, zeroRange] = [1, 2, 16];
    if ((mode & ~(keepSize | punchHole | zeroRange)) !== 0) fail('EOPNOTSUPP');
    if (offset + length > maxFileBytes) fail('EFBIG');
    const found = this.#get(inode);
    if ((mode & (punchHole | zeroRange)) !== 0) found.punch(offset, length);
    if ((mode & punchHole) === 0) found.allocate(offset, length, (mode & keepSize) !== 0);
    found.touch('modified', 'changed');
  }

  lseek(inode: number, _handle: number, offset: number, whence: number): MaybePromise<number> {
    return this.#get(inode).seek(offset, whence === 3) ?? fail('ENXIO');
  }

  copyFileRange(
    inode: number,
    _handle: number,
    offset: number,
    toInode: number,
    _to: number,
    toOffset: number,
    length: number,
  ): MaybePromise<number> {
    const copied = Buffer.concat(this.#get(inode).read(offset, length));
    const target = this.#get(toInode);
    target.write(toOffset, copied);
    target.touch('modified', 'changed');
    return copied.length;
  }

  opendir(inode: number): MaybePromise<number> {
    return this.#open(this.#directory(inode));
  }

  readdir(inode: number, _handle: number, cookie: number, limit: number, attributes: boolean): MaybePromise<readonly DirectoryEntry[]> {
    const directory = this.#directory(inode);
    const listed: DirectoryEntry[] = [];
    if (cookie < 1) listed.push({ name: '.', inode, type: directoryType, cookie: 1 });
    if (cookie < 2) listed.push({ name: '..', inode: directory.parent!.inode, type: directoryType, cookie: 2 });
    let room = limit;
    // Map keeps insertion order, so cookies only grow.
    for (const [name, entry] of directory.entries) {
      if (entry.cookie <= cookie) continue;
      room -= name.length + 24;
      if (room < 0) break;
      const base = { name, inode: entry.inode.inode, type: entry.inode.mode & typeBits, cookie: entry.cookie };
      listed.push(attributes ? { ...base, attributes: this.#refer(entry.inode) } : base);
    }
    directory.touch('accessed');
    return listed;
  }

  releasedir(inode: number, handle: number): MaybePromise<void> {
    return this.release(inode, handle);
  }

  fsyncdir(): MaybePromise<void> {}
  syncfs(): MaybePromise<void> {}

  statfs(): MaybePromise<FileSystemStatistics> {
    const blocks = 2 ** 22;
    return { blockSize: 4096, blocks, freeBlocks: blocks / 2, availableBlocks: blocks / 2, files: 2 ** 20, freeFiles: 2 ** 19, maxNameBytes: 255 };
  }

  setxattr(inode: number, name: string, value: Uint8Array, flags: number, killSetgid: boolean): MaybePromise<void> {
    const found = this.#get(inode);
    if ((flags & 1) !== 0 && found.xattrs.has(name)) fail('EEXIST');
    if ((flags & 2) !== 0 && !found.xattrs.has(name)) fail('ENODATA');
    if (name === defaultAcl && !found.isDirectory) fail('EACCES');
    if (killSetgid) found.mode &= ~0o2000;
    if (name === accessAcl) found.mode = modeOfAcl(found.mode, value);
    if (name === accessAcl && !isExtended(value)) found.xattrs.delete(name);
    else found.xattrs.set(name, value.slice());
    found.touch('changed');
  }

  getxattr(inode: number, name: string): MaybePromise<Uint8Array> {
    return this.#get(inode).xattrs.get(name) ?? fail('ENODATA');
  }

  listxattr(inode: number): MaybePromise<readonly string[]> {
    return [...this.#get(inode).xattrs.keys()];
  }

  removexattr(inode: number, name: string): MaybePromise<void> {
    const found = this.#get(inode);
    if (!found.xattrs.delete(name)) fail('ENODATA');
    found.touch('changed');
  }

  #locksOf(inode: number): MemoryLocks {
    let locks = this.#locks.get(inode);
    if (locks === undefined) this.#locks.set(inode, (locks = new MemoryLocks()));
    return locks;
  }

  getlk(inode: number, lock: FileLock): MaybePromise<FileLock | undefined> {
    return this.#locksOf(inode).conflict(lock);
  }

  setlk(inode: number, lock: FileLock, wait: boolean, signal?: AbortSignal): MaybePromise<void> {
    return this.#locksOf(inode).take(lock, wait, signal);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** All of it as plain data, for a daemon that is to be killed. */
  save(): { readonly inodes: readonly SavedInode[]; readonly nextInode: number } {
    return { inodes: [...this.inodes.values()].map((inode) => inode.save()), nextInode: this.#nextInode };
  }

  /** Fills an empty file system. Nobody knows the kernel's references any more, so nothing that is open now ever goes. */
  restore({ inodes, nextInode }: ReturnType<MemoryFileSystem['save']>): void {
    this.#nextInode = nextInode;
    for (const saved of inodes) {
      const inode = this.inodes.get(saved.inode) ?? new MemoryInode(saved.inode, saved.mode, saved.uid, saved.gid);
      inode.restore(saved);
      inode.references = 1;
      this.inodes.set(saved.inode, inode);
    }
    for (const { inode, entries } of inodes) {
      const directory = this.inodes.get(inode)!;
      for (const [name, child, cookie] of entries) {
        directory.entries.set(name, { inode: this.inodes.get(child)!, cookie });
        if (this.inodes.get(child)!.isDirectory) this.inodes.get(child)!.parent = directory;
      }
    }
  }
}
