import { FileSystemError } from '../file-system.ts';
import { HandleNumbers } from '../handle-numbers.ts';
import type { SharedMethod } from './calls.ts';
import { reopenMask } from './done-calls.ts';
import { type Backing, Moved, type ResultOf } from './backing.ts';
import type { HolderLink } from './holder-link.ts';
import type { LossWitness } from './lost-writes.ts';
import type { Undelivered } from './undelivered.ts';

/** Files that are opened again at once after the lease moved. */
const parallelOpens = 16;
/** Pause before a file that could not be opened again for want of an answer is tried once more, in ms: the host that serves the volume may be cut off for longer than a program waits. */
const reopenPauseMs = 1000;

/** The generation of what was opened without a word. */
const unsaid = -1;

/** What is durable when it is answered, with the file's name. */
const settles: ReadonlySet<SharedMethod> = new Set(['write', 'writeMapped', 'append', 'fsync']);

/** What a program of this host has open. */
export interface OpenHandle extends LossWitness {
  readonly flags: number;
  readonly directory: boolean;
  /** The backing's own number, good for one generation. */
  backing: number;
  generation: number;
  /** It is read, too. */
  reads?: boolean;
  /** It is being opened again. */
  opening?: Promise<number> | undefined;
}

/** What this host's programs have open on a shared volume: opened again at each host that comes to serve it. */
export class OpenHandles {
  readonly #holder: HolderLink;
  readonly #undelivered: Undelivered;
  readonly #onSettled: (inode: number) => void;
  readonly #handles = new Map<number, OpenHandle>();
  readonly #numbers: HandleNumbers;
  /** By inode: handles of files that were opened without a word. */
  readonly #unsaid = new Map<number, Set<number>>();
  #seenUnsaid: ReadonlySet<number> = new Set();

  /** @param onSettled told of a file that is durable, with its name. */
  constructor(holder: HolderLink, undelivered: Undelivered, onSettled: (inode: number) => void = () => {}, numbers = new HandleNumbers()) {
    this.#holder = holder;
    this.#onSettled = onSettled;
    this.#undelivered = undelivered;
    this.#numbers = numbers;
  }

  get size(): number {
    return this.#handles.size;
  }

  /** Files of which the host that serves the volume does not know that they are open. */
  get unsaid(): number {
    return this.#unsaid.size;
  }

  get(handle: number): OpenHandle | undefined {
    return this.#handles.get(handle);
  }

  all(): Iterable<OpenHandle> {
    return this.#handles.values();
  }

  /** @param generation in which it was opened: in a later one it is opened again. */
  keep(inode: number, flags: number, directory: boolean, generation: number, backing: number): number {
    const handle = this.#numbers.take(this.#handles);
    this.#handles.set(handle, { inode, flags, directory, backing, generation });
    return handle;
  }

  /** Opened for reading without a word to the host that serves the volume: the inode is in memory here, and it is asked back before it goes, see {@link openUnsaid}. */
  keepUnsaid(inode: number, flags: number, directory: boolean): number {
    const handle = this.keep(inode, flags, directory, unsaid, 0);
    const handles = this.#unsaid.get(inode);
    if (handles === undefined) this.#unsaid.set(inode, new Set([handle]));
    else handles.add(handle);
    return handle;
  }

  isUnsaid(handle: number): boolean {
    return this.#handles.get(handle)?.generation === unsaid;
  }

  /** What is open of these inodes and was not said yet is said. */
  async openUnsaid(inodes: Iterable<number>): Promise<void> {
    const handles = [...inodes].flatMap((inode) => [...(this.#unsaid.get(inode) ?? [])]);
    // What cannot be opened says so to whoever uses it.
    await Promise.all(handles.map((handle) => this.backing(handle).catch(() => {})));
  }

  /** Inodes that are open and of which that was not said yet, and were so when this was last asked. */
  longUnsaid(): readonly number[] {
    const before = this.#seenUnsaid;
    this.#seenUnsaid = new Set(this.#unsaid.keys());
    return [...before].filter((inode) => this.#unsaid.has(inode));
  }

  #said({ inode }: OpenHandle, handle: number): void {
    const handles = this.#unsaid.get(inode);
    if (handles?.delete(handle) === true && handles.size === 0) this.#unsaid.delete(inode);
  }

  /** The backing's handle where it is in this thread and still good: the way without a promise. */
  here(handle: number): number | undefined {
    const known = this.#handles.get(handle);
    return this.#holder.local !== undefined && known?.generation === this.#holder.generation ? known.backing : undefined;
  }

  /** The backing's handle; opened again where the lease moved since, once however many want it. */
  backing(handle: number): Promise<number> {
    const known = this.#handles.get(handle);
    if (known === undefined) return Promise.reject(new FileSystemError('EBADF'));
    return (known.opening ??= this.#open(known)
      .then((backing) => {
        this.#said(known, handle);
        return backing;
      })
      .finally(() => (known.opening = undefined)));
  }

  async #open(known: OpenHandle): Promise<number> {
    while ((await this.#holder.ready()) !== known.generation) {
      const { value, generation } = await this.#holder.doOnce(
        known.directory ? 'opendir' : 'open',
        ...(known.directory ? [known.inode] : [known.inode, known.flags & reopenMask]),
      );
      known.backing = value;
      known.generation = generation;
    }
    return known.backing;
  }

  /** Performs an operation on an open file. */
  async perform<M extends SharedMethod>(method: M, inode: number, handle: number, ...rest: readonly unknown[]): Promise<ResultOf<M>> {
    const here = this.here(handle);
    const again = (): Promise<ResultOf<M>> => this.#there<ResultOf<M>>(method, inode, handle, rest);
    return here === undefined
      ? again()
      : this.#holder.settled(method, this.#holder.perform<ResultOf<M>>(this.#holder.local!, method, [inode, here, ...rest]), again);
  }

  async #there<T>(method: SharedMethod, inode: number, handle: number, rest: readonly unknown[]): Promise<T> {
    const value = await this.#holder.call<T>(method, async () => [inode, await this.backing(handle), ...rest]);
    if (settles.has(method)) this.#onSettled(inode);
    return value;
  }

  /** Whether any program has the inode open. */
  hasOpen(inode: number): boolean {
    for (const known of this.#handles.values()) if (known.inode === inode) return true;
    return false;
  }

  /** A new host knows nothing of what is open here, and would remove files that have no name any more. */
  async openAgain(backing: Backing): Promise<void> {
    const handles = [...this.#handles];
    const lane = async (): Promise<void> => {
      for (let next = handles.pop(); next !== undefined && this.#holder.backing === backing; next = handles.pop()) {
        const [handle, { directory }] = next;
        if (directory) continue;
        try {
          await this.backing(handle);
        } catch (error) {
          // What cannot be opened says so to whoever uses it.
          if (error instanceof FileSystemError || this.#holder.backing !== backing) continue;
          handles.unshift(next);
          await idle(reopenPauseMs);
        }
      }
    };
    await Promise.all(Array.from({ length: parallelOpens }, lane));
  }

  /** The last descriptor is gone. False: no host had it open any more, a handle of an earlier generation goes with its host. */
  async letGo(method: 'release' | 'releasedir', inode: number, handle: number, ...rest: readonly unknown[]): Promise<boolean> {
    const known = this.#handles.get(handle);
    this.#handles.delete(handle);
    if (known !== undefined) this.#said(known, handle);
    await known?.opening?.catch(() => {});
    if (known === undefined) return false;
    const { generation, backing } = known;
    try {
      await this.#holder.callIn(generation, method, [inode, backing, ...rest]);
      return true;
    } catch (error) {
      if (error instanceof Moved) return false;
      if (!(error instanceof FileSystemError)) void this.#undelivered.add(() => this.#closeLate(generation, method, [inode, backing, ...rest]));
      throw error;
    }
  }

  /** In a lapse of the lease nobody hears of a close, and afterwards the same volume goes on. */
  async #closeLate(generation: number, method: 'release' | 'releasedir', args: readonly unknown[]): Promise<void> {
    if (generation === this.#holder.generation && !this.#holder.usable) throw new Error('the lease lapsed');
    try {
      await this.#holder.callIn(generation, method, args);
    } catch (error) {
      if (!(error instanceof Moved)) throw error;
    }
  }
}

/** As a pause, and keeps no process alive. */
function idle(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
