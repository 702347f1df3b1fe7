import { randomUUID } from 'node:crypto';

/** Files of which guests are known to have pages, of all guests together; beyond it the longest known is forgotten. */
const maxFiles = 65_536;

interface MappedFile {
  readonly inode: number;
  readonly peer: string;
}

/**
 * Files of which guests' kernels have pages that programs may change in mapped memory. Each has a name for the time in which nobody but that guest has changed the file, nor got a lock which its programs
 * had: that may be while the guest is taken for lost. A process of the guest that is killed leaves the name to the next one: where it is the same still, the kernel's pages are as good as if the process
 * had only stood still for a moment.
 */
export class MappedFiles {
  readonly #byInode = new Map<number, Map<string, string>>();
  /** By name, the latest last. */
  readonly #known = new Map<string, MappedFile>();
  /** By guest that is taken for lost and has names: the files of which its programs had locks. No more than the cluster has hosts. */
  readonly #lost = new Map<string, ReadonlySet<number>>();

  /** The guest's kernel is about to be given pages of the inode, or has some. Returns the name of the time that lasts. */
  name(peer: string, inode: number): string {
    const before = this.#byInode.get(inode)?.get(peer);
    if (before !== undefined) return before;
    const name = randomUUID();
    for (const [oldest, file] of this.#known) {
      if (this.#known.size < maxFiles) break;
      this.#end(oldest, file);
    }
    const names = this.#byInode.get(inode);
    if (names === undefined) this.#byInode.set(inode, new Map([[peer, name]]));
    else names.set(peer, name);
    this.#known.set(name, { inode, peer });
    return name;
  }

  /** Guests that have a name for it. */
  peersOf(inode: number): readonly string[] {
    return [...(this.#byInode.get(inode)?.keys() ?? [])];
  }

  /** Called in the moment before the inode changes, or somebody may change it in his own memory. @param by the guest that does it; undefined: a program of this host. */
  changing(inode: number, by: string | undefined): void {
    for (const [peer, name] of this.#byInode.get(inode) ?? []) if (peer !== by) this.#end(name, { inode, peer });
  }

  /** The guest is lost: others may have its locks from now on, until {@link heard}. @param locked of which its programs may have some. */
  lost(peer: string, locked: Iterable<number>): void {
    this.#lost.set(peer, new Set([...locked, ...(this.#lost.get(peer) ?? [])]));
  }

  /** Its programs have their locks again, but for those that others took. */
  heard(peer: string): void {
    this.#lost.delete(peer);
  }

  /** Somebody took a lock of the inode, or was told that he might. What a program of a lost guest was about to do under its own, to whatever file, it must not do any more; and one that maps this file may not have asked for locks at all. @param by his host */
  locked(inode: number, by: string): void {
    for (const [peer, locked] of this.#lost)
      if (peer !== by && (locked.has(inode) || this.#byInode.get(inode)?.has(peer) === true)) this.forget(peer);
  }

  /** Whatever the guest has pages of. */
  forget(peer: string): void {
    this.#lost.delete(peer);
    for (const [name, file] of this.#known) if (file.peer === peer) this.#end(name, file);
  }

  #end(name: string, { inode, peer }: MappedFile): void {
    this.#known.delete(name);
    const names = this.#byInode.get(inode);
    names?.delete(peer);
    if (names?.size === 0) this.#byInode.delete(inode);
  }
}
