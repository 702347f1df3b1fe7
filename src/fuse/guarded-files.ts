import { type FileTime, isSameTime } from '../filesystem/index.ts';
import { marginMs, slackMs } from './trust-times.ts';
import { type Validity, validity } from './wire/index.ts';

/** The attributes of a guarded file that is being read are trusted for so long at the most, in ms: a stream of reads asks for them once instead of each time. */
const maxGuardedTrustMs = 50;

/** Files of a volume that others use as well, of which the kernel may keep pages since we are told before another host changes them. */
export class GuardedFiles {
  readonly #max: number;
  /** Those of which it may have pages, and their time of change when it began to. */
  readonly #files = new Map<number, FileTime>();
  #trustedUntilMs = 0;

  /** @param max that are known; beyond it all are forgotten, and their pages dropped at the next opening. */
  constructor(max: number) {
    this.#max = max;
  }

  /** Until when the kernel may trust attributes of some guarded file, as performance.now() counts. */
  get trustedUntilMs(): number {
    return this.#trustedUntilMs;
  }

  get areTrusted(): boolean {
    return performance.now() < this.#trustedUntilMs;
  }

  has(inode: number): boolean {
    return this.#files.has(inode);
  }

  /** What the kernel has of it is right where that has not changed since. */
  opened(inode: number, changed: FileTime): 'cached' | 'kept' {
    const before = this.#files.get(inode);
    if (before !== undefined && isSameTime(before, changed)) return 'kept';
    if (this.#files.size >= this.#max) this.#files.clear();
    this.#files.set(inode, changed);
    return 'cached';
  }

  /** What the kernel has of it is right no longer. Returns whether it was guarded. */
  changed(inode: number): boolean {
    return this.#files.delete(inode);
  }

  /** Gives trust in attributes. @param guardedMs for how long we are sure to be told before they change. */
  trust(guardedMs: number): Validity | undefined {
    const forMs = Math.min(maxGuardedTrustMs, Math.floor(guardedMs - marginMs));
    if (forMs <= 0) return undefined;
    this.#trustedUntilMs = performance.now() + forMs + slackMs;
    return validity(0, forMs / 1000, 0);
  }
}
