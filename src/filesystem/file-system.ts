/** The kernel's answer to a request that succeeds. Whoever makes durable what was asked for may send it there and then: to whoever asked, the way back through the volume's thread is time lost. */
export interface EarlyAnswer {
  readonly bytes: Uint8Array;
  sent: boolean;
}

/**
 * One mounted volume as the FUSE session sees it: POSIX operations by inode number. The kernel checks permissions
 * (`default_permissions`); everything else is decided here.
 *
 * - A method answers synchronously where memory suffices and with a promise where it must wait: the session awaits only promises.
 * - Failures are thrown as {@link FileSystemError} with an errno name. A looked-up name that is absent is `undefined`, not an error.
 * - Names and link targets are byte strings: one character a byte ('latin1').
 * - Inode numbers are integers below 2^53, never reused; the root is 1; they are the FUSE node ids.
 * - `data` given to `write`, `writeMapped` and `setxattr` is borrowed: valid only until the method returns (not until its promise settles), so it copies what it keeps.
 */
export interface FileSystem {
  lookup(parent: number, name: string): MaybePromise<Attributes | undefined>;
  /** The kernel drops `count` of its references to the inode. */
  forget(inode: number, count: number): void;
  getattr(inode: number): MaybePromise<Attributes>;
  setattr(inode: number, changes: AttributeChanges): MaybePromise<Attributes>;
  readlink(inode: number): MaybePromise<string>;
  symlink(parent: number, name: string, target: string, caller: Caller): MaybePromise<Attributes>;
  /** Also regular files. `mode` carries the type; `umask` is applied here, because a default ACL replaces it. */
  mknod(parent: number, name: string, mode: number, device: number, umask: number, caller: Caller): MaybePromise<Attributes>;
  mkdir(parent: number, name: string, mode: number, umask: number, caller: Caller): MaybePromise<Attributes>;
  unlink(parent: number, name: string): MaybePromise<void>;
  rmdir(parent: number, name: string): MaybePromise<void>;
  /**
   * `flags`: RENAME_NOREPLACE (1), RENAME_EXCHANGE (2), RENAME_WHITEOUT (4). `request`: of one with the latter two, which must not be done twice; where a process before may have done
   * it, it is done once in all, or fails with EIO where that is not known.
   */
  rename(parent: number, name: string, newParent: number, newName: string, flags: number, request?: ExchangeRequest): MaybePromise<void>;
  link(inode: number, newParent: number, newName: string): MaybePromise<Attributes>;

  /**
   * `flags` as in open(2). Returns a file handle, an integer from 1 and below 2^32. Where the kernel opens files without asking, none
   * is ever opened here, and 0 stands for the handle in all that follows.
   */
  open(inode: number, flags: number): MaybePromise<number>;
  /** No other host changes the inode without its being told here first: the kernel may keep pages of it, and asks whether they are right. */
  isGuarded?(inode: number): boolean;
  /** For how long the attributes of such a file, as they were told last, are good unless the kernel is asked to {@link KernelCache.drop} or {@link KernelCache.distrust} it before, in ms. */
  guardedMs?(attributes: Attributes): number;
  /**
   * Names the time in which no other host changes the inode, or gets a lock that this one's programs have. Asked before the kernel is given pages of it: as long as it is called the same nobody has, whichever process asks.
   * undefined: nobody notes it.
   */
  mapping?(inode: number): MaybePromise<string | undefined>;
  /** The handle, just opened, stands for one that a process before this one gave: what was lost with that process concerns it. */
  inherited?(inode: number, handle: number): void;
  /** What is called from now on serves this request of the kernel, until this is called again; undefined: none. */
  asking?(request: KernelRequest | undefined): void;
  /** An append that the kernel asks for again of a process that took the place of one that died: how many bytes it appended, now where it is sure that it had not been made; undefined: that is not known. */
  appended?(inode: number, handle: number, data: Uint8Array, killPrivileges: boolean): MaybePromise<number | undefined>;
  create(parent: number, name: string, mode: number, umask: number, flags: number, caller: Caller): MaybePromise<Created>;
  /** O_TMPFILE: a file without a name. */
  tmpfile(parent: number, mode: number, umask: number, flags: number, caller: Caller): MaybePromise<{ attributes: Attributes; handle: number }>;
  /** The bytes at `offset`, as slices to be sent in order; fewer than `length` only at the end of the file. They stay unchanged until the session has sent them (synchronously on return). */
  read(inode: number, handle: number, offset: number, length: number): MaybePromise<readonly Uint8Array[]>;
  /**
   * Takes the bytes into the write buffer; a promise is backpressure. `killPrivileges`: clear suid/sgid. `append`: `offset` is where the kernel believes that the
   * file ends (O_APPEND), and no place that the program chose: where others write the file as well the end may be elsewhere. `keepTimes`: the kernel keeps the
   * file's times itself, and tells them by a setattr where they change.
   */
  write(
    inode: number,
    handle: number,
    offset: number,
    data: Uint8Array,
    killPrivileges: boolean,
    append?: boolean,
    keepTimes?: boolean,
  ): MaybePromise<number>;
  /** What a program changed in mapped memory, as far as it lies within the file in the moment in which it is written: beyond its end others cut it off since, and a mapping makes no file longer. All of it counts as taken. */
  writeMapped(inode: number, handle: number, offset: number, data: Uint8Array): MaybePromise<number>;
  /** A descriptor was closed (one of maybe several of this handle): releases the POSIX locks of `lockOwner`. */
  flush(inode: number, handle: number, lockOwner: LockOwner): MaybePromise<void>;
  /** The last descriptor is gone. `flockOwner` where flock locks are to be released. */
  release(inode: number, handle: number, flockOwner?: LockOwner): MaybePromise<void>;
  /** @param answer may be sent before the call returns, once it is certain that it will succeed. */
  fsync(inode: number, handle: number, dataOnly: boolean, answer?: EarlyAnswer): MaybePromise<void>;
  fallocate(inode: number, handle: number, mode: number, offset: number, length: number): MaybePromise<void>;
  /** SEEK_DATA (3) and SEEK_HOLE (4). */
  lseek(inode: number, handle: number, offset: number, whence: number): MaybePromise<number>;
  copyFileRange(
    inode: number,
    handle: number,
    offset: number,
    toInode: number,
    toHandle: number,
    toOffset: number,
    length: number,
  ): MaybePromise<number>;

  opendir(inode: number): MaybePromise<number>;
  /**
   * Entries after `cookie` (0: from the start), "." and ".." included, about as many as fit `limit` (bytes of names and 24 each).
   * A cookie is an integer below 2^53 and stays right while entries come and go: what is there all the time is listed exactly once.
   * `attributes`: the caller also wants them (readdirplus); the session counts a kernel reference for each but "." and "..".
   */
  readdir(inode: number, handle: number, cookie: number, limit: number, attributes: boolean): MaybePromise<readonly DirectoryEntry[]>;
  releasedir(inode: number, handle: number): MaybePromise<void>;
  fsyncdir(inode: number, handle: number): MaybePromise<void>;
  syncfs(): MaybePromise<void>;
  statfs(): MaybePromise<FileSystemStatistics>;

  setxattr(inode: number, name: string, value: Uint8Array, flags: number, killSetgid: boolean): MaybePromise<void>;
  /** @throws ENODATA where there is none. */
  getxattr(inode: number, name: string): MaybePromise<Uint8Array>;
  listxattr(inode: number): MaybePromise<readonly string[]>;
  removexattr(inode: number, name: string): MaybePromise<void>;

  /** The lock in the way of `lock`, if any. */
  getlk(inode: number, lock: FileLock): MaybePromise<FileLock | undefined>;
  /** Takes (or with type 'unlock' releases) a lock. With `wait` the promise settles when it is had; `signal` gives up with EINTR. @throws EAGAIN without `wait`. */
  setlk(inode: number, lock: FileLock, wait: boolean, signal?: AbortSignal): MaybePromise<void>;

  /** The session may drop kernel caches through this; set once, at mount. */
  attach(kernel: KernelCache): void;
  /** Writes everything out and ends; nothing may be called afterwards. */
  close(): Promise<void>;
}

/** What {@link FileSystem.create} opened. */
export interface Created {
  readonly attributes: Attributes;
  readonly handle: number;
  /** It was not there before. */
  readonly made?: boolean;
}

export type MaybePromise<T> = T | Promise<T>;

/** Who asks. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** A moment at nanosecond resolution: whole seconds (may be negative) and 0 ≤ nanoseconds < 10^9. */
export interface FileTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** What stat(2) shows. */
export interface Attributes {
  readonly inode: number;
  /** Type and permission bits, as in st_mode. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  /** The device number of a device node, as the kernel encodes it (new_encode_dev, 32 bits). */
  readonly device: number;
  readonly size: number;
  /** 512-byte units really allocated; sparse files have fewer. */
  readonly blocks: number;
  readonly accessed: FileTime;
  readonly modified: FileTime;
  readonly changed: FileTime;
}

/** What setattr is to change; absent: left alone. 'now': the server's clock. */
export interface AttributeChanges {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly accessed?: FileTime | 'now';
  readonly modified?: FileTime | 'now';
  readonly changed?: FileTime;
  /** Clear suid and sgid (FUSE_HANDLE_KILLPRIV_V2). */
  readonly killPrivileges?: boolean;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly inode: number;
  /** The S_IFMT bits of the mode. */
  readonly type: number;
  /** Continue after this entry with this cookie. */
  readonly cookie: number;
  /** With readdirplus; absent for "." and "..", and where the inode just vanished. */
  readonly attributes?: Attributes;
}

export interface FileSystemStatistics {
  readonly blockSize: number;
  /** In blocks of `blockSize`. */
  readonly blocks: number;
  readonly freeBlocks: number;
  readonly availableBlocks: number;
  readonly files: number;
  readonly freeFiles: number;
  readonly maxNameBytes: number;
}

/** The kernel's 64-bit lock owner, as 16 hex digits. */
export type LockOwner = string;

export interface FileLock {
  readonly kind: 'posix' | 'flock';
  readonly type: 'read' | 'write' | 'unlock';
  readonly owner: LockOwner;
  readonly pid: number;
  /** First byte. */
  readonly start: number;
  /** Last byte; Infinity: to the end of the file, however it grows. */
  readonly end: number;
}

/** What gives back all that an owner has locked of a file in one of the two ways. */
export function unlockAll(kind: FileLock['kind'], owner: LockOwner): FileLock {
  return { kind, type: 'unlock', owner, pid: 0, start: 0, end: Infinity };
}

/** A request of a mount's kernel: named alike where a process serves it that took the mount over from one that died. */
export interface KernelRequest {
  /** The mount. */
  readonly asker: string;
  readonly number: number;
  /** It was asked of a process before, which did not answer. */
  readonly again?: boolean;
}

/** A request to exchange two names, or to rename and leave a whiteout. */
export interface ExchangeRequest {
  /** As the kernel numbers the requests of the mount. */
  readonly number: number;
  /** It was asked of a process before, which did not answer. */
  readonly again: boolean;
}

/** How the file system tells the kernel that what it cached is stale, and asks what it has. */
export interface KernelCache {
  /** Another host took the name away, or made it stand for something else: the kernel gives back its references for it. Never waits. */
  removed(parent: number, name: string): void;
  /** Whether the kernel has the inode, in use or not. True where it cannot be asked. */
  holds(inode: number): Promise<boolean>;
  /** Another host is about to change the file: resolves when the kernel has no page of it. undefined: it has none. */
  drop(inode: number): Promise<void> | undefined;
  /** The inode's attributes are about to change, of which {@link FileSystem.guardedMs} said that they are good: resolves when it asks for them again. undefined: it does. */
  distrust(inode: number): Promise<void> | undefined;
  /** Others may have changed any file that is open and of which {@link FileSystem.isGuarded} said that they cannot. */
  dropOpen(): void;
  /** `right`: since an earlier process served this kernel nobody else has changed the volume. What programs changed in mapped memory then is written only if so. */
  settle(right: boolean): void;
  /** What was written to the file, and answered, is lost: what programs changed in mapped memory of it is not what the file is. @param byEarlier by a process before this one. */
  lost(inode: number, byEarlier?: boolean): void;
  /** It may have pages that are not to be written: they are older than what others wrote, or others are let in meanwhile. */
  hasStale(): boolean;
  /** Until {@link endSole} nobody but this kernel changes the volume for the next `forMs()`, asked again and again: it may cache. */
  beginSole(forMs: () => number): void;
  /** Others may change it from now on; `lost`: they may have done so already, and what programs changed in mapped memory must not be written any more. */
  endSole(lost: boolean): SoleUseEnd;
}

/** What the end of a time alone waits for. */
export interface SoleUseEnd {
  /** The kernel believes nothing any more that it was told in that time. undefined: so it is now. */
  readonly expired: Promise<void> | undefined;
  /** Pages that programs changed in mapped memory are written, and what open files had cached is gone. Waits for requests of the kernel. */
  readonly dropped: Promise<void>;
}

/** Errno names of include/uapi/asm-generic/errno*.h that a file system operation can end with. */
export const errnos = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EMLINK: 31,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  ETIMEDOUT: 110,
  ESTALE: 116,
  EDQUOT: 122,
} as const;
export type Errno = keyof typeof errnos;

/** A POSIX failure. Made without a stack trace: these are ordinary answers and some are frequent. */
export class FileSystemError extends Error {
  readonly errno: Errno;

  constructor(errno: Errno, message: string = errno, options?: { readonly cause?: unknown }) {
    const depth = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(message, options);
    Error.stackTraceLimit = depth;
    this.name = 'FileSystemError';
    this.errno = errno;
  }
}

/** What a request came to that was sent again, where that is known: what it met is not its own doing. */
export class ProvenFailure extends FileSystemError {
  constructor({ errno, message }: FileSystemError) {
    super(errno, message);
  }
}
