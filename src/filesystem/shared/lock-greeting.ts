import { randomUUID } from 'node:crypto';

import { codeOf } from '../../base/index.ts';
import { type FileLock, FileSystemError } from '../file-system.ts';
import type { Backing } from './backing.ts';
import { decodeAnswer, decodeResult, Dismissed } from './calls.ts';
import type { HeldLocks } from './held-locks.ts';
import type { HolderLink } from './holder-link.ts';
import { isTransient, pause, retryMs } from './repeating.ts';

/** Locks that are taken again at once. */
const parallelLocks = 64;

/** A host that begins to serve the volume is told which locks this host's programs have, and that those are all. */
export class LockGreeting {
  readonly #holder: HolderLink;
  readonly #held: HeldLocks;
  readonly #lose: (inode: number, lock: FileLock) => void;
  /** What programs had locked under the processes before is known, all of it. */
  readonly #knowsAll: boolean;
  readonly #mount: string | undefined;
  readonly #process = randomUUID();
  /** A greeting that is under way. */
  #saying: Promise<void> | undefined;
  /** Some host has heard of this process. */
  #greeted = false;

  /**
   * @param lose told of what is not given again.
   * @param knowsAll nothing is missing in `held` that was locked under the processes before.
   * @param mount names the mount over all its daemons.
   */
  constructor(holder: HolderLink, held: HeldLocks, lose: (inode: number, lock: FileLock) => void, knowsAll: boolean, mount: string | undefined) {
    this.#holder = holder;
    this.#held = held;
    this.#lose = lose;
    this.#knowsAll = knowsAll;
    this.#mount = mount;
  }

  /** Until the host that serves the volume was greeted, and has said what it remembers. */
  get saying(): Promise<void> | undefined {
    return this.#saying;
  }

  /** A new host knows none of our locks. What meanwhile went to another is lost. What is given back meanwhile waits until this has ended. */
  async lockAgain(backing: Backing): Promise<void> {
    const told = new Set<FileLock>();
    const openings = new Set<string>();
    for (;;) {
      const left = this.#held.all().filter(({ lock }) => !told.has(lock));
      if (left.length === 0) {
        const said = this.#sayLockedAgain(backing, [...openings]).finally(() => {
          if (this.#saying === said) this.#saying = undefined;
        });
        this.#saying = said;
        // What a mount before this one had is let go with the first greeting: nothing of this one's may be among it.
        return this.#greeted ? undefined : said;
      }
      const next = left.values();
      const lane = async (): Promise<void> => {
        for (const { inode, lock } of next) {
          const opening = await this.#lockAgain(backing, inode, lock);
          if (opening !== undefined) openings.add(opening);
          if (this.#holder.backing !== backing) return;
          told.add(lock);
        }
      };
      await Promise.all(Array.from({ length: parallelLocks }, lane));
      if (this.#holder.backing !== backing) return;
    }
  }

  /**
   * The host gives new locks only when it has heard this of all who may have some. One that does not know it, of an earlier version, waits for a time.
   * @param openings of the volume that were told of locks: where it is opened anew meanwhile, at the same host, that may be several, and the last knows too little.
   */
  async #sayLockedAgain(backing: Backing, openings: readonly string[]): Promise<void> {
    // Nothing else is locked before this is answered: see {@link lockAgain}.
    const process = !this.#greeted && this.#knowsAll && this.#mount !== undefined ? this.#process : undefined;
    let args = [this.#mount, process, openings.length === 0 ? undefined : openings.join(' ')];
    while (args.length > 0 && args.at(-1) === undefined) args.pop();
    while (backing.kind === 'remote' && this.#holder.backing === backing) {
      try {
        this.#holder.learnCalls(backing, decodeAnswer(await this.#holder.ask(backing, 'relocked', args)).calls);
        this.#greeted = true;
        return;
      } catch (error) {
        // So says one of an earlier version, to which it has fewer arguments, or none.
        if (args.length > 0 && codeOf(error) === 'bad-argument') args = args.slice(0, -1);
        // Given up meanwhile: all begins anew.
        else if (error instanceof Dismissed) await this.#holder.rejoin(backing).catch(() => pause(retryMs));
        else if (!isTransient(error)) return;
        else await pause(retryMs);
      }
    }
  }

  /** Returns which opening of the volume was told; undefined: one of an earlier version, or here, or it is not held any more. */
  async #lockAgain(backing: Backing, inode: number, lock: FileLock): Promise<string | undefined> {
    while (this.#holder.backing === backing && this.#held.holds(inode, lock)) {
      try {
        if (backing.kind === 'remote') return decodeResult(await this.#holder.ask(backing, 'relock', [inode, lock])) as string | undefined;
        await backing.volume.setlk(inode, lock, false);
        return undefined;
      } catch (error) {
        if (error instanceof FileSystemError) {
          if (this.#held.holds(inode, lock)) this.#lose(inode, lock);
          return undefined;
        }
        // Given up meanwhile: all begins anew.
        if (error instanceof Dismissed) await this.#holder.rejoin(backing).catch(() => {});
        if (this.#holder.backing === backing) await pause(retryMs);
      }
    }
    return undefined;
  }
}
