import { type Attributes, type DirectoryEntry, FileSystemError, type MaybePromise } from '../file-system.ts';
import { isSameVersion } from '../inodes/written.ts';
import type { Borrowing } from './borrowing.ts';
import { ownKernel } from './grants.ts';
import type { GuestCache } from './guest-cache.ts';
import { type GuestView, isLarge } from './guest-view.ts';
import { type Backing, Moved } from './backing.ts';
import type { HolderLink } from './holder-link.ts';
import type { OpenHandles } from './open-handles.ts';

/**
 * What is true of a file for a program of this host, now. Of a file that is lent to this host it is what its programs wrote, from memory. Of any other it is what the volume says that is open in this thread,
 * or the host that serves it, once that has been told all that was written here, and if it had been told by the time it said so.
 */
export class ProgramView {
  readonly #holder: HolderLink;
  readonly #cache: GuestCache;
  readonly #borrowing: Borrowing;
  readonly #guest: GuestView;
  readonly #files: OpenHandles;

  constructor(holder: HolderLink, cache: GuestCache, borrowing: Borrowing, guest: GuestView, files: OpenHandles) {
    this.#holder = holder;
    this.#cache = cache;
    this.#borrowing = borrowing;
    this.#guest = guest;
    this.#files = files;
  }

  lookup(parent: number, name: string): MaybePromise<Attributes | undefined> {
    if (this.#borrowing.isEmpty) return this.#guest.lookup(parent, name);
    const { generation } = this.#holder;
    const found = this.#borrowing.sharedByName([], () => this.#lent(this.inodeOf(parent, name)) ?? this.#guest.lookup(parent, name));
    return whenKnown(found, (now) => (now === undefined || this.#isWhole(now.inode, generation) ? now : this.getattr(now.inode)));
  }

  /**
   * Whether what was found of a file by way of a name has all that was written here. It may be lent to this host; and where another host came to serve the volume since the question, that may have
   * answered before it heard what was written here.
   */
  #isWhole(inode: number, generation: number): boolean {
    return generation === this.#holder.generation && !this.#borrowing.has(inode);
  }

  #lent(inode: number | undefined): Attributes | undefined {
    return inode === undefined ? undefined : this.#borrowing.attributes(inode);
  }

  /** The inode that a name stands for; undefined: that is not known here. */
  inodeOf(parent: number, name: string): number | undefined {
    return this.#cache.inodeOf(parent, name);
  }

  getattr(inode: number): MaybePromise<Attributes> {
    return this.#lent(inode) ?? this.#borrowing.shared(inode, () => this.#guest.getattr(inode));
  }

  /** A file that is small comes with one answer, and has no pages that would have to be dropped. Where the volume is open here its guests change it through {@link CallServer}. */
  isGuarded(inode: number): boolean {
    const { local } = this.#holder;
    if (local === undefined) return this.#guest.isLarge(inode);
    const known = local.getattr(inode);
    if (known instanceof Promise) known.catch(() => {});
    return !(known instanceof Promise) && isLarge(known);
  }

  guardedMs(attributes: Attributes): number {
    const { backing, local } = this.#holder;
    if (backing?.kind === 'local') return local === undefined ? 0 : grantedMs(backing, attributes);
    // Those and no others: what was told before may have been asked back, and come anew, while the answer waited.
    return this.#cache.image(attributes.inode)?.attributes === attributes ? this.#cache.leftMs : 0;
  }

  readlink(inode: number): MaybePromise<string> {
    return this.#guest.readlink(inode);
  }

  getxattr(inode: number, name: string): MaybePromise<Uint8Array> {
    // So the kernel asks for a capability before the first write to each file that is made.
    if (this.#lent(inode) !== undefined) throw new FileSystemError('ENODATA');
    return this.#guest.getxattr(inode, name);
  }

  listxattr(inode: number): MaybePromise<readonly string[]> {
    return this.#lent(inode) === undefined ? this.#guest.listxattr(inode) : [];
  }

  read(inode: number, handle: number, offset: number, length: number): MaybePromise<readonly Uint8Array[]> {
    const known = this.#files.get(handle);
    if (known !== undefined) known.reads = true;
    const shared = (): MaybePromise<readonly Uint8Array[]> => this.#borrowing.shared(inode, () => this.#readShared(inode, handle, offset, length));
    const own = this.#borrowing.read(inode, offset, length);
    return own instanceof Promise ? own.then((bytes) => bytes ?? shared()) : (own ?? shared());
  }

  #readShared(inode: number, handle: number, offset: number, length: number): MaybePromise<readonly Uint8Array[]> {
    const there = (): Promise<readonly Uint8Array[]> => this.#files.perform('read', inode, handle, offset, length);
    const here = this.#files.here(handle);
    if (here !== undefined) return this.#holder.settled('read', this.#holder.local!.read(inode, here, offset, length), there);
    return (this.#files.get(handle) === undefined ? undefined : this.#guest.read(inode, offset, length)) ?? there();
  }

  readdir(inode: number, handle: number, cookie: number, limit: number, attributes: boolean): MaybePromise<readonly DirectoryEntry[]> {
    const list = (): MaybePromise<readonly DirectoryEntry[]> => this.#readdir(inode, handle, cookie, limit, attributes);
    if (this.#borrowing.isEmpty) return list();
    const { generation } = this.#holder;
    return whenKnown(this.#borrowing.sharedByName([], list), (entries) => {
      const isWhole = entries.every((entry) => entry.attributes === undefined || this.#isWhole(entry.inode, generation));
      return isWhole ? entries : Promise.all(entries.map(async (entry) => this.#asWritten(entry, generation)));
    });
  }

  /** It keeps attributes if it has some: the kernel gets a reference with them, and they were counted where they come from. */
  async #asWritten(entry: DirectoryEntry, generation: number): Promise<DirectoryEntry> {
    if (entry.attributes === undefined || this.#isWhole(entry.inode, generation)) return entry;
    try {
      return { ...entry, attributes: await this.getattr(entry.inode) };
    } catch (error) {
      // It went since.
      if (error instanceof FileSystemError) return entry;
      throw error;
    }
  }

  #readdir(inode: number, handle: number, cookie: number, limit: number, attributes: boolean): MaybePromise<readonly DirectoryEntry[]> {
    const there = (): MaybePromise<readonly DirectoryEntry[]> =>
      // What is open there makes no difference, as long as the directory is not removed.
      this.#files.isUnsaid(handle)
        ? this.#holder.do('readdir', inode, 0, cookie, limit, attributes)
        : this.#files.perform('readdir', inode, handle, cookie, limit, attributes);
    const known = this.#guest.readdir(inode, cookie, attributes);
    return known instanceof Promise
      ? known.catch((error: unknown) => (error instanceof Moved ? there() : Promise.reject(error)))
      : (known ?? there());
  }
}

/** Where the volume is open here, this host's kernel is asked like a guest before what it was told changes. Attributes that are not those of this very moment are good for no time. */
function grantedMs({ volume, grants }: Backing & { readonly kind: 'local' }, attributes: Attributes): number {
  const { inode } = attributes;
  const now = volume.getattr(inode);
  if (now instanceof Promise) now.catch(() => {});
  if (grants === undefined || now instanceof Promise || !isSameVersion(now, attributes)) return 0;
  grants.give(ownKernel, inode);
  return grants.holds(ownKernel, inode) ? grants.term(ownKernel).ms : 0;
}

function whenKnown<T, U>(found: MaybePromise<T>, then: (now: T) => MaybePromise<U>): MaybePromise<U> {
  return found instanceof Promise ? found.then(then) : then(found);
}
