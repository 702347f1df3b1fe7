import { codeOf, type KeyedQueue } from '../../base/index.ts';
import type { Attributes, KernelRequest, MaybePromise } from '../file-system.ts';
import type { Borrowing } from './borrowing.ts';
import type { HolderLink } from './holder-link.ts';
import type { OpenHandles } from './open-handles.ts';

interface ProgramWrite {
  readonly inode: number;
  readonly handle: number;
  /** undefined: behind what is there. */
  readonly offset: number | undefined;
  readonly killPrivileges: boolean;
  /** Of mapped memory: what lies beyond the end of the file is left out. */
  readonly within?: boolean;
  /** The kernel's. */
  readonly request: KernelRequest | undefined;
}

/** Where a program's writes go: into memory, where the file is lent to this host or may be, and else to whoever has the volume open. */
export class ProgramWrites {
  readonly #holder: HolderLink;
  readonly #borrowing: Borrowing;
  readonly #files: OpenHandles;
  readonly #turns: KeyedQueue;
  readonly #requireLocks: (inode: number) => void;

  /** @param requireLocks as of {@link Borrowing}. @param turns in which an inode is asked to be changed by calls that it is to include: the last of this host is what it remembers. */
  constructor(holder: HolderLink, borrowing: Borrowing, files: OpenHandles, turns: KeyedQueue, requireLocks: (inode: number) => void) {
    this.#requireLocks = requireLocks;
    this.#turns = turns;
    this.#holder = holder;
    this.#borrowing = borrowing;
    this.#files = files;
  }

  /** @param data the kernel's memory: copied before anything is awaited. */
  write(write: ProgramWrite, data: Uint8Array): MaybePromise<number> {
    const room = (write.offset === undefined ? this.#borrowing.wait() : undefined) ?? this.#borrowing.overfull();
    return room === undefined ? this.#write(write, data) : this.#afterwards(room, write, Uint8Array.from(data));
  }

  async #afterwards(first: Promise<void>, write: ProgramWrite, data: Uint8Array): Promise<number> {
    for (let room: Promise<void> | undefined = first; room !== undefined; room = this.#borrowing.overfull()) await room;
    return this.#write(write, data);
  }

  /** Of an append that a daemon before this one may have made: how much it wrote; it is made if it was not. undefined: nobody knows. */
  appended(append: ProgramWrite, data: Uint8Array): MaybePromise<number | undefined> {
    return this.#borrowing.left.appended(append.request?.number ?? 0) ?? this.#appendedThere(append, Uint8Array.from(data));
  }

  async #appendedThere({ inode, handle, killPrivileges, request }: ProgramWrite, data: Uint8Array): Promise<number | undefined> {
    const there = async (): Promise<readonly unknown[]> => [inode, await this.#files.backing(handle), data, killPrivileges];
    const append = (): Promise<number> => this.#holder.askedBy(request, () => this.#holder.call<number>('append', there));
    try {
      return await this.#borrowing.shared(inode, append);
    } catch (error) {
      if (codeOf(error) === 'unknown-outcome') return undefined;
      throw error;
    }
  }

  #write(write: ProgramWrite, data: Uint8Array): MaybePromise<number> {
    const { inode, offset, request, within = false } = write;
    const taken = this.#borrowing.write(inode, offset, data, request?.number, within);
    if (taken !== undefined) return taken;
    const borrows = this.#mayBorrow(write);
    if (!borrows && !this.#borrowing.has(inode)) return this.#writeThere(write, data);
    const own = Uint8Array.from(data);
    return this.#borrowing
      .writeLater(inode, offset, own, borrows, request?.number ?? 0, within)
      .then((written) => written ?? this.#borrowing.shared(inode, () => this.#writeThere(write, own)));
  }

  #mayBorrow({ inode, handle }: ProgramWrite): boolean {
    const known = this.#files.get(handle);
    return known !== undefined && (known.reads !== true || this.#borrowing.mayRead) && this.#borrowing.mayBorrow(inode);
  }

  #writeThere(write: ProgramWrite, data: Uint8Array): MaybePromise<number> {
    const { inode, handle, offset, killPrivileges, request } = write;
    if (offset === undefined) {
      const own = Uint8Array.from(data);
      const append = (): Promise<number> => this.#files.perform('append', inode, handle, own, killPrivileges);
      return this.#turns.run(String(inode), () => this.#holder.askedBy(request, append));
    }
    const method = write.within === true ? 'writeMapped' : 'write';
    const here = this.#files.here(handle);
    const { local } = this.#holder;
    // A page of a time in which another host had such a lock, say, would go over what that wrote.
    if (local !== undefined) this.#requireLocks(inode);
    const written =
      here === undefined || local === undefined
        ? undefined
        : method === 'write'
          ? local.write(inode, here, offset, data, killPrivileges)
          : local.writeMapped(inode, here, offset, data);
    if (written !== undefined && !(written instanceof Promise)) return written;
    const own = Uint8Array.from(data);
    const again = (): Promise<number> =>
      method === 'write'
        ? this.#files.perform('write', inode, handle, offset, own, killPrivileges)
        : this.#writeMappedThere(inode, handle, offset, own);
    return written === undefined ? again() : this.#holder.settled(method, written, again);
  }

  async #writeMappedThere(inode: number, handle: number, offset: number, data: Uint8Array): Promise<number> {
    try {
      return await this.#files.perform('writeMapped', inode, handle, offset, data);
    } catch (error) {
      if (codeOf(error) !== 'bad-argument') throw error;
    }
    // So says a host of an earlier version: what others cut off while this is on its way there comes back.
    const { size } = await this.#holder.call<Attributes>('getattr', [inode]);
    const inside = data.subarray(0, Math.max(0, size - offset));
    if (inside.length > 0) await this.#files.perform('write', inode, handle, offset, inside, false);
    return data.length;
  }
}
