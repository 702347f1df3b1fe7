import { type Clock, InfinitError, programPatienceMs, type Records } from '../../base/index.ts';
import { type FileLock, FileSystemError, type LockOwner, unlockAll } from '../file-system.ts';
import { HeldLocks } from './held-locks.ts';
import type { GuestCache } from './guest-cache.ts';
import type { HolderLink } from './holder-link.ts';
import { LockGreeting } from './lock-greeting.ts';
import { LostLocks, type LostLocksNotice } from './lost-locks.ts';
import { OwnLocks } from './own-locks.ts';
import type { Undelivered } from './undelivered.ts';

/** What telling a host of a release came to. */
interface Told {
  readonly heard: boolean;
  readonly failure?: { readonly error: unknown };
}

export interface ProgramLocksEvents {
  /** Another host's program got a lock of the file meanwhile. */
  readonly onLost: (inode: number) => void;
  /** As {@link LostLocks} tells. */
  readonly onFenced?: ((notice: LostLocksNotice | undefined) => void) | undefined;
}

/** Locks of this host's programs on a shared volume, over changes of the host that keeps the volume's table of locks. */
export class ProgramLocks {
  readonly #self: string;
  readonly #holder: HolderLink;
  readonly #undelivered: Undelivered;
  readonly #onLost: (inode: number) => void;
  readonly #held: HeldLocks;
  readonly #lost: LostLocks;
  /** Files of which this host grants the locks. */
  readonly #own: OwnLocks;
  readonly #greeting: LockGreeting;
  /** By owner: releases that the host has not heard of yet. */
  readonly #releases = new Map<string, Promise<void>>();
  /** The same and those before them, with the inode of each. */
  readonly #underWay = new Map<Promise<void>, number>();

  /**
   * @param self distinguishes this host's lock owners from those of others.
   * @param records what the next daemon of the mount will know of the locks.
   * @param mount names the mount over all its daemons.
   */
  constructor(
    self: string,
    holder: HolderLink,
    cache: GuestCache,
    undelivered: Undelivered,
    { onLost, onFenced }: ProgramLocksEvents,
    clock: Clock,
    records?: Records,
    mount?: string,
  ) {
    this.#self = self;
    this.#holder = holder;
    this.#undelivered = undelivered;
    this.#onLost = onLost;
    this.#lost = new LostLocks(records, onFenced);
    this.#held = new HeldLocks(records);
    this.#greeting = new LockGreeting(holder, this.#held, (inode, lock) => this.#lose(inode, lock), records?.isWhole === true, mount);
    this.#own = new OwnLocks(
      holder,
      cache,
      this.#held,
      (inode) => this.#greeting.saying !== undefined || this.#releasesOf(inode) !== undefined,
      clock,
    );
  }

  /** Locks that programs have. */
  get held(): number {
    return this.#held.all().length;
  }

  /** What was given back and the host that serves the volume has not heard of. */
  get releases(): number {
    return this.#underWay.size + this.#releases.size;
  }

  /** Files of which locks are being taken, asked for or given back by this host. */
  get asking(): number {
    return this.#own.asking;
  }

  /** The host that serves the volume asks for the locks of the inode. Resolves when it has them, and knows which are held. */
  async recalled(inode: number): Promise<void> {
    await this.#own.recalled(inode);
  }

  /** The host that serves the volume has the locks of all files again. */
  async giveBackAll(): Promise<void> {
    await this.#own.giveBackAll();
  }

  /** The owner as all hosts know it. */
  global(owner: LockOwner): LockOwner {
    return `${owner}@${this.#self}`;
  }

  /** Tells a host that begins to serve the volume which locks this host's programs have. */
  get greeting(): LockGreeting {
    return this.#greeting;
  }

  async set(inode: number, lock: FileLock, wait: boolean, signal?: AbortSignal): Promise<void> {
    const global = { ...lock, owner: this.global(lock.owner) };
    if (lock.type === 'unlock') {
      this.#lost.forget(inode, global);
      return this.#giveBack(inode, global, () => this.#unlock(inode, global));
    }
    // Who has lost one and asks for more believes that it has that yet.
    if (this.#lost.has(inode, global)) throw lostLock();
    this.#undelivered.requireRoom();
    await inTime(this.#releases.get(keyOf(global)));
    return this.#own.during(inode, () => this.#set(inode, global, wait, signal));
  }

  async #set(inode: number, global: FileLock, wait: boolean, signal: AbortSignal | undefined): Promise<void> {
    let before = this.#releasesOf(inode);
    // Converting a flock gives the old one back first, also where the new one is refused then (flock(2)).
    if (global.kind === 'flock') this.#held.note(inode, { ...global, type: 'unlock' });
    const deadline = performance.now() + programPatienceMs;
    let doubtful = false;
    for (;;) {
      try {
        if (await this.#take(inode, global, wait, signal)) break;
        doubtful = true;
        if (!wait && performance.now() > deadline) throw new InfinitError('unavailable', 'the volume goes from host to host');
      } catch (error) {
        const errno = error instanceof FileSystemError ? error.errno : undefined;
        if (errno === 'EAGAIN' && before !== undefined) {
          await inTime(before).catch(() => {});
          before = undefined;
          continue;
        }
        // The host that serves the volume waits a moment only, and ours not beyond the end of its lease.
        if (wait && (errno === 'EAGAIN' || errno === 'EINTR') && signal?.aborted !== true) continue;
        // A program that was told "no" gives nothing back.
        if (doubtful || errno === undefined) this.#undo(inode, global);
        if (this.#lost.has(inode, global)) throw lostLock();
        throw wait && errno === 'EAGAIN' ? new FileSystemError('EINTR') : error;
      }
    }
    // It may be by this very question that its host has heard of the loss.
    if (this.#lost.has(inode, global)) {
      this.#undo(inode, global);
      throw lostLock();
    }
    this.#held.note(inode, global);
  }

  /** What a program is not told that it has goes back; what it has lost it has not given back with that. */
  #undo(inode: number, lock: FileLock): void {
    for (const gap of this.#held.gaps(inode, lock)) void this.#giveBack(inode, gap, () => this.#unlock(inode, gap)).catch(() => {});
  }

  /** What is held went to others, and was given back since: who serves the volume by now does not know. */
  loseAll(): void {
    for (const { inode, lock } of this.#held.all()) this.#lose(inode, lock);
  }

  #lose(inode: number, lock: FileLock): void {
    // In this order: a daemon that is killed between the two leaves one that is refused again, and not one of which nothing is known.
    this.#lost.add(inode, lock);
    this.#held.note(inode, { ...lock, type: 'unlock' });
    this.#onLost(inode);
  }

  /** Files of which programs have lost a lock under a daemon before this one, or this one, and do not know it. */
  lostOf(): readonly number[] {
    return this.#lost.inodes();
  }

  /** Some have lost a lock and do not know it. */
  get haveLost(): boolean {
    return !this.#lost.isEmpty;
  }

  /** @param inode whose content or attributes are to be changed; undefined: names are. @throws FileSystemError EIO where programs of this host have lost a lock and do not know it: nothing that they do counts until they have given it back. */
  requireLocks(inode: number | undefined): void {
    if (this.#lost.fences(() => (inode === undefined ? [] : this.#held.of(inode)))) throw lostLock();
  }

  /** As {@link requireLocks}, of what was written to the file before that and is said now. */
  requireOwn(inode: number): void {
    if (this.#lost.spoils(inode, () => this.#held.of(inode))) throw lostLock();
  }

  /** A lock of another owner that is in the way, if any. */
  async get(inode: number, lock: FileLock): Promise<FileLock | undefined> {
    const before = this.#releasesOf(inode);
    const global = { ...lock, owner: this.global(lock.owner) };
    const found = await this.#look(inode, global);
    if (found === undefined || before === undefined) return found;
    await inTime(before).catch(() => {});
    return this.#look(inode, global);
  }

  /** Where the volume has just come to, or while it comes, not all that is held is known yet. */
  async #look(inode: number, lock: FileLock): Promise<FileLock | undefined> {
    for (;;) {
      const own = await this.#own.look(inode, lock);
      if (own !== undefined) return own.found;
      const generation = await this.#holder.ready();
      const { backing } = this.#holder;
      if (backing?.kind === 'local') await Promise.all([backing.grace, this.#holder.relocked()]);
      const found = await this.#holder.do('getlk', inode, lock);
      if (generation === this.#holder.generation) return found;
    }
  }

  /**
   * What closes that came before give back of an inode: the kernel does not let a close wait for it, but a program that has closed a file expects
   * its locks to be gone.
   */
  #releasesOf(inode: number): Promise<unknown> | undefined {
    const releases = [...this.#underWay].flatMap(([through, of]) => (of === inode ? [through] : []));
    return releases.length === 0 ? undefined : Promise.all(releases);
  }

  /** False: the lease moved or lapsed meanwhile, so the answer may come from a table of locks that nobody asks any more. */
  async #take(inode: number, lock: FileLock, wait: boolean, signal: AbortSignal | undefined): Promise<boolean> {
    const generation = await this.#holder.ready();
    const { backing, moved } = this.#holder;
    const counts = (): boolean => generation === this.#holder.generation && this.#holder.usable;
    try {
      if (backing?.kind === 'local') {
        await Promise.all([backing.grace, this.#holder.relocked()]);
        if (!counts()) return false;
        await backing.volume.setlk(inode, lock, wait, signal === undefined ? moved : AbortSignal.any([signal, moved]));
      } else if (!(await this.#own.take(inode, lock, wait))) await this.#holder.callIn(generation, 'setlk', [inode, lock, wait], undefined, signal);
    } catch (error) {
      if (counts() || signal?.aborted === true) throw error;
      return false;
    }
    return counts();
  }

  /** The owner has closed the file, and with that knows of no lock of it any more. */
  forgetLost(inode: number, kind: FileLock['kind'], owner: LockOwner): void {
    this.#lost.forget(inode, unlockAll(kind, this.global(owner)));
  }

  /** True where a close must say what it gives back. */
  has(inode: number, kind: FileLock['kind'], owner: LockOwner): boolean {
    return this.#held.has(inode, kind, this.global(owner));
  }

  /**
   * A close gives back whatever the owner has.
   * @param settle makes durable what the locks protect.
   * @param close tells the host, if this one did not grant the locks; false: it could not tell of the locks.
   */
  closed(
    inode: number,
    kind: FileLock['kind'],
    owner: LockOwner,
    settle: () => Promise<void>,
    close: (isOwn: boolean) => Promise<boolean>,
  ): Promise<void> {
    const all = unlockAll(kind, this.global(owner));
    this.#lost.forget(inode, all);
    return this.#giveBack(inode, all, async () => {
      await settle();
      // Not after the host is told that it is closed: where this one just says which locks of the file it had granted, they would be there for good that came behind that.
      const isOwn = await this.#own.release(inode, all);
      if (!(await close(isOwn)) && !isOwn) await this.#unlock(inode, all);
    });
  }

  /**
   * The kernel does not wait for a release before it gives the owner's number, a recycled address, to the next file: a lock of the same owner must not
   * be taken before the release of the old one is through, or it would be released with it. And it says it once: what fails is tried until the host has heard.
   */
  async #giveBack(inode: number, unlock: FileLock, tell: () => Promise<void>): Promise<void> {
    this.#held.note(inode, unlock);
    const key = keyOf(unlock);
    const told = this.#tell(this.#releases.get(key), tell);
    const through = told.then(({ heard }) => (heard ? undefined : this.#undelivered.add(() => this.#unlockLate(inode, unlock))));
    this.#releases.set(key, through);
    this.#underWay.set(through, inode);
    void through.then(() => {
      this.#underWay.delete(through);
      if (this.#releases.get(key) === through) this.#releases.delete(key);
    });
    const { failure } = await told;
    if (failure !== undefined) throw failure.error;
  }

  /** What a lock protected is durable before another may take it: it must not be undone by the loss of this host. What cannot be made durable keeps no lock for ever. */
  async #tell(before: Promise<void> | undefined, tell: () => Promise<void>): Promise<Told> {
    let failure: Told['failure'];
    try {
      await inTime(before);
      await this.#holder.ready();
      try {
        await this.#holder.local?.syncfs();
      } catch (error) {
        failure = { error };
      }
      await tell();
    } catch (error) {
      return { heard: false, failure: failure ?? { error } };
    }
    return failure === undefined ? { heard: true } : { heard: true, failure };
  }

  async #unlock(inode: number, unlock: FileLock): Promise<void> {
    if (!(await this.#own.release(inode, unlock))) await this.#holder.call('setlk', [inode, unlock, false]);
  }

  async #unlockLate(inode: number, unlock: FileLock): Promise<void> {
    if (!this.#holder.usable) throw new InfinitError('unavailable', 'no host serves the volume');
    try {
      await this.#holder.local?.syncfs();
    } catch {
      // Whoever closed the file was told, or will be by its next sync.
    }
    await this.#unlock(inode, unlock);
  }
}

function lostLock(): FileSystemError {
  return new FileSystemError(
    'EIO',
    'a lock was lost: another host’s program had it meanwhile, and the program that had it here has not given it back',
  );
}

function keyOf({ kind, owner }: FileLock): string {
  return `${kind} ${owner}`;
}

/** Waits for a release that came before, no longer than an operation waits for a host. */
async function inTime(before: Promise<unknown> | undefined): Promise<void> {
  if (before === undefined) return;
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new InfinitError('unavailable', 'what was locked before is not given back yet')), programPatienceMs);
  try {
    await Promise.race([before, promise]);
  } finally {
    clearTimeout(timer);
  }
}
