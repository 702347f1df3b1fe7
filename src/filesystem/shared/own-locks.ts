import { type Clock, codeOf } from '../../base/index.ts';
import { type FileLock, FileSystemError } from '../file-system.ts';
import { LockTable } from '../locks/locks.ts';
import { Moved } from './backing.ts';
import { maxReturnedLocks } from './calls.ts';
import type { GuestCache } from './guest-cache.ts';
import type { HeldLocks } from './held-locks.ts';
import type { HolderLink } from './holder-link.ts';
import { acceptMs } from './lent-locks.ts';

/** So many locks of a file are taken at the host that serves the volume before it is asked for the file's locks. */
const takenBefore = 2;
/** After they were not lent they are not asked for again for so long, in ms. */
const refusedMs = 100;
/** Files of which either is remembered. */
const maxRemembered = 1024;
/** Files whose locks this host grants at a time, and locks of all of them. */
const maxFiles = 1024;
/** With as many as that, one is given back for the next whose locks nobody asked for here for so long, in ms. */
const idleMs = 60_000;
const maxLocks = 65_536;
/** Locks of one file, beyond which the host that serves the volume grants them: they have to fit one message. */
const maxLocksOfFile = maxReturnedLocks / 2;

interface OwnFile {
  /** Which time they were lent. */
  readonly id: number;
  readonly generation: number;
  /** They are granted for as long as what was granted under this id is good. */
  readonly grant: string;
  usedMs: number;
  /** They are being given back: until then nothing is granted, here or there. */
  returning: Promise<void> | undefined;
}

/** Files of which this host, a guest, grants its programs the locks by itself: see `LentLocks`. Whoever would have to wait does so at the host that serves the volume. */
export class OwnLocks {
  readonly #holder: HolderLink;
  readonly #cache: GuestCache;
  readonly #held: HeldLocks;
  readonly #isTelling: (inode: number) => boolean;
  readonly #clock: Clock;
  /** Those that were used last at the end. */
  readonly #files = new Map<number, OwnFile>();
  readonly #table = new LockTable({ most: maxLocksOfFile, mostOfAll: maxLocks });
  /** By inode: how many locks are being taken at the moment. */
  readonly #taking = new Map<number, number>();
  /** And how many were, at the host that serves the volume. */
  readonly #taken = new Map<number, number>();
  readonly #refusedUntil = new Map<number, number>();
  /** Files whose locks are being asked for: nothing else is asked for of them meanwhile. */
  readonly #borrowing = new Map<number, Promise<void>>();
  /** The host of this generation lends no locks. */
  #withoutLending: number | undefined;

  /**
   * @param held what this host's programs have locked.
   * @param isTelling whether the host that serves the volume is being told of locks that are held, or of one of the inode that was given back.
   */
  constructor(holder: HolderLink, cache: GuestCache, held: HeldLocks, isTelling: (inode: number) => boolean, clock: Clock) {
    this.#holder = holder;
    this.#cache = cache;
    this.#held = held;
    this.#isTelling = isTelling;
    this.#clock = clock;
  }

  /** Files of which something is under way. */
  get asking(): number {
    let returning = 0;
    for (const file of this.#files.values()) if (file.returning !== undefined) returning++;
    return this.#taking.size + this.#borrowing.size + returning;
  }

  has(inode: number): boolean {
    return this.#current(inode) !== undefined;
  }

  /** False: it is to be asked for at the host that serves the volume. @throws FileSystemError EAGAIN */
  async take(inode: number, lock: FileLock, wait: boolean): Promise<boolean> {
    await this.#borrowing.get(inode);
    const isGranted = this.#isGood(inode) && (!wait || this.#table.conflict(inode, lock) === undefined) && this.#grant(inode, lock);
    if (!isGranted) await this.giveBack(inode);
    return isGranted;
  }

  /** False: there is no room. @throws FileSystemError EAGAIN */
  #grant(inode: number, lock: FileLock): boolean {
    try {
      void this.#table.set(inode, lock, false);
      this.#used(inode, this.#files.get(inode)!);
      return true;
    } catch (error) {
      if (error instanceof FileSystemError && error.errno === 'ENOMEM') return false;
      throw error;
    }
  }

  #used(inode: number, file: OwnFile): void {
    file.usedMs = this.#clock.monotonicMs();
    this.#files.delete(inode);
    this.#files.set(inode, file);
  }

  /** A lock that is in the way; undefined: it is to be asked for at the host that serves the volume. */
  async look(inode: number, lock: FileLock): Promise<{ readonly found: FileLock | undefined } | undefined> {
    await this.#borrowing.get(inode);
    if (this.#isGood(inode)) return { found: this.#table.conflict(inode, lock) };
    await this.giveBack(inode);
    return undefined;
  }

  /** False: the host that serves the volume is to be told. */
  async release(inode: number, unlock: FileLock): Promise<boolean> {
    await this.#borrowing.get(inode);
    const file = this.#current(inode);
    if (file === undefined) return false;
    if (file.returning === undefined) {
      void this.#table.set(inode, unlock, false);
      // What is left of one lock may be two.
      if (this.#table.count(inode) > maxLocksOfFile) void this.giveBack(inode)?.catch(() => {});
      return true;
    }
    await file.returning;
    return false;
  }

  /** While locks of the inode are being taken, wherever that is. Those of a file of which several were taken elsewhere are asked for. */
  async during(inode: number, take: () => Promise<void>): Promise<void> {
    this.#taking.set(inode, (this.#taking.get(inode) ?? 0) + 1);
    try {
      await take();
    } finally {
      const left = this.#taking.get(inode)! - 1;
      if (left === 0) this.#taking.delete(inode);
      else this.#taking.set(inode, left);
    }
    if (this.has(inode)) return;
    const taken = (this.#taken.get(inode) ?? 0) + 1;
    remember(this.#taken, inode, taken);
    if (taken >= takenBefore && this.#mayAsk(inode))
      this.#borrowing.set(
        inode,
        this.#borrow(inode).finally(() => this.#borrowing.delete(inode)),
      );
  }

  /** The host that serves the volume wants to grant them again, and has been told by the process before this one what it had. @throws where it cannot be told */
  async recalled(inode: number): Promise<void> {
    await this.#holder.ready();
    await this.#holder.relocked();
    await this.giveBack(inode);
  }

  /** Resolves when the host that serves the volume grants them again; undefined: it does. */
  giveBack(inode: number): Promise<void> | undefined {
    const file = this.#current(inode);
    if (file === undefined) return undefined;
    return (file.returning ??= this.#return(inode, file));
  }

  async giveBackAll(): Promise<void> {
    await Promise.all([...this.#files.keys()].map(async (inode) => this.giveBack(inode)));
  }

  async #return(inode: number, file: OwnFile): Promise<void> {
    try {
      await this.#holder.callIn(file.generation, 'returnLocks', [inode, file.id, this.#table.held(inode)]);
    } catch (error) {
      // Where another host serves the volume it is told of all that is held.
      if (!(error instanceof Moved)) {
        file.returning = undefined;
        throw error;
      }
    }
    this.#drop(inode, file);
  }

  async #borrow(inode: number): Promise<void> {
    const { generation } = this.#holder;
    const grant = this.#cache.grantId!;
    const asked = this.#clock.monotonicMs();
    // What is locked there is what is held here, but for what is given back meanwhile.
    const mayBegin = (): boolean =>
      generation === this.#holder.generation && grant === this.#cache.grantId && this.#clock.monotonicMs() - asked < acceptMs;
    try {
      const id = await this.#holder.callIn<number | undefined>(generation, 'borrowLocks', [inode]);
      if (id === undefined) remember(this.#refusedUntil, inode, this.#clock.monotonicMs() + refusedMs);
      else if (mayBegin()) this.#begin(inode, { id, generation, grant, usedMs: asked, returning: undefined });
      else await this.#holder.callIn(generation, 'returnLocks', [inode, id, undefined]);
    } catch (error) {
      // So says one of an earlier version. Of what is lent all the same, and is not said to be given back, it will be asked.
      if (codeOf(error) === 'bad-argument') this.#withoutLending = generation;
    }
  }

  /** Nothing of the file's locks is under way. */
  #mayAsk(inode: number): boolean {
    const { generation, backing } = this.#holder;
    if (backing?.kind !== 'remote' || !this.#cache.isOn || generation === this.#withoutLending) return false;
    if (this.#held.count(inode) > maxLocksOfFile / 2) return false;
    if (this.#borrowing.has(inode) || this.#taking.has(inode) || this.#isTelling(inode)) return false;
    const until = this.#refusedUntil.get(inode);
    if (until !== undefined && until > this.#clock.monotonicMs()) return false;
    this.#refusedUntil.delete(inode);
    return this.#hasRoom();
  }

  /** Files that were lent by a host which served the volume before take none, and what is of no use here any more makes some. */
  #hasRoom(): boolean {
    if (this.#files.size < maxFiles) return true;
    for (const inode of this.#files.keys()) this.#current(inode);
    if (this.#files.size < maxFiles) return true;
    const before = this.#clock.monotonicMs() - idleMs;
    const idle = this.#files.entries().find(([, { usedMs, grant }]) => usedMs <= before || grant !== this.#cache.grantId);
    // Nobody waits for that: the next time there is room.
    if (idle !== undefined) void this.giveBack(idle[0])?.catch(() => {});
    return false;
  }

  #begin(inode: number, file: OwnFile): void {
    this.#files.set(inode, file);
    this.#table.replace(inode, () => true, this.#held.of(inode));
  }

  /** Whether they may be granted here at this moment. */
  #isGood(inode: number): boolean {
    const file = this.#current(inode);
    return file !== undefined && file.returning === undefined && file.grant === this.#cache.grantId;
  }

  /** Where another host serves the volume, or the same anew, it was told of all that is held. */
  #current(inode: number): OwnFile | undefined {
    const file = this.#files.get(inode);
    if (file === undefined || file.generation === this.#holder.generation) return file;
    this.#drop(inode, file);
    return undefined;
  }

  #drop(inode: number, file: OwnFile): void {
    if (this.#files.get(inode) !== file) return;
    this.#files.delete(inode);
    this.#taken.delete(inode);
    this.#table.replace(inode, () => true, []);
  }
}

function remember(map: Map<number, number>, inode: number, value: number): void {
  if (map.size >= maxRemembered && !map.has(inode)) map.clear();
  map.set(inode, value);
}
