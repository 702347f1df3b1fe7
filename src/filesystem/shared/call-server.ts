import { randomUUID } from 'node:crypto';

import { InfinitError } from '../../base/index.ts';
import type { Volume } from '../volume.ts';
import { type Attributes, type Created, type DirectoryEntry, type FileLock, type FileSystem } from '../file-system.ts';
import { askedBy } from '../miss.ts';
import type { DoneCall } from '../journal/call-table.ts';
import { type CallTag, decodeCall, Dismissed, encodeFailure, encodeResult, type OwnMethod, type SharedCall, type SharedMethod } from './calls.ts';
import { answerOf, isRecorded, takesNames } from './done-calls.ts';
import { effectsOf, givesEntry, opens, removes } from './effects.ts';
import type { Grants } from './grants.ts';
import { account, closeAgain, type Guest, letGo, once, unlock } from './guest.ts';
import { Guests } from './guests.ts';
import { type Keep, KeptAnswers } from './kept-answers.ts';
import type { LockGrace } from './lock-grace.ts';
import { LookedUp } from './looked-up.ts';
import { RecordedCalls } from './recorded-calls.ts';
import { type ReturnedLocks, ServedLocks } from './served-locks.ts';
import { type PutArguments, Showing, type Told } from './showing.ts';

/** Handles that one other host may have open. */
const defaultMaxHandles = 100_000;
/** How long what a guest may have open without having said so stays, once it was not heard, in ms: as long as what a lost host had open. */
const unsaidMs = 20_000;

/** Operations after which another host's pages of a file may be old. */
const changesFile: ReadonlySet<SharedMethod> = new Set(['write', 'writeMapped', 'append', 'setattr', 'fallocate', 'copyFileRange', 'open', 'borrow']);

/** Of these the volume's memory of calls is told with the answer, though they are no calls that it remembers. */
const tellsOfCalls: ReadonlySet<SharedMethod> = new Set(['made', 'relocked']);

/** A volume that is open on this host. */
type ServedVolume = FileSystem &
  Pick<Volume, 'append' | 'calls' | 'callOutcome' | 'dropPages' | 'entry' | 'expect' | 'images' | 'isMade' | 'lending' | 'locks' | 'remake'>;

/** What a volume itself does. */
type VolumeMethod = Exclude<SharedMethod, Exclude<OwnMethod, 'remake'>>;

/**
 * Serves other hosts' operations on the volume that is open here. Their changes are written through. What a host has open and locked
 * is let go when it is gone.
 */
export class CallServer {
  /** Which opening of the volume this is. */
  readonly #opening = randomUUID();
  readonly #volume: ServedVolume;
  readonly #kept: KeptAnswers;
  readonly #grace: LockGrace;
  readonly #onRemoved: (parent: number, name: string) => void;
  readonly #maxHandles: number;
  /** Where guests may keep something in memory. */
  readonly #showing: Showing | undefined;
  readonly #grants: Grants | undefined;
  readonly #locks: ServedLocks;
  /** What lost guests may have open without having said so. */
  readonly #unsaid: LookedUp;
  readonly #guests: Guests;
  readonly #recorded: RecordedCalls;
  #underWay = 0;
  #idle: (() => void) | undefined;

  /**
   * @param keep makes durable what a guest is about to see.
   * @param grace until then only locks that were held before are given.
   * @param onRemoved told of each name that a guest took away or gave to something else: this host's kernel may know it.
   * @param grants what guests may keep in memory; absent: nothing.
   */
  constructor(
    volume: ServedVolume,
    keep: Keep,
    grace: LockGrace,
    onRemoved: (parent: number, name: string) => void,
    grants?: Grants,
    maxHandles = defaultMaxHandles,
  ) {
    this.#volume = volume;
    this.#recorded = new RecordedCalls(volume);
    this.#kept = new KeptAnswers(keep);
    this.#grace = grace;
    this.#onRemoved = onRemoved;
    this.#maxHandles = maxHandles;
    this.#grants = grants;
    this.#locks = new ServedLocks({ volume, grace, lent: grants?.lentLocks, silent: grants?.silent, mapped: grants?.mapped });
    this.#showing = grants === undefined ? undefined : new Showing(volume, grants, keep);
    const expect: ServedVolume['expect'] = (inode) => volume.expect(inode);
    this.#unsaid = new LookedUp(expect, unsaidMs);
    this.#guests = new Guests(expect);
  }

  /** Answers one call; never rejects: failures are answers too. */
  async serve(peer: string, bytes: Uint8Array): Promise<Uint8Array> {
    this.#underWay++;
    try {
      const call = decodeCall(bytes);
      const told: Told = { images: [], directories: [] };
      const { method, args, tag } = call;
      const { calls } = this.#volume;
      // Here: in the middle of the call it would not be known any more whose it is.
      if (takesNames.has(method)) await this.#grace.names?.over;
      const guest = this.#guests.admit(peer, call);
      const { signal } = guest.gone;
      const requireIn = (): void => {
        if (signal.aborted) throw new Dismissed();
      };
      if (tag?.answered !== undefined) calls.answered(tag.asker, tag.answered);
      const asker = this.#showing?.begins(peer, method, args, tag?.gave ?? []);
      let result: unknown;
      try {
        result = await askedBy({ asker, peer, call: this.#recorded.nameOf(peer, call), requireIn }, () => this.#perform(peer, guest, call, told));
      } finally {
        if (changesFile.has(method)) await this.#dropPages(method, args);
      }
      const memory = tag && this.#guests.get(peer)?.outcomesOf(tag).id;
      return encodeResult(
        result,
        memory,
        this.#showing?.granted(peer, told),
        tag !== undefined || tellsOfCalls.has(method) ? calls.memory : undefined,
      );
    } catch (error) {
      return encodeFailure(error);
    } finally {
      if (--this.#underWay === 0) this.#idle?.();
    }
  }

  /**
   * This host's kernel may have pages of what a guest changed, or has for itself from now on: whoever reads them asks whether they are right, but that a program maps asks nobody. Not what comes
   * back of a file that was lent: since it was, the kernel has got none.
   */
  async #dropPages(method: SharedMethod, args: readonly unknown[]): Promise<void> {
    for (const inode of effectsOf(method, args)?.inodes ?? []) await this.#volume.dropPages(inode);
  }

  /** Hosts that a holder before this one had given up, and who may not know. @param onGreeted told of each that knows which locks it has. */
  knowLost(peers: readonly string[], onGreeted: (peer: string) => void): void {
    this.#locks.knowLost(peers, onGreeted);
  }

  /** Ends waits for locks and resolves when nothing is under way any more: the asker of each knows how it ended. No call may come after. */
  async drain(): Promise<void> {
    for (const { gone, lookedUp } of this.#guests.all()) {
      gone.abort();
      lookedUp.close();
    }
    this.#unsaid.close();
    if (this.#underWay > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  /** A guest does not have the inode in memory any more; its programs may be about to open it or, where it was not heard, have it open. */
  givenUp(peer: string, inode: number, lapsed: boolean): void {
    if (lapsed) this.#unsaid.add(inode);
    else this.#guests.get(peer)?.lookedUp.add(inode);
  }

  /**
   * The host is gone: its locks are released, since others wait for them.
   * @returns what closes its handles and forgets it, to be called some time later: should it have been cut off only, files without a name that it opens again must be there still.
   */
  async dismiss(peer: string): Promise<() => Promise<void>> {
    this.#grants?.forget(peer);
    this.#grants?.loans.lapse(peer);
    const guest = this.#guests.dismiss(peer);
    if (guest === undefined) return () => Promise.resolve();
    // First: who waits has a lock as soon as it is free, and that counts as had meanwhile.
    this.#locks.remember(peer, guest);
    await unlock(this.#volume, guest);
    this.#locks.lost(peer);
    return () => {
      this.#guests.forget(peer, guest);
      guest.closed = true;
      return letGo(this.#volume, guest);
    };
  }

  async #perform(peer: string, guest: Guest, { method, args, tag }: SharedCall, told: Told): Promise<unknown> {
    switch (method) {
      case 'forget':
        // Kernel references of another host are not counted here: what it has open is.
        return undefined;
      case 'read':
        return this.#kept.bytes(args, await this.#call<readonly Uint8Array[]>(method, args));
      case 'write':
      case 'writeMapped': {
        const written = await once(guest, method, tag, () => this.#call<number>(method, args));
        await this.#volume.fsync(args[0] as number, args[1] as number, true);
        await this.#tellChanged(peer, told, method, args, written);
        return written;
      }
      case 'append': {
        const [inode, handle, data, kill] = args as unknown as readonly [number, number, Uint8Array, boolean];
        const append = (): Promise<number> => this.#recorded.making(tag, async () => this.#volume.append(inode, handle, data, kill));
        const written = await once(guest, method, tag, append, false, () => this.#recorded.included(method, args, tag, append));
        await this.#volume.fsync(inode, handle, true);
        await this.#tellChanged(peer, told, method, args, written);
        return written;
      }
      case 'setlk':
        return this.#locks.set(guest, ...(args as unknown as readonly [number, FileLock, boolean]));
      case 'getlk':
        return this.#locks.look(...(args as unknown as readonly [number, FileLock]));
      case 'borrowLocks':
        return this.#showing?.isKeeper(peer) === true ? this.#locks.lend(peer, guest, args[0] as number) : undefined;
      case 'returnLocks':
        return this.#locks.takeBack(peer, guest, args as unknown as ReturnedLocks);
      case 'relock':
        await this.#locks.setAgain(peer, guest, args[0] as number, args[1] as FileLock);
        return this.#opening;
      case 'relocked':
        // The locks were told to one before, at this host: it would have none here, and others would not wait for it.
        if (args[2] !== undefined && args[2] !== this.#opening) throw new Dismissed();
        // At once: the guest may be lent locks as soon as it has an answer to this.
        this.#locks.saidAll(peer, guest, args[1] as string | undefined);
        await this.#isOf(peer, guest, args[0] as string | undefined);
        return this.#grace.heard(peer);
      case 'rejoin':
        return guest.term === undefined ? undefined : true;
      case 'made': {
        const isMade = await this.#volume.isMade(args[0] as number);
        if (isMade) await this.#kept.both({ inodes: [args[0] as number], names: [] });
        return isMade;
      }
      case 'renew':
        this.#requireShowing().renew(peer, args[0] as boolean);
        return undefined;
      case 'look': {
        const found = await this.#requireShowing().look(peer, told, args[0] as number, args[1] as string);
        // What it has in memory is asked back before it goes.
        if (found !== undefined && this.#grants?.holds(peer, found.inode) !== true) guest.lookedUp.add(found.inode);
        return found;
      }
      case 'images':
        return this.#requireShowing().images(peer, told, args[0] as readonly number[], args[1] as number);
      case 'listing':
        return this.#requireShowing().listing(peer, told, args[0] as number, args[1] as number);
      case 'borrow':
        await this.#requireShowing().lend(peer, told, args[0] as number);
        // It is told what it is with that.
        if (told.lent !== undefined) await this.#kept.both({ inodes: [args[0] as number], names: [] });
        return undefined;
      case 'put':
        await this.#requireShowing().take(peer, guest, args as unknown as PutArguments, tag);
        return args[3] === true ? this.#tellChanged(peer, told, method, args, undefined) : undefined;
      case 'readLent':
        return this.#requireShowing().readLent(peer, args as unknown as readonly [number, string, number, number]);
      case 'mapped':
        if (this.#grants === undefined) throw new InfinitError('bad-argument', 'nobody notes here who changes files');
        return this.#grants.mapped.name(peer, args[0] as number);
      case 'stored':
        return this.#requireShowing().stored(peer, told, args[0] as number, args[1] as number, args[2] as number);
      default: {
        let result: unknown;
        if (removes.has(method)) guest.lookedUp.clear();
        try {
          if (opens.has(method)) this.#requireRoom(guest);
          const perform = async (done?: DoneCall): Promise<unknown> => {
            const made = await (done === undefined ? this.#callOnce(method, args, tag) : answerOf(this.#volume, method, args, done));
            account(guest, method, args, made);
            this.#tellRemoved(method, args);
            if ((method === 'lookup' && made !== undefined) || method === 'remake') guest.lookedUp.add((made as Attributes).inode);
            this.#forgetReferences(method, made);
            return made;
          };
          result = await once(
            guest,
            method,
            tag,
            () => perform(),
            opens.has(method),
            () => this.#recorded.included(method, args, tag, () => perform()) ?? this.#recorded.earlier(method, tag, perform),
          );
        } catch (error) {
          await this.#kept.shown(method, args, undefined);
          throw error;
        }
        if (guest.closed) await letGo(this.#volume, guest);
        try {
          await this.#showing?.changed(peer, told, method, args, result);
          // Its maker sees to it that it is durable before it is closed, and who else looks at it waits for that.
          if (method === 'create' && (result as Created).made === true && this.#showing?.isKeeper(peer) === true)
            await this.#showing.lend(peer, told, (result as Created).attributes.inode);
          else await this.#kept.shown(method, args, result, told);
        } catch (error) {
          // Who is told of a failure closes nothing.
          if (opens.has(method)) await closeAgain(this.#volume, guest, method, tag, result);
          throw error;
        }
        return method === 'readdir' ? this.#kept.entries(result as readonly DirectoryEntry[]) : result;
      }
    }
  }

  /** The guest forgot what it had in memory of what it was about to change: it may have what that is now. */
  async #tellChanged(peer: string, told: Told, method: SharedMethod, args: readonly unknown[], result: unknown): Promise<void> {
    await this.#showing?.changed(peer, told, method, args, result);
    if (told.images.length > 0) await this.#kept.both({ inodes: [], names: [] }, told);
  }

  #requireShowing(): Showing {
    if (this.#showing === undefined) throw new InfinitError('bad-argument', 'nothing of this volume may be kept in memory elsewhere');
    return this.#showing;
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

  #callOnce(method: VolumeMethod, args: readonly unknown[], tag: CallTag | undefined): Promise<unknown> {
    const call = (): Promise<unknown> => this.#call(method, args);
    return isRecorded(method, args) ? this.#recorded.making(tag, call) : call();
  }

  async #call<T>(method: VolumeMethod, args: readonly unknown[]): Promise<T> {
    const operation = this.#volume[method] as (...values: readonly unknown[]) => T | Promise<T>;
    return operation.apply(this.#volume, [...args]);
  }

  #tellRemoved(method: SharedMethod, args: readonly unknown[]): void {
    if (!removes.has(method)) return;
    this.#onRemoved(args[0] as number, args[1] as string);
    if (method === 'rename') this.#onRemoved(args[2] as number, args[3] as string);
  }

  /** The programs of a mount that is no more are dead, and no kernel is left that would close and unlock for them. */
  async #isOf(peer: string, guest: Guest, mount: string | undefined): Promise<void> {
    const before = mount === undefined ? undefined : this.#guests.mounted(peer, guest, mount);
    if (before === undefined) return;
    this.#grants?.mapped.forget(peer);
    await letGo(this.#volume, before);
  }

  #requireRoom(guest: Guest): void {
    if (guest.handles.size >= this.#maxHandles) throw new InfinitError('overloaded', `one host has ${this.#maxHandles} files open on this volume`);
  }
}
