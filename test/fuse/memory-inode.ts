import type { Attributes, FileTime } from '../../src/filesystem/index.ts';

export const [typeBits, regularType, directoryType, linkType] = [0o170000, 0o100000, 0o040000, 0o120000];

/** Data are kept in pieces of this size; an absent piece is a hole. */
export const pieceBytes = 65_536;
const zeros = new Uint8Array(pieceBytes);

/** The moment, to the microsecond. */
export function now(): FileTime {
  const ms = performance.timeOrigin + performance.now();
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanoseconds: Math.min(999_999_999, Math.floor((ms - seconds * 1000) * 1e6)) };
}

/** One file, directory, link or node of the in-memory file system. */
export class MemoryInode {
  readonly inode: number;
  mode: number;
  uid: number;
  gid: number;
  links = 1;
  device = 0;
  target = '';
  accessed: FileTime = now();
  modified: FileTime = this.accessed;
  changed: FileTime = this.accessed;
  /** The kernel's references, and open handles: with neither and no link the inode goes. */
  references = 0;
  open = 0;
  readonly xattrs = new Map<string, Uint8Array>();
  /** A directory's names; each has a cookie of its own that is never given again. */
  readonly entries = new Map<string, { readonly inode: MemoryInode; readonly cookie: number }>();
  parent: MemoryInode | undefined;
  nextCookie = 3;
  readonly #pieces = new Map<number, Uint8Array>();
  #size = 0;

  constructor(inode: number, mode: number, uid: number, gid: number) {
    this.inode = inode;
    this.mode = mode;
    this.uid = uid;
    this.gid = gid;
    if (this.isDirectory) this.links = 2;
  }

  get isDirectory(): boolean {
    return (this.mode & typeBits) === directoryType;
  }

  get size(): number {
    if (this.isDirectory) return 4096;
    return this.target === '' ? this.#size : this.target.length;
  }

  attributes(): Attributes {
    const { inode, mode, links, uid, gid, device, size, accessed, modified, changed } = this;
    let blocks = 0;
    for (const piece of this.#pieces.values()) blocks += piece.length / 512;
    return { inode, mode, links, uid, gid, device, size, blocks, accessed, modified, changed };
  }

  touch(...times: ('accessed' | 'modified' | 'changed')[]): void {
    const moment = now();
    for (const time of times) this[time] = moment;
  }

  /** Clears suid, and sgid where the group may execute. */
  dropPrivileges(): void {
    if (this.isDirectory) return;
    this.mode &= (this.mode & 0o010) === 0 ? ~0o4000 : ~0o6000;
    this.xattrs.delete('security.capability');
  }

  read(offset: number, length: number): Uint8Array[] {
    const slices: Uint8Array[] = [];
    const end = Math.min(offset + length, this.#size);
    for (let at = offset; at < end;) {
      const within = at % pieceBytes;
      const take = Math.min(pieceBytes - within, end - at);
      const piece = this.#pieces.get(Math.floor(at / pieceBytes)) ?? zeros;
      slices.push(piece.subarray(within, within + take));
      const beyond = Math.min(take, within + take - piece.length);
      if (beyond > 0) slices.push(zeros.subarray(0, beyond));
      at += take;
    }
    return slices;
  }

  write(offset: number, data: Uint8Array): void {
    for (let from = 0; from < data.length;) {
      const at = offset + from;
      const within = at % pieceBytes;
      const take = Math.min(pieceBytes - within, data.length - from);
      this.#piece(Math.floor(at / pieceBytes), within + take).set(data.subarray(from, from + take), within);
      from += take;
    }
    this.#size = Math.max(this.#size, offset + data.length);
  }

  /** The piece with room for at least `bytes`: a small file does not take a whole one. */
  #piece(index: number, bytes: number): Uint8Array {
    const piece = this.#pieces.get(index);
    if (piece !== undefined && piece.length >= bytes) return piece;
    const grown = new Uint8Array(bytes <= 4096 ? 4096 : pieceBytes);
    if (piece !== undefined) grown.set(piece);
    this.#pieces.set(index, grown);
    return grown;
  }

  truncate(size: number): void {
    if (size < this.#size) this.punch(size, this.#size - size);
    this.#size = size;
  }

  /** Makes a hole; what of it lies beyond the end does not matter. */
  punch(offset: number, length: number): void {
    const end = offset + length;
    for (const [index, piece] of this.#pieces) {
      const start = index * pieceBytes;
      if (start >= offset && start + pieceBytes <= Math.max(end, end >= this.#size ? start + pieceBytes : 0)) this.#pieces.delete(index);
      else if (start < end && start + pieceBytes > offset) piece.fill(0, Math.max(0, offset - start), Math.min(pieceBytes, end - start));
    }
  }

  allocate(offset: number, length: number, keepSize: boolean): void {
    for (let index = Math.floor(offset / pieceBytes); index * pieceBytes < offset + length; index++) this.#piece(index, pieceBytes);
    if (!keepSize) this.#size = Math.max(this.#size, offset + length);
  }

  /** The first offset at or after `offset` that has data, or none. */
  seek(offset: number, data: boolean): number | undefined {
    if (offset >= this.#size) return undefined;
    for (let at = offset; at < this.#size; at = (Math.floor(at / pieceBytes) + 1) * pieceBytes) {
      if (this.#pieces.has(Math.floor(at / pieceBytes)) === data) return at;
    }
    return data ? undefined : this.#size;
  }

  /** Plain data for {@link MemoryFileSystem.save}; entries go by inode number. */
  save(): SavedInode {
    const { inode, mode, uid, gid, links, device, target, accessed, modified, changed, xattrs, nextCookie } = this;
    const entries = [...this.entries].map(([name, entry]) => [name, entry.inode.inode, entry.cookie] as const);
    return {
      inode,
      mode,
      uid,
      gid,
      links,
      device,
      target,
      accessed,
      modified,
      changed,
      xattrs,
      nextCookie,
      entries,
      pieces: this.#pieces,
      size: this.#size,
    };
  }

  /** Takes over what was saved, but for the entries. */
  restore({ xattrs, pieces, size, entries, ...rest }: SavedInode): void {
    void entries;
    Object.assign(this, rest);
    for (const [name, value] of xattrs) this.xattrs.set(name, value);
    for (const [index, piece] of pieces) this.#pieces.set(index, piece);
    this.#size = size;
  }
}

export type SavedInode = Pick<
  MemoryInode,
  'inode' | 'mode' | 'uid' | 'gid' | 'links' | 'device' | 'target' | 'accessed' | 'modified' | 'changed' | 'xattrs' | 'nextCookie'
> & {
  readonly entries: readonly (readonly [name: string, inode: number, cookie: number])[];
  readonly pieces: Map<number, Uint8Array>;
  readonly size: number;
};
