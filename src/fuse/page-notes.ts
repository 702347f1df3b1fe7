import type { Records } from '../base/index.ts';
import type { MaybePromise } from '../filesystem/index.ts';
import { after } from './handles.ts';

const prefix = 'pages ';
/** Files that are noted; beyond it the one that was noted first is not any more. */
const maxNoted = 4096;

/** As of `FileSystem.mapping`. */
type NameOf = (inode: number) => MaybePromise<string | undefined>;

/**
 * Files of which all pages that the kernel has were given since nobody else changed them, with the name of that time: for the next daemon of the mount. Where it finds that the time lasts it writes what programs
 * changed in mapped memory, as this one would have. What is not noted it refuses.
 */
export class PageNotes {
  readonly #nameOf: NameOf;
  readonly #records: Records | undefined;
  readonly #noted = new Map<number, string>();
  /** Noted by the daemon before, and not asked about yet. */
  readonly #left = new Map<number, string>();
  /** The same, whatever became of it. */
  readonly #earlier: ReadonlySet<number>;
  readonly #beginning = new Map<number, Promise<void>>();
  readonly #asking = new Map<number, Promise<boolean>>();

  constructor(nameOf: NameOf, records: Records | undefined) {
    this.#nameOf = nameOf;
    this.#records = records;
    for (const [key, value] of new Map(records?.all())) {
      if (key.startsWith(prefix)) this.#left.set(Number(key.slice(prefix.length)), value as string);
    }
    this.#earlier = new Set(this.#left.keys());
  }

  wasNoted(inode: number): boolean {
    return this.#earlier.has(inode);
  }

  /**
   * The kernel is about to be given a page. To be awaited before that is read: it must not be of before the time has its name. undefined: now.
   * @param isFirst the kernel has none of the inode. What it has beside a note is of that note's time or a later one.
   */
  giving(inode: number, isFirst: boolean): Promise<void> | undefined {
    const beginning = this.#beginning.get(inode);
    if (beginning !== undefined || !isFirst) return beginning;
    const begun = after(this.#nameOf(inode), (name) => this.#note(inode, name));
    if (!(begun instanceof Promise)) return undefined;
    const through = begun.finally(() => this.#beginning.delete(inode));
    this.#beginning.set(inode, through);
    return through;
  }

  /** Whether pages that an earlier daemon gave may be written, though others use the volume as well. */
  areGood(inode: number): boolean | Promise<boolean> {
    const left = this.#left.get(inode);
    if (left === undefined) return false;
    let asking = this.#asking.get(inode);
    if (asking === undefined) {
      asking = this.#ask(inode, left).finally(() => this.#asking.delete(inode));
      this.#asking.set(inode, asking);
    }
    return asking;
  }

  async #ask(inode: number, left: string): Promise<boolean> {
    const isSame = (await this.#nameOf(inode)) === left;
    if (this.#left.get(inode) !== left) return isSame;
    this.#note(inode, isSame ? left : undefined);
    return isSame;
  }

  #note(inode: number, name: string | undefined): void {
    const before = this.#noted.get(inode) ?? this.#left.get(inode);
    this.#left.delete(inode);
    this.#noted.delete(inode);
    const changes: [string, string | undefined][] = name === before ? [] : [[prefix + inode, name]];
    if (name !== undefined) this.#noted.set(inode, name);
    for (const oldest of this.#noted.keys()) {
      if (this.#noted.size + this.#left.size <= maxNoted) break;
      this.#noted.delete(oldest);
      changes.push([prefix + oldest, undefined]);
    }
    if (changes.length > 0) this.#records?.put(changes);
  }
}
