import { type FileLock, FileSystemError } from '../file-system.ts';
import type { Volume } from '../volume.ts';
import { Dismissed } from './calls.ts';
import { type Guest, ownerKey } from './guest.ts';
import type { LentLocks } from './lent-locks.ts';
import type { LockGrace } from './lock-grace.ts';

/** How long a call waits for a lock, in ms; then the asker asks again. So no wait outlives the one who waits by more. */
const lockWaitMs = 1000;

/** As of `returnLocks`; without locks: it never had them. */
export type ReturnedLocks = readonly [inode: number, id: number, locks: readonly FileLock[] | undefined];

/** What other hosts' programs lock on the volume that is open here. */
export class ServedLocks {
  readonly #volume: Pick<Volume, 'getlk' | 'setlk' | 'locks'>;
  readonly #grace: LockGrace;
  readonly #lent: LentLocks | undefined;

  /** @param grace until then only locks that were held before are given. @param lent where guests may grant locks. */
  constructor(volume: Pick<Volume, 'getlk' | 'setlk' | 'locks'>, grace: LockGrace, lent: LentLocks | undefined) {
    this.#volume = volume;
    this.#grace = grace;
    this.#lent = lent;
  }

  async set(guest: Guest, inode: number, lock: FileLock, wait: boolean): Promise<void> {
    if (lock.type !== 'unlock') await this.#grace.over;
    await this.#set(guest, inode, lock, wait);
  }

  /** One that is in the way. */
  async look(inode: number, lock: FileLock): Promise<FileLock | undefined> {
    await this.#grace.over;
    return this.#volume.getlk(inode, lock);
  }

  /** One that was held at the host that served the volume before, or by the process before. */
  async setAgain(peer: string, guest: Guest, inode: number, lock: FileLock): Promise<void> {
    const lent = this.#lent;
    if (lent?.has(peer, inode) !== true) return this.#set(guest, inode, lock, false);
    this.#own(guest, inode, lock);
    // The process before has given others back, and taken some, that nobody here knows of.
    if (lent.tells(inode)) this.#replace(guest, inode, []);
    await this.#volume.locks.setAgain(inode, lock);
  }

  /** Those are all that its programs have. */
  saidAll(peer: string, guest: Guest): void {
    for (const inode of this.#lent?.untold(peer) ?? []) this.#replace(guest, inode, []);
    this.#lent?.endAll(peer);
  }

  /** The guest is lost, and what it had is free. */
  lost(peer: string): void {
    this.#lent?.endAll(peer);
  }

  /** The guest grants the locks of the inode from now on, if nobody else uses them. Returns which time that is. */
  async lend(peer: string, guest: Guest, inode: number): Promise<number | undefined> {
    await this.#grace.over;
    if (guest.gone.signal.aborted) throw new Dismissed();
    const isOnly = this.#volume.locks.areOnly(inode, ({ kind, owner }) => guest.owners.has(ownerKey(inode, kind, owner)));
    return isOnly ? this.#lent?.lend(peer, inode) : undefined;
  }

  /** What was said once is not taken again: by then others may have them. */
  takeBack(peer: string, guest: Guest, [inode, id, locks]: ReturnedLocks): void {
    if (this.#lent?.has(peer, inode, id) !== true) return;
    if (locks !== undefined) this.#replace(guest, inode, locks);
    this.#lent.end(peer, inode);
  }

  #replace(guest: Guest, inode: number, locks: readonly FileLock[]): void {
    this.#volume.locks.replace(inode, ({ kind, owner }) => guest.owners.has(ownerKey(inode, kind, owner)), locks);
    for (const lock of locks) this.#own(guest, inode, lock);
  }

  #own(guest: Guest, inode: number, { kind, owner }: FileLock): void {
    if (guest.gone.signal.aborted) throw new Dismissed();
    guest.owners.set(ownerKey(inode, kind, owner), { inode, kind, owner });
  }

  async #set(guest: Guest, inode: number, lock: FileLock, wait: boolean): Promise<void> {
    this.#own(guest, inode, lock);
    const gone = guest.gone.signal;
    try {
      await this.#volume.setlk(inode, lock, wait, wait ? AbortSignal.any([AbortSignal.timeout(lockWaitMs), gone]) : gone);
    } catch (error) {
      if (gone.aborted) throw new Dismissed();
      const inTheWay = wait && error instanceof FileSystemError && error.errno === 'EINTR';
      throw inTheWay ? new FileSystemError('EAGAIN') : error;
    }
    if (!wait && lock.type === 'unlock' && lock.start === 0 && lock.end === Infinity) guest.owners.delete(ownerKey(inode, lock.kind, lock.owner));
  }
}
