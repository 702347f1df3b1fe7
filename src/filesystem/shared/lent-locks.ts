import { FileSystemError } from '../file-system.ts';
import type { GrantKey } from './grants.ts';

/** Files whose locks are lent at a time. */
const maxLent = 4096;
/** With as many as that, the locks of one are asked back for the next that were lent for so long, in ms. */
const longLentMs = 60_000;
/** A guest that hears later than this that it was lent a file's locks does not take them, in ms. */
export const acceptMs = 500;
/** So one that was asked for them so much after they were lent, and has answered, does not have them and never will. */
const acceptedMs = 2 * acceptMs;
/** Whoever must not wait is told after so long that a guest which lives and does not answer may have granted what is wanted, in ms: one that is well has answered by then, also where it never had the locks. */
const answerMs = acceptedMs + acceptMs;
/** How often a guest is asked that does not give them back, in ms. */
const askAgainMs = 100;

/** What the locks of a file are in a recall: half above the inode. Numbers of inodes are far below what has no halves. */
export function locksKey(inode: number): GrantKey {
  return inode + 0.5;
}

/** undefined: it is no key of locks. */
export function inodeOfLocks(key: GrantKey): number | undefined {
  return Number.isInteger(key) ? undefined : Math.floor(key);
}

interface LentFile {
  readonly peer: string;
  readonly id: number;
  readonly lentMs: number;
  readonly ended: PromiseWithResolvers<void>;
  /** Since when somebody else wants them. */
  wantedMs: number | undefined;
  /** Another process of the guest says which of them its programs have. */
  told: boolean;
}

export interface LentLocksOptions {
  /** Monotonic, in ms. */
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** Asks a guest for them; resolves when it does not have them any more. */
  readonly recall: (peer: string, keys: readonly GrantKey[]) => Promise<void>;
  /** Notes that somebody else wants them: then they are lent to nobody for a while. */
  readonly contend: (key: GrantKey) => void;
  readonly isContended: (key: GrantKey) => boolean;
  /** The promise resolves when it is known whether the guest lives; undefined: it is. */
  readonly silence: (peer: string) => Promise<void> | undefined;
}

/**
 * Files of which one guest alone grants the locks: its programs take them without a question. Before anybody else's programs may lock such a file, or look who has, the guest gives the locks
 * back and says which are held. One that is not heard has them until it is taken for lost, as it has any lock of its programs.
 */
export class LentLocks {
  readonly #options: LentLocksOptions;
  readonly #files = new Map<number, LentFile>();
  #next = 1;
  #closed = false;

  constructor(options: LentLocksOptions) {
    this.#options = options;
  }

  /** In the moment in which nobody else has a lock of the inode or waits for one. undefined: not now. */
  lend(peer: string, inode: number): number | undefined {
    const { now, isContended } = this.#options;
    if (this.#closed || this.#files.has(inode) || inode >= 2 ** 52 || isContended(locksKey(inode)) || !this.#hasRoom()) return undefined;
    const file = { peer, id: this.#next++, lentMs: now(), ended: Promise.withResolvers<void>(), wantedMs: undefined, told: false };
    this.#files.set(inode, file);
    return file.id;
  }

  /** Those that were lent first may be in use or not: where they are, they are soon lent again. */
  #hasRoom(): boolean {
    if (this.#files.size < maxLent) return true;
    const [inode, file] = this.#files.entries().next().value!;
    // Nobody waits for that: the next time there is room. One at a time, since the guest may not be heard.
    if (this.#options.now() - file.lentMs >= longLentMs) void this.wanted(inode, true);
    return false;
  }

  /** Those that are asked for. */
  get wantedFiles(): number {
    let wanted = 0;
    for (const { wantedMs } of this.#files.values()) if (wantedMs !== undefined) wanted++;
    return wanted;
  }

  /** @param id which time; absent: any. */
  has(peer: string, inode: number, id?: number): boolean {
    const file = this.#files.get(inode);
    return file?.peer === peer && (id === undefined || file.id === id);
  }

  /** Somebody looks at the locks of the inode, or takes one. undefined: now. @param waits false: rejects with EAGAIN where the guest lives and does not answer, and at once where it has not for a while. */
  wanted(inode: number, waits: boolean): Promise<void> | undefined {
    const file = this.#files.get(inode);
    if (file === undefined) return undefined;
    if (file.wantedMs === undefined) {
      file.wantedMs = this.#options.now();
      void this.#askBack(inode, file);
    }
    return waits ? file.ended.promise : this.#inTime(inode, file, file.wantedMs + answerMs);
  }

  async #inTime(inode: number, file: LentFile, untilMs: number): Promise<void> {
    const { now, sleep, silence } = this.#options;
    const { peer, ended } = file;
    const left = untilMs - now();
    if (left > 0) await Promise.race([ended.promise, sleep(left)]);
    while (this.#files.get(inode) === file) {
      const silent = silence(peer);
      if (silent === undefined) throw new FileSystemError('EAGAIN', 'another host grants the locks of the file, and does not say which');
      await Promise.race([ended.promise, silent]);
      // It is heard again: once it has answered, it is known.
      await Promise.race([ended.promise, sleep(answerMs)]);
    }
  }

  /** Another process of the guest says what its programs have locked of the inode. True: it begins to. */
  tells(inode: number): boolean {
    const file = this.#files.get(inode);
    if (file === undefined || file.told) return false;
    return (file.told = true);
  }

  /** Inodes whose locks the guest grants. */
  inodesOf(peer: string): number[] {
    return [...this.#files].flatMap(([inode, file]) => (file.peer === peer ? [inode] : []));
  }

  /** Inodes of which a guest's programs have nothing locked, if that guest has said all that they have. */
  untold(peer: string): number[] {
    return [...this.#files].flatMap(([inode, file]) => (file.peer === peer && !file.told ? [inode] : []));
  }

  /** The guest does not grant them any more. */
  end(peer: string, inode: number): void {
    const file = this.#files.get(inode);
    if (file?.peer === peer) this.#end(inode, file);
  }

  /** The guest is lost, or has said what its programs have locked. */
  endAll(peer: string): void {
    for (const [inode, file] of this.#files) if (file.peer === peer) this.#end(inode, file);
  }

  /** Another host serves the volume, or is about to: all guests say there what they have. */
  close(): void {
    this.#closed = true;
    for (const [inode, file] of this.#files) this.#end(inode, file);
  }

  async #askBack(inode: number, file: LentFile): Promise<void> {
    const { now, sleep, recall, contend } = this.#options;
    const key = locksKey(inode);
    while (this.#files.get(inode) === file) {
      contend(key);
      const askedMs = now();
      const heard = await recall(file.peer, [key]).then(
        () => true,
        () => false,
      );
      if (heard && askedMs - file.lentMs >= acceptedMs) this.#end(inode, file);
      else await Promise.race([file.ended.promise, sleep(askAgainMs)]);
    }
  }

  #end(inode: number, file: LentFile): void {
    if (this.#files.get(inode) === file) this.#files.delete(inode);
    file.ended.resolve();
  }
}
