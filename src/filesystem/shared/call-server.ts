import { InfinitError, RecentMap } from '../../base/index.ts';
import type { Volume } from '../volume.ts';
import { type Attributes, type DirectoryEntry, type FileLock, type FileSystem, FileSystemError, type LockOwner } from '../file-system.ts';
import type { Appends } from './appends.ts';
import { type CallTag, decodeCall, Dismissed, encodeFailure, encodeResult, type SharedCall, type SharedMethod } from './calls.ts';
import type { LockGrace } from './lock-grace.ts';
import { LookedUp } from './looked-up.ts';
import { Outcomes } from './outcomes.ts';
import { type Shown, shownBy } from './shown.ts';

/** Makes what is shown durable; undefined where it is. Resolves to the inodes of which that failed. */
type Keep = (shown: Shown) => Promise<ReadonlyMap<number, unknown>> | undefined;

/** Handles that one other host may have open. */
const defaultMaxHandles = 100_000;
/** Askers of one other host whose calls' outcomes are remembered: the kernel, this process, and a few before. */
const maxAskers = 8;
/** How long a call waits for a lock, in ms; then the asker asks again. So no wait outlives the one who waits by more. */
const lockWaitMs = 1000;

/** Operations that open something. */
const opens: ReadonlySet<SharedMethod> = new Set(['open', 'opendir', 'create', 'tmpfile']);

/** Operations whose answer is an entry, with a kernel reference. */
const givesEntry: ReadonlySet<SharedMethod> = new Set(['lookup', 'mknod', 'mkdir', 'symlink', 'link']);

/** Operations that take names away. Whoever asks for one looked the names up for that. */
const removes: ReadonlySet<SharedMethod> = new Set(['unlink', 'rmdir', 'rename']);

/** What a host begins with wherever the volume was opened: then it opens its files again. */
const greets: ReadonlySet<SharedMethod> = new Set(['relock', 'relocked', 'rejoin']);

/** A volume that is open on this host. */
type ServedVolume = FileSystem & Pick<Volume, 'expect'>;

interface GuestHandle {
  readonly inode: number;
  readonly directory: boolean;
}

/** What another host has open and locked here. */
class Guest {
  readonly handles = new Map<number, GuestHandle>();
  /** Every (inode, owner) that took a lock and did not close the file since; a release of none is harmless. */
  readonly owners = new Map<string, { readonly inode: number; readonly kind: FileLock['kind']; readonly owner: LockOwner }>();
  /** Where its programs have the volume mounted, once it has said so. */
  mount: string | undefined;
  /** Ends its waits for locks. */
  readonly gone = new AbortController();
  /** Its handles were closed: what is opened for it from now on is closed at once. */
  closed = false;
  /** By asker. */
  readonly outcomes: RecentMap<string, Outcomes>;
  readonly lookedUp: LookedUp;

  /** @param outcomes of before it was given up. */
  constructor(expect: ServedVolume['expect'], outcomes = new RecentMap<string, Outcomes>(maxAskers)) {
    this.lookedUp = new LookedUp(expect);
    this.outcomes = outcomes;
  }

  outcomesOf({ asker }: CallTag): Outcomes {
    let outcomes = this.outcomes.get(asker);
    if (outcomes === undefined) this.outcomes.set(asker, (outcomes = new Outcomes()));
    return outcomes;
  }
}

/**
 * Serves other hosts' operations on the volume that is open here. Their changes are written through. What a host has open and locked
 * is let go when it is gone.
 */
export class CallServer {
  readonly #volume: ServedVolume;
  readonly #appends: Appends;
  readonly #keep: Keep;
  readonly #grace: LockGrace;
  readonly #onRemoved: (parent: number, name: string) => void;
  readonly #maxHandles: number;
  readonly #guests = new Map<string, Guest>();
  /** Hosts that do not know yet that they were given up. */
  readonly #dismissed = new Set<string>();
  /** What calls of hosts came to that were given up just now: they may come back, and ask again. */
  readonly #left = new Map<string, Guest['outcomes']>();
  #underWay = 0;
  #idle: (() => void) | undefined;

  /**
   * @param keep makes durable what a guest is about to see.
   * @param grace until then only locks that were held before are given.
   * @param onRemoved told of each name that a guest took away or gave to something else: this host's kernel may know it.
   */
  constructor(
    volume: ServedVolume,
    appends: Appends,
    keep: Keep,
    grace: LockGrace,
    onRemoved: (parent: number, name: string) => void,
    maxHandles = defaultMaxHandles,
  ) {
    this.#volume = volume;
    this.#appends = appends;
    this.#keep = keep;
    this.#grace = grace;
    this.#onRemoved = onRemoved;
    this.#maxHandles = maxHandles;
  }

  /** Answers one call; never rejects: failures are answers too. */
  async serve(peer: string, bytes: Uint8Array): Promise<Uint8Array> {
    this.#underWay++;
    try {
      const call = decodeCall(bytes);
      const result = await this.#perform(peer, call);
      return encodeResult(result, call.tag && this.#guests.get(peer)?.outcomesOf(call.tag).id);
    } catch (error) {
      return encodeFailure(error);
    } finally {
      if (--this.#underWay === 0) this.#idle?.();
    }
  }

  /** Ends waits for locks and resolves when nothing is under way any more: the asker of each knows how it ended. No call may come after. */
  async drain(): Promise<void> {
    for (const { gone, lookedUp } of this.#guests.values()) {
      gone.abort();
      lookedUp.close();
    }
    if (this.#underWay > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  /**
   * The host is gone: its locks are released, since others wait for them.
   * @returns what closes its handles and forgets it, to be called some time later: should it have been cut off only, files without a name that it opens again must be there still.
   */
  async dismiss(peer: string): Promise<() => Promise<void>> {
    const guest = this.#guests.get(peer);
    if (guest === undefined) return () => Promise.resolve();
    this.#guests.delete(peer);
    this.#dismissed.add(peer);
    guest.gone.abort();
    const { outcomes } = guest;
    for (const each of outcomes.values()) each.closeAll();
    this.#left.set(peer, outcomes);
    await this.#unlock(guest);
    return () => {
      if (this.#left.get(peer) === outcomes) this.#left.delete(peer);
      guest.closed = true;
      return this.#letGo(guest);
    };
  }

  async #unlock(guest: Guest): Promise<void> {
    const owners = [...guest.owners.values()];
    guest.owners.clear();
    for (const { inode, kind, owner } of owners)
      await this.#volume.setlk(inode, { kind, type: 'unlock', owner, pid: 0, start: 0, end: Infinity }, false);
  }

  /** A second time where something was opened or locked for a host that was given up meanwhile. */
  async #letGo(guest: Guest): Promise<void> {
    guest.lookedUp.close();
    await this.#unlock(guest);
    const handles = [...guest.handles];
    guest.handles.clear();
    for (const [handle, known] of handles) await this.#close(handle, known);
  }

  async #closeAgain(guest: Guest, method: SharedMethod, tag: CallTag | undefined, result: unknown): Promise<void> {
    const handle = typeof result === 'number' ? result : (result as { handle: number }).handle;
    const known = guest.handles.get(handle);
    if (known === undefined) return;
    guest.handles.delete(handle);
    if (tag !== undefined) guest.outcomesOf(tag).close(method, tag);
    await this.#close(handle, known);
  }

  async #close(handle: number, { inode, directory }: GuestHandle): Promise<void> {
    if (directory) await this.#volume.releasedir(inode, handle);
    else await this.#volume.release(inode, handle);
  }

  async #perform(peer: string, { method, args, tag }: SharedCall): Promise<unknown> {
    if (method === 'rejoin') this.#dismissed.delete(peer);
    // One that has not greeted this table of locks may have been a guest of the one before: the numbers of its handles mean nothing here.
    if (this.#dismissed.has(peer) || !(this.#guests.has(peer) || greets.has(method))) throw new Dismissed();
    const guest = this.#guest(peer);
    switch (method) {
      case 'forget':
        // Kernel references of another host are not counted here: what it has open is.
        return undefined;
      case 'read': {
        const slices = await this.#call<readonly Uint8Array[]>(method, args);
        const kept = this.#keepShown(method, args, slices);
        if (kept === undefined) return slices.length === 1 ? slices[0] : Buffer.concat(slices);
        // A local program may write into this memory while the answer waits.
        const shown = Buffer.concat(slices);
        await kept;
        return shown;
      }
      case 'write': {
        const written = await once(guest, method, tag, () => this.#call<number>(method, args));
        await this.#volume.fsync(args[0] as number, args[1] as number, true);
        return written;
      }
      case 'append': {
        const [inode, handle, data, kill] = args as unknown as readonly [number, number, Uint8Array, boolean];
        const written = await once(guest, method, tag, () => this.#appends.append(inode, handle, data, kill));
        await this.#volume.fsync(inode, handle, true);
        return written;
      }
      case 'setlk': {
        const [inode, lock, wait] = args as unknown as readonly [number, FileLock, boolean];
        if (lock.type !== 'unlock') await this.#grace.over;
        return this.#lock(guest, inode, lock, wait);
      }
      case 'relock':
        return this.#lock(guest, args[0] as number, args[1] as FileLock, false);
      case 'relocked':
        await this.#isOf(peer, guest, args[0] as string | undefined);
        return this.#grace.heard(peer);
      case 'rejoin':
        return undefined;
      default: {
        let result: unknown;
        if (removes.has(method)) guest.lookedUp.clear();
        try {
          if (opens.has(method)) this.#requireRoom(guest);
          result = await once(
            guest,
            method,
            tag,
            async () => {
              const made = await this.#call<unknown>(method, args);
              this.#account(guest, method, args, made);
              this.#tellRemoved(method, args);
              if (method === 'lookup' && made !== undefined) guest.lookedUp.add((made as Attributes).inode);
              this.#forgetReferences(method, made);
              return made;
            },
            opens.has(method),
          );
        } catch (error) {
          await this.#keepShown(method, args, undefined);
          throw error;
        }
        if (guest.closed) await this.#letGo(guest);
        try {
          await this.#keepShown(method, args, result);
        } catch (error) {
          // Who is told of a failure closes nothing.
          if (opens.has(method)) await this.#closeAgain(guest, method, tag, result);
          throw error;
        }
        return method === 'readdir' ? this.#keepEntries(result as readonly DirectoryEntry[]) : result;
      }
    }
  }

  /**
   * What a guest is about to see, and so what it changed, must not be undone by the loss of this host: a read never goes backwards. After the operation:
   * what a local program did while it waited may be in the answer. Nothing else is waited for, and what else does not fit on a full disk is no failure here.
   */
  #keepShown(method: SharedMethod, args: readonly unknown[], result: unknown): Promise<void> | undefined {
    const shown = shownBy(method, args, result);
    const kept = shown && this.#keep(shown);
    return kept?.then((failed) => {
      for (const error of failed.values()) throw error;
    });
  }

  /** Entries come without the attributes that cannot be made durable: who wants those asks for them, and hears why. */
  async #keepEntries(entries: readonly DirectoryEntry[]): Promise<readonly DirectoryEntry[]> {
    const failed = await this.#keep({ inodes: entries.flatMap(({ attributes }) => attributes?.inode ?? []), names: [] });
    if (failed === undefined || failed.size === 0) return entries;
    return entries.map((entry) =>
      failed.has(entry.inode) ? { name: entry.name, inode: entry.inode, type: entry.type, cookie: entry.cookie } : entry,
    );
  }

  /** The volume counts a kernel reference for each entry that it gives out. A guest's kernel is not heard of here: what it has open is. */
  #forgetReferences(method: SharedMethod, result: unknown): void {
    if (method === 'readdir') {
      for (const { attributes } of result as readonly DirectoryEntry[]) if (attributes !== undefined) this.#volume.forget(attributes.inode, 1);
    } else if (givesEntry.has(method) && result !== undefined) {
      this.#volume.forget((result as Attributes).inode, 1);
    } else if (method === 'create' || method === 'tmpfile') {
      this.#volume.forget((result as { attributes: Attributes }).attributes.inode, 1);
    }
  }

  async #call<T>(method: Exclude<SharedMethod, 'append' | 'relock' | 'relocked' | 'rejoin'>, args: readonly unknown[]): Promise<T> {
    const operation = this.#volume[method] as (...values: readonly unknown[]) => T | Promise<T>;
    return operation.apply(this.#volume, [...args]);
  }

  async #lock(guest: Guest, inode: number, lock: FileLock, wait: boolean): Promise<void> {
    if (guest.gone.signal.aborted) throw new Dismissed();
    guest.owners.set(ownerKey(inode, lock.kind, lock.owner), { inode, kind: lock.kind, owner: lock.owner });
    if (!wait) {
      await this.#volume.setlk(inode, lock, false);
      if (lock.type === 'unlock' && lock.start === 0 && lock.end === Infinity) guest.owners.delete(ownerKey(inode, lock.kind, lock.owner));
      return;
    }
    const end = AbortSignal.timeout(lockWaitMs);
    try {
      await this.#volume.setlk(inode, lock, true, AbortSignal.any([end, guest.gone.signal]));
    } catch (error) {
      const inTheWay = error instanceof FileSystemError && error.errno === 'EINTR';
      throw inTheWay ? new FileSystemError('EAGAIN') : error;
    }
  }

  #tellRemoved(method: SharedMethod, args: readonly unknown[]): void {
    if (!removes.has(method)) return;
    this.#onRemoved(args[0] as number, args[1] as string);
    if (method === 'rename') this.#onRemoved(args[2] as number, args[3] as string);
  }

  #account(guest: Guest, method: SharedMethod, args: readonly unknown[], result: unknown): void {
    const inode = args[0] as number;
    switch (method) {
      case 'open':
      case 'opendir':
        guest.handles.set(result as number, { inode, directory: method === 'opendir' });
        break;
      case 'create':
      case 'tmpfile': {
        const { attributes, handle } = result as { attributes: { inode: number }; handle: number };
        guest.handles.set(handle, { inode: attributes.inode, directory: false });
        break;
      }
      case 'release':
      case 'releasedir':
        guest.handles.delete(args[1] as number);
        if (args[2] !== undefined) guest.owners.delete(ownerKey(inode, 'flock', args[2] as string));
        break;
      case 'flush':
        guest.owners.delete(ownerKey(inode, 'posix', args[2] as string));
        break;
    }
  }

  readonly #expect: ServedVolume['expect'] = (inode) => this.#volume.expect(inode);

  #guest(peer: string): Guest {
    let guest = this.#guests.get(peer);
    if (guest === undefined) {
      this.#guests.set(peer, (guest = new Guest(this.#expect, this.#left.get(peer))));
      this.#left.delete(peer);
    }
    return guest;
  }

  /** The programs of a mount that is no more are dead, and no kernel is left that would close and unlock for them. */
  async #isOf(peer: string, guest: Guest, mount: string | undefined): Promise<void> {
    if (mount === undefined || guest.mount === mount) return;
    if (guest.mount === undefined) {
      guest.mount = mount;
      return;
    }
    const next = new Guest(this.#expect);
    next.mount = mount;
    this.#guests.set(peer, next);
    guest.gone.abort();
    await this.#letGo(guest);
  }

  #requireRoom(guest: Guest): void {
    if (guest.handles.size >= this.#maxHandles) throw new InfinitError('overloaded', `one host has ${this.#maxHandles} files open on this volume`);
  }
}

/** What was done once is not done again; it is made durable again, since that may be what failed. */
function once<T>(guest: Guest, method: SharedMethod, tag: CallTag | undefined, perform: () => Promise<T>, opening = false): Promise<T> {
  return tag === undefined ? perform() : guest.outcomesOf(tag).once(method, tag, perform, opening);
}

function ownerKey(inode: number, kind: FileLock['kind'], owner: LockOwner): string {
  return `${inode} ${kind} ${owner}`;
}
