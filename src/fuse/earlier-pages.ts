import { programPatienceMs } from '../base/index.ts';

/** Inodes that are remembered to have no page of before; beyond it all are forgotten, and the next page of each may be refused once more. */
const maxSettled = 262_144;

/**
 * Pages of mapped files that programs changed while an earlier daemon served the mount, and that the kernel writes to this one. They are as good as then
 * while no other session has had the volume since. Otherwise they may be older than what others wrote and synced, and are refused: msync says EIO; but for those of files that are known to be changed by nobody else.
 */
export class EarlierPages {
  readonly #drop: (inode: number) => Promise<void>;
  readonly #areGood: (inode: number) => boolean | Promise<boolean>;
  #state: 'unknown' | 'right' | 'stale' = 'unknown';
  readonly #known = Promise.withResolvers<void>();
  /** Inodes whose pages are of this daemon's time, or were written since it is known that they are right. */
  readonly #settled = new Set<number>();
  /** Bounded by the kernel's open files. */
  readonly #dropping = new Map<number, Promise<void>>();

  /**
   * @param drop resolves when the kernel has no page of the inode any more, dirty ones written or refused.
   * @param areGood whether those of this inode are as good as ever, though others use the volume.
   */
  constructor(drop: (inode: number) => Promise<void>, areGood: (inode: number) => boolean | Promise<boolean> = () => false) {
    this.#drop = drop;
    this.#areGood = areGood;
  }

  /** `right`: the volume is as the earlier daemon left it. Only the first word counts. */
  settle(right: boolean): void {
    if (this.#state !== 'unknown') return;
    this.#state = right ? 'right' : 'stale';
    this.#known.resolve();
  }

  /** Pages of before are refused. */
  get areStale(): boolean {
    return this.#state === 'stale';
  }

  /** The kernel has no page of before of this inode any more. */
  gone(inode: number): void {
    if (this.#settled.size >= maxSettled) this.#settled.clear();
    this.#settled.add(inode);
  }

  /**
   * Others may change the volume from now on, or have done so (`lost`). Returns inodes whose pages are to be dropped before they do.
   * @param wasSole until then nobody else did, and the kernel cached.
   */
  end(lost: boolean, wasSole: boolean): number[] {
    // This daemon has not had the volume yet.
    if (this.#state === 'unknown') return [];
    const wereRight = this.#state === 'right';
    // Of the others nobody knows which have pages.
    this.#state = 'stale';
    if (!lost) return [...this.#settled];
    // What a guest reads is durable: its pages are as good at the next host that serves the volume.
    if (wereRight || wasSole) this.#settled.clear();
    return [];
  }

  /** A file is about to be opened where others use the volume. Resolves when the kernel has no page of before, so that those to come are told from them; undefined: it has none. */
  opening(inode: number): Promise<void> | undefined {
    return this.areStale && !this.#settled.has(inode) ? this.#dropOnce(inode) : undefined;
  }

  /** Whether the kernel may write a page of the inode. */
  mayWrite(inode: number): boolean | Promise<boolean> {
    if (this.#settled.has(inode)) return true;
    if (this.#state === 'unknown') return this.#once(inode);
    if (this.#state === 'right') {
      this.gone(inode);
      return true;
    }
    const good = this.#areGood(inode);
    return good instanceof Promise ? good.then((are) => this.#may(inode, are)) : this.#may(inode, good);
  }

  #may(inode: number, areGood: boolean): boolean {
    if (areGood) this.gone(inode);
    else void this.#dropOnce(inode);
    return areGood;
  }

  #dropOnce(inode: number): Promise<void> {
    const known = this.#dropping.get(inode);
    if (known !== undefined) return known;
    const dropping = this.#drop(inode).then(() => {
      this.#dropping.delete(inode);
      this.gone(inode);
    });
    this.#dropping.set(inode, dropping);
    return dropping;
  }

  async #once(inode: number): Promise<boolean> {
    const patience = Promise.withResolvers<void>();
    const timer = setTimeout(patience.resolve, programPatienceMs);
    await Promise.race([this.#known.promise, patience.promise]);
    clearTimeout(timer);
    return this.#state !== 'unknown' && this.mayWrite(inode);
  }
}
