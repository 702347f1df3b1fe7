import { type FileLock, FileSystemError } from '../file-system.ts';
import type { LockHosts } from '../locks/file-locks.ts';
import type { Volume } from '../volume.ts';
import { InfinitError } from '../../base/index.ts';
import { Dismissed } from './calls.ts';
import { type Guest, ownerKey } from './guest.ts';
import type { LentLocks } from './lent-locks.ts';
import type { LockGrace } from './lock-grace.ts';
import type { MappedFiles } from './mapped-files.ts';
import type { SilentHosts } from './silent-hosts.ts';
import { hostOf, TakenMeanwhile } from './taken-meanwhile.ts';

/** How long a call waits for a lock, in ms; then the asker asks again. So no wait outlives the one who waits by more. */
const lockWaitMs = 1000;
/** Likewise, of who must not wait, to know whether the host lives whose program has it. */
const judgeWaitMs = 250;

/** As of `returnLocks`; without locks: it never had them. */
export type ReturnedLocks = readonly [inode: number, id: number, locks: readonly FileLock[] | undefined];

export interface ServedLocksParts {
  readonly volume: Pick<Volume, 'getlk' | 'setlk' | 'locks'>;
  /** Until then only locks that were held before are given. */
  readonly grace: LockGrace;
  /** Where guests may grant locks. */
  readonly lent: LentLocks | undefined;
  readonly silent: SilentHosts | undefined;
  readonly mapped: MappedFiles | undefined;
}

/** What other hosts' programs lock on the volume that is open here. */
export class ServedLocks implements LockHosts {
  readonly #volume: ServedLocksParts['volume'];
  readonly #grace: LockGrace;
  readonly #lent: LentLocks | undefined;
  readonly #silent: SilentHosts | undefined;
  readonly #mapped: MappedFiles | undefined;
  /** Hosts that have said which locks their programs have, and were not lost since. */
  readonly #known = new Set<string>();
  /** Since the volume was opened here. */
  readonly #taken = new TakenMeanwhile();
  /** By host: since it was lost, until it has said which locks its programs have. No more than the cluster has hosts. */
  readonly #takenWithout = new Map<string, TakenMeanwhile>();

  #onGreeted: (peer: string) => void = () => {};

  constructor({ volume, grace, lent, silent, mapped }: ServedLocksParts) {
    this.#volume = volume;
    this.#grace = grace;
    this.#lent = lent;
    this.#silent = silent;
    this.#mapped = mapped;
    volume.locks.shareWith(this);
  }

  /** As of {@link CallServer}. */
  knowLost(peers: readonly string[], onGreeted: (peer: string) => void): void {
    for (const peer of peers) this.#takenWithout.set(peer, TakenMeanwhile.everything());
    this.#onGreeted = onGreeted;
  }

  taken(inode: number, lock: FileLock): void {
    this.#taken.note(inode, lock);
    for (const each of this.#takenWithout.values()) each.note(inode, lock);
    this.free(inode, lock);
  }

  free(inode: number, { owner }: FileLock): void {
    this.#mapped?.locked(inode, hostOf(owner));
  }

  isQuiet(): boolean {
    return this.#silent?.isEmpty === false;
  }

  silence({ owner }: FileLock): Promise<void> | undefined {
    return this.#silent?.of(hostOf(owner));
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

  /** One that was held at the host that served the volume before, or by the process before. @throws FileSystemError EAGAIN where others had it since, or what is in its way. */
  async setAgain(peer: string, guest: Guest, inode: number, lock: FileLock): Promise<void> {
    this.#grace.goesOn(peer);
    if (!this.#known.has(peer) && (this.#takenWithout.get(peer) ?? this.#taken).has(inode, lock))
      throw new FileSystemError('EAGAIN', 'another host’s program had the lock meanwhile');
    const lent = this.#lent;
    const { again } = guest;
    if (lent?.has(peer, inode) === true) {
      this.#own(guest, inode, lock);
      // The process before has given others back, and taken some, that nobody here knows of.
      if (lent.tells(inode)) this.#replace(guest, inode, []);
      await this.#volume.locks.setAgain(inode, lock);
    } else await this.#set(guest, inode, lock, false);
    const key = ownerKey(inode, lock.kind, lock.owner);
    const before = again.get(key);
    if (before === undefined) again.set(key, [lock]);
    else before.push(lock);
  }

  /**
   * Those are all that its programs have.
   * @param process what another one had and this one did not take again was given back, and nobody was told.
   */
  saidAll(peer: string, guest: Guest, process: string | undefined): void {
    for (const inode of this.#lent?.untold(peer) ?? []) this.#replace(guest, inode, []);
    this.#lent?.endAll(peer);
    this.#known.add(peer);
    this.#takenWithout.delete(peer);
    this.#mapped?.heard(peer);
    this.#onGreeted(peer);
    const { again } = guest;
    if (process !== undefined && guest.process !== process) {
      guest.endWaits();
      for (const [key, { inode, kind, owner }] of guest.owners) {
        const isOwner = (each: Pick<FileLock, 'kind' | 'owner'>): boolean => each.kind === kind && each.owner === owner;
        const left = again.get(key);
        this.#volume.locks.replace(inode, isOwner, left ?? []);
        if (left === undefined) guest.owners.delete(key);
      }
    }
    guest.process = process ?? guest.process;
    again.clear();
  }

  /** The guest is lost: what others take from now on it has lost. */
  remember(peer: string, guest: Guest): void {
    this.#mapped?.lost(peer, [...[...guest.owners.values()].map(({ inode }) => inode), ...(this.#lent?.inodesOf(peer) ?? [])]);
    // One that had not said which locks it has was given up before, or had them at the host before: what others took since then counts.
    if (this.#known.delete(peer)) this.#takenWithout.set(peer, new TakenMeanwhile());
  }

  /** What it had is free. */
  lost(peer: string): void {
    this.#lent?.endAll(peer);
    this.#silent?.judged(peer);
  }

  /** The guest grants the locks of the inode from now on, if nobody else uses them. Returns which time that is. */
  async lend(peer: string, guest: Guest, inode: number): Promise<number | undefined> {
    await this.#grace.over;
    if (guest.gone.signal.aborted) throw new Dismissed();
    const isOnly = this.#volume.locks.areOnly(inode, ({ kind, owner }) => guest.owners.has(ownerKey(inode, kind, owner)));
    const id = isOnly ? this.#lent?.lend(peer, inode) : undefined;
    // Which of them its programs take nobody here will know.
    if (id !== undefined)
      for (const kind of ['posix', 'flock'] as const) this.taken(inode, { kind, type: 'write', owner: `@${peer}`, pid: 0, start: 0, end: Infinity });
    return id;
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
    const limit = new AbortController();
    try {
      const taken = this.#volume.setlk(inode, lock, wait, limit.signal);
      if (taken instanceof Promise) await this.#within(wait ? lockWaitMs : judgeWaitMs, limit, guest, taken);
    } catch (error) {
      if (gone.aborted) throw new Dismissed();
      if (!(error instanceof FileSystemError) || error.errno !== 'EINTR') throw error;
      if (wait) throw new FileSystemError('EAGAIN');
      throw new InfinitError('unavailable', 'the host whose program has the lock is not heard');
    }
    if (!wait && lock.type === 'unlock' && lock.start === 0 && lock.end === Infinity) guest.owners.delete(ownerKey(inode, lock.kind, lock.owner));
  }

  async #within(ms: number, limit: AbortController, guest: Guest, taken: Promise<void>): Promise<void> {
    const end = (): void => limit.abort();
    const signals = [guest.gone.signal, guest.waits.signal];
    for (const signal of signals) signal.addEventListener('abort', end, { once: true });
    const timer = setTimeout(end, ms);
    try {
      await taken;
    } finally {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener('abort', end);
    }
  }
}
