import * as sys from '../posix/syscalls.ts';
import type { Staging } from './staging.ts';

/** What O_DIRECT reads and writes begins and ends at. */
export const directBytes = 4096;
const [dontNeed, wait] = [4, 38];

export const readWays = ['plain', 'readOnly', 'direct', 'sendfile', 'mapped'] as const;
export type ReadWay = (typeof readWays)[number];
export const writeWays = ['plain', 'direct', 'append', 'synced', 'mapped'] as const;
export type WriteWay = (typeof writeWays)[number];

const syncs = { fsync: sys.fsync, fdatasync: sys.fdatasync, syncfs: sys.syncfs };

/** A call that failed, or did less than all. */
class Refused extends Error {}

function whole(what: string, result: sys.Result, wanted?: number): number {
  if (typeof result === 'string') throw new Refused(`${what}: ${result}`);
  if (wanted !== undefined && result !== wanted) throw new Refused(`${what}: ${result} of ${wanted} bytes`);
  return result;
}

/** One file as programs of one host have it open: in all ways at once. */
export class OpenFile implements Disposable {
  path: string;
  /** Something was changed in mapped memory that no msync wrote. */
  unsynced = false;
  readonly #staging: Staging;
  #fds!: Readonly<Record<'plain' | 'readOnly' | 'direct' | 'append' | 'synced', number>>;
  #kept: { readonly mapping: sys.Mapping; readonly bytes: number } | undefined;
  #lock: 'flock' | 'record' | undefined;

  constructor(path: string, staging: Staging) {
    this.path = path;
    this.#staging = staging;
    this.open();
  }

  open(): void {
    const { RDWR, RDONLY, WRONLY, CREAT, DIRECT, APPEND, DSYNC } = sys.O;
    const open = (flags: number): number => whole('open', sys.open(this.path, flags, 0o600));
    this.#fds = {
      plain: open(RDWR | CREAT),
      readOnly: open(RDONLY),
      direct: open(RDWR | DIRECT),
      append: open(WRONLY | APPEND),
      synced: open(RDWR | DSYNC),
    };
    if (this.#lock !== undefined) this.lock(this.#lock);
  }

  /** @param lost its host is gone, and so is what a close would do. */
  close(lost = false): void {
    this.unmap();
    for (const [name, fd] of Object.entries(this.#fds)) {
      const result = sys.close(fd);
      if (!lost) whole(`close of ${name}`, result);
    }
    if (lost) this.#lock = undefined;
  }

  /** Waits until nobody else, on any host, has its lock. */
  lock(kind: 'flock' | 'record'): void {
    const exclusive = 2;
    this.#lock = kind;
    const { plain } = this.#fds;
    whole('lock', kind === 'flock' ? sys.flock(plain, exclusive) : sys.lock(plain, wait, { type: 'write', start: 0, length: 0 }).result);
  }

  unlock(): void {
    const none = 8;
    const { plain } = this.#fds;
    whole('unlock', this.#lock === 'flock' ? sys.flock(plain, none) : sys.lock(plain, wait, { type: 'unlock', start: 0, length: 0 }).result);
    this.#lock = undefined;
    this.unsynced = false;
  }

  get size(): number {
    return sys.stat(this.#fds.plain).size;
  }

  /**
   * @param end of the file.
   * @param keep in mapped memory: a mapping that stays.
   */
  read(way: ReadWay, offset: number, length: number, end: number, keep: boolean): Buffer {
    if (way === 'mapped') return this.#fromMap(offset, Math.max(0, Math.min(length, end - offset)), end, keep);
    if (way === 'sendfile') return this.#sent(offset, length);
    if (way === 'direct') return this.#staging.take(whole('read', sys.call('pread64', this.#fds.direct, this.#staging.address, length, offset)));
    const into = Buffer.alloc(length);
    return into.subarray(0, whole('read', sys.call('pread64', this.#fds[way], into, length, offset)));
  }

  #sent(offset: number, length: number): Buffer {
    this.#asked();
    const [at, into] = [Buffer.alloc(8), this.#staging.fd];
    at.writeBigInt64LE(BigInt(offset));
    sys.must(sys.lseek(into, 0, sys.SEEK.SET));
    let sent = 0;
    for (let more = -1; sent < length && more !== 0; sent += more)
      more = whole('sendfile', sys.call('sendfile', into, this.#fds.readOnly, at, length - sent));
    return this.#staging.take(sent);
  }

  #fromMap(offset: number, length: number, end: number, keep: boolean): Buffer {
    if (length <= 0) return Buffer.alloc(0);
    return this.#mapped(offset + length, end, keep, (mapping) => {
      whole('a look at mapped memory', mapping.copyTo(this.#staging.fd, length, offset), length);
      return this.#staging.take(length, offset);
    });
  }

  /** @param sync its pages are written at once. */
  write(way: WriteWay, offset: number, data: Uint8Array, end: number, keep: boolean, sync: boolean): void {
    const { length } = data;
    if (way === 'append') whole('append', sys.write(this.#fds.append, data), length);
    else if (way === 'direct') {
      this.#staging.put(data);
      whole('write', sys.call('pwrite64', this.#fds.direct, this.#staging.address, length, offset), length);
    } else if (way === 'mapped') {
      this.#staging.put(data);
      this.#mapped(offset + length, end, keep, (mapping) => {
        whole('a change of mapped memory', mapping.copyFrom(this.#staging.fd, length, offset), length);
        this.unsynced = true;
        if (sync) this.#sync(mapping);
      });
    } else whole('write', sys.pwrite(this.#fds[way], data, offset), length);
  }

  /** The kernel asks nobody how long a file is that is mapped, sent or copied, so programs ask before. */
  #mapped<T>(until: number, end: number, keep: boolean, work: (mapping: sys.Mapping) => T): T {
    this.#asked();
    if (!keep) {
      using mapping = new sys.Mapping(this.#fds.plain, end);
      return work(mapping);
    }
    if (this.#kept === undefined || this.#kept.bytes < until) {
      this.unmap();
      this.#kept = { mapping: new sys.Mapping(this.#fds.plain, end), bytes: end };
    }
    return work(this.#kept.mapping);
  }

  #asked(): void {
    sys.stat(this.#fds.plain);
  }

  #sync(mapping: sys.Mapping): void {
    whole('msync', mapping.sync());
    this.unsynced = false;
  }

  /** What was changed in mapped memory is written. */
  settle(): void {
    if (!this.unsynced) return;
    if (this.#kept === undefined) this.sync('fsync');
    else this.#sync(this.#kept.mapping);
  }

  unmap(): void {
    this.#kept?.mapping[Symbol.dispose]();
    this.#kept = undefined;
  }

  sync(how: 'fsync' | 'fdatasync' | 'syncfs'): void {
    whole(how, syncs[how](this.#fds.plain));
    this.unsynced = false;
  }

  /** @param byName by its path. */
  resize(size: number, byName: boolean): void {
    whole('truncate', byName ? sys.truncate(this.path, size) : sys.ftruncate(this.#fds.plain, size));
  }

  allocate(mode: number, offset: number, length: number): void {
    whole('fallocate', sys.fallocate(this.#fds.plain, mode, offset, length), 0);
  }

  /** As much of it as the kernel takes at once. */
  copyTo(other: OpenFile, offset: number, to: number, length: number): number {
    this.#asked();
    return whole('copy_file_range', sys.copyFileRange(this.#fds.readOnly, offset, other.#fds.plain, to, length));
  }

  /** Stretches of data. */
  *data(): Iterable<{ readonly start: number; readonly end: number }> {
    for (let position = 0; ;) {
      const start = sys.lseek(this.#fds.readOnly, position, sys.SEEK.DATA);
      if (start === 'ENXIO') return;
      const end = whole('SEEK_HOLE', sys.lseek(this.#fds.readOnly, whole('SEEK_DATA', start), sys.SEEK.HOLE));
      if (end <= whole('SEEK_DATA', start)) throw new Refused(`data from ${start} to ${end}`);
      yield { start: Number(start), end };
      position = end;
    }
  }

  /** The kernel forgets the pages that are written. */
  evict(): void {
    this.unmap();
    this.sync('fsync');
    whole('fadvise', sys.call('fadvise64', this.#fds.plain, 0, 0, dontNeed));
  }

  rename(path: string): void {
    whole('rename', sys.rename(this.path, path));
  }

  [Symbol.dispose](): void {
    this.close(true);
  }
}
