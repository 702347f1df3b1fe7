import { setTimeout as sleep } from 'node:timers/promises';
import type { MessagePort } from 'node:worker_threads';

import { codeOf, InfinitError, type Logger, messageOf, type Records, systemClock } from '../../base/index.ts';
import {
  BlockReader,
  CallServer,
  encodeFailure,
  type GrantKey,
  Grants,
  grantTermMs,
  LockGrace,
  ownKernel,
  SharedFileSystem,
  SilentHosts,
  type Unsaid,
  type Volume,
} from '../../filesystem/index.ts';
import type { Sealer } from '../../block/index.ts';
import type { BlockStore } from '../../store/index.ts';
import { PortStore } from '../../store/port/index.ts';
import type { Dirty, DirtySet } from '../volumes/dirty-set.ts';
import { Questions } from '../volumes/questions.ts';
import { Tenure } from './tenure.ts';
import type { OpenCommand, VolumeCommand, VolumeEvent } from '../volumes/volume-worker-protocol.ts';

/** Operations sent to another host and not yet answered. */
const maxAsked = 65_536;
/** How long a mount that ends waits for what other hosts have asked, in ms. */
const drainMs = 10_000;

/** After the volume came here, locks are given only when those who have some took them again. For a host in reach that does not so long is waited once the volume is open, in ms. */
const lockGraceMs = 2500;
/** As long names are made only for those who had been told of them, in ms. */
const nameGraceMs = 1000;
/** For so long after its death guests may have what a daemon before this one granted, in ms, by clocks that run faster or slower. */
const earlierGrantsMs = grantTermMs * 1.05;
/** What a lost host had open stays so for so long after its locks were released, in ms. */
const lingerMs = 20_000;

/** Opens the volume on a store that takes writes for as long as what is opened may be used; `onOvertaken`, `inherits` and `askedBefore` as in a volume's setup. */
export type OpenVolume = (store: BlockStore, session: number, onOvertaken: () => void, inherits: boolean, askedBefore: boolean) => Promise<Volume>;

/** What the thread of a volume gives its {@link SharedRole}. */
export interface SharedRoleParts {
  /** This host's peer id. */
  readonly self: string;
  readonly volumeId: string;
  readonly sealer: Sealer;
  readonly open: OpenVolume;
  readonly tell: (event: VolumeEvent) => void;
  readonly logger: Logger;
  /** What is not durable, as the next daemon will find it and the one before left it. */
  readonly dirty: Dirty;
  /** As of {@link SharedOptions}. */
  readonly records?: Records | undefined;
  readonly mount?: string | undefined;
  readonly unsaid?: Unsaid | undefined;
}

/** In a volume's worker: what the volume's lease makes of this host, its holder or a guest of another. */
export class SharedRole implements Disposable {
  readonly fileSystem: SharedFileSystem;
  readonly #open: OpenVolume;
  /** Programs may have been answered for already: by another host, or by this one. */
  #hasServed = false;
  readonly #tell: (event: VolumeEvent) => void;
  readonly #logger: Logger;
  readonly #sealer: Sealer;
  readonly #volumeId: string;
  readonly #self: string;
  /** Operations that the host asks for which serves the volume. */
  readonly #asked = new Questions<Uint8Array>();
  readonly #recalls = new Questions<void>();
  readonly #unheard = new Questions<void>();
  /** When this thread began, by the machine's clock. */
  readonly #begunMs = systemClock.monotonicMs();
  /** What guests may have in memory of what is open here, or was last. */
  #grants: Grants | undefined;
  readonly #dirty: DirtySet;
  /** What the daemon before had not made durable, until it is known whether that outlived it; undefined: it is. */
  #left: ReadonlySet<number> | undefined;
  /** There was no room to note all of that. */
  readonly #isLeftIncomplete: boolean;
  /** While what a daemon before wrote comes into the volume that is open here: what of it is in memory. */
  #taken: Set<number> | undefined;
  #volume: Volume | undefined;
  /** Until when what is open here may be used. */
  #tenure = new Tenure();
  /** Its way to the block store. */
  #way: MessagePort | undefined;
  /** What was open here before and still finishes a write. */
  #leaving: Promise<void> | undefined;
  #server: CallServer | undefined;
  readonly #silent = new SilentHosts();
  /** The mount ends: an opening that is under way serves nobody else. */
  #closing = false;
  /** Counts changes of the role: an opening that took too long must not bring an old one back. */
  #change = 0;
  /** The kernel may have cached what other hosts must not be let in beside: no other one uses the volume, or none did under the daemon before. */
  #caches = false;
  /** The kernel may have pages that are older than what others wrote. */
  #hasStale = false;
  /** The role in which that was said last, perhaps before the volume was open; undefined: others came since. */
  #aloneIn: number | undefined;
  /** While what the kernel cached goes, before another host's first operation. */
  #letting: Promise<void> | undefined;

  constructor({
    self,
    volumeId,
    sealer,
    open,
    tell,
    logger,
    dirty: { set: dirty, left, lost, incomplete },
    records,
    mount,
    unsaid,
  }: SharedRoleParts) {
    this.#sealer = sealer;
    this.#self = self;
    this.#volumeId = volumeId;
    this.fileSystem = new SharedFileSystem(self, () => this.#tenure.leftMs(systemClock) > 0, {
      onSaid: (inode) => dirty.said(inode),
      onFenced: (notice) => tell({ type: 'fenced', notice }),
      records,
      mount,
      clock: systemClock,
      written: {
        onDirty: (inode) => dirty.add(inode),
        onClean: (inode) => (this.#taken === undefined ? dirty.delete(inode) : void this.#taken.add(inode)),
        onLost: (inode) => dirty.lose([inode]),
      },
      unsaid,
    });
    this.#dirty = dirty;
    this.#isLeftIncomplete = incomplete;
    // What was lost with a killed daemon is said here and not by the volume, which may be opened many times.
    this.fileSystem.inheritLost(lost);
    const unsaidLeft = new Set(this.fileSystem.leftUnsaid());
    this.#left = new Set([...left].filter((inode) => !lost.has(inode) && !unsaidLeft.has(inode)));
    this.#open = open;
    this.#tell = tell;
    this.#logger = logger;
  }

  hear(command: VolumeCommand): void {
    switch (command.type) {
      case 'holder':
        void this.#becomeHolder(command);
        break;
      case 'guest':
        void this.#becomeGuest(command.store);
        break;
      case 'alone':
        this.#aloneIn = this.#change;
        if (this.#server !== undefined && this.#letting === undefined) this.#beginAlone();
        break;
      case 'serve':
        void this.#serve(command.id, command.peer, command.call);
        break;
      case 'recall':
        this.fileSystem.recall(command.keys).then(
          () => this.#tell({ type: 'recalled', id: command.id }),
          // What was written here cannot be said at present: it is as if this host had not been heard.
          () => {},
        );
        break;
      case 'given-up':
        if (command.heard) this.#recalls.answered(command.id, undefined);
        else this.#recalls.failed(command.id, new InfinitError('unavailable', 'the guest was not heard'));
        break;
      case 'noted':
        this.#unheard.answered(command.id, undefined);
        break;
      case 'dismiss':
        this.#dismiss(command.peer).catch((error: unknown) => this.#logger.warn('what a lost host had open is not all closed', { error }));
        break;
      case 'silence':
        this.#silent[command.over ? 'judged' : 'fell'](command.peer);
        break;
      case 'answer':
        if ('answer' in command) this.#asked.answered(command.id, command.answer);
        else this.#asked.failed(command.id, new InfinitError(command.code, command.message));
        break;
    }
  }

  async #dismiss(peer: string): Promise<void> {
    const server = this.#server;
    const closeHandles = await server?.dismiss(peer);
    this.#silent.judged(peer);
    await sleep(lingerMs, undefined, { ref: false });
    if (server === this.#server) await closeHandles?.();
  }

  /** The volume where it is open here and the lease is good. */
  get volume(): Volume | undefined {
    return this.fileSystem.local === undefined ? undefined : this.#volume;
  }

  /** What is in memory here is written out; what a guest's programs wrote is said where the volume is open. @throws InfinitError where the lease does not allow it now. */
  async syncfs(): Promise<void> {
    if (this.#volume === undefined) return this.fileSystem.settle();
    if (this.fileSystem.local === undefined) throw new InfinitError('unavailable', 'the lease of the volume cannot be renewed');
    await this.#volume.syncfs();
  }

  async #becomeGuest(port: MessagePort): Promise<void> {
    const expired = this.#leave();
    this.#way = port;
    // What others see by now is without it.
    this.#settleLeft(undefined);
    const change = this.#change;
    if (expired !== undefined) {
      this.fileSystem.setBacking(undefined);
      await expired;
      if (change !== this.#change) return;
    }
    const store = new PortStore(port);
    const blocks = new BlockReader(store, this.#sealer);
    const writes = { store, sealer: this.#sealer, volumeId: this.#volumeId, logger: this.#logger };
    this.#hasServed = true;
    this.fileSystem.setBacking({ kind: 'remote', ask: (call) => this.#ask(call), blocks, writes });
  }

  async #becomeHolder({ session, awaited, lost, dismissed = [], alone, inherited, store: port, tenure }: OpenCommand): Promise<void> {
    const expired = this.#leave();
    const change = this.#change;
    const began = performance.now();
    this.fileSystem.setBacking(undefined);
    this.#tenure = new Tenure(tenure);
    this.#way = port;
    try {
      await this.#leaving;
      // What the kernel was told of what was open before must not be believed beside what is open now.
      await expired;
      const inherits = this.#left !== undefined;
      const volume = await this.#open(new PortStore(port), session, () => this.#overtaken(change, session), inherits, this.#hasServed);
      if (change !== this.#change) return void volume.abandon();
      this.#settleLeft(volume);
      this.#volume = volume;
      this.#caches = volume.kernelPages !== 'shared';
      this.#notePages();
      const grace = new LockGrace(
        [
          ...[this.#self, ...awaited].map((peer) => ({ peer, ms: lockGraceMs })),
          // These come back or not while the volume is being opened as well.
          ...lost.map(({ peer, ms }) => ({ peer, ms: Math.max(0, ms - (performance.now() - began)) })),
        ],
        new LockGrace(awaited.map((peer) => ({ peer, ms: nameGraceMs }))),
        async (peer) => (peer === this.#self ? undefined : this.#unheard.ask((id) => this.#tell({ type: 'unheard', id, peer }))),
      );
      const onRemoved = (parent: number, name: string): void => this.fileSystem.kernel?.removed(parent, name);
      const grants = this.#grant(inherited);
      volume.guard(grants);
      // Nothing is taken that a daemon before wrote under one of them.
      if (dismissed.includes(this.#self)) this.fileSystem.loseLocks();
      await this.#takeLeft(volume);
      if (change !== this.#change) return;
      if (!this.#closing) {
        this.#server = new CallServer(volume, (shown) => volume.keep(shown), grace, onRemoved, grants);
        this.#server.knowLost(dismissed, (peer) => this.#tell({ type: 'greeted', peer }));
      }
      this.#hasServed = true;
      this.fileSystem.setBacking({ kind: 'local', volume, grace: grace.over, names: grace.names?.over, lending: volume.lending, grants });
      void this.fileSystem.relocked().then(() => grace.heard(this.#self));
      if (alone || this.#aloneIn === change) this.#beginAlone();
      this.#logger.info('this host serves the volume', { session });
      this.#tell({ type: 'opened', session });
    } catch (error) {
      if (change !== this.#change) return;
      this.#logger.error('the volume cannot be opened', { error });
      this.#tell({ type: 'not-opened', session, code: codeOf(error), message: messageOf(error) });
    }
  }

  /** What this host's programs wrote while it was a guest, under a daemon before this one. */
  async #takeLeft(volume: Volume): Promise<void> {
    const taken = (this.#taken = new Set());
    await this.fileSystem.takeLeft({
      attributes: async (inode) => volume.getattr(inode),
      put: async (inode, _loan, written) => volume.lending.apply(inode, written),
    });
    this.#taken = undefined;
    // Of the others the volume says when they are durable.
    const unsynced = new Set(volume.unsynced());
    for (const inode of taken) if (!unsynced.has(inode)) this.#dirty.delete(inode);
  }

  /** What guests may have in memory of what is opened now. Of what was open before, here or in a daemon before this one, they may have something yet. */
  #grant(inherited: boolean): Grants {
    const tenure = this.#tenure;
    const now = (): number => systemClock.monotonicMs();
    const grants = new Grants({
      now,
      sleep: (ms) => sleep(ms, undefined, { ref: false }),
      leaseMs: () => tenure.leftMs(systemClock),
      recall: (peer, keys) => (peer === ownKernel ? this.fileSystem.distrust(keys) : this.#askBack(peer, keys)),
      onGivenUp: (peer, inode, lapsed) => this.#server?.givenUp(peer, inode, lapsed),
      silent: this.#silent,
      earlierUntilMs: Math.max(inherited ? this.#begunMs + earlierGrantsMs : 0, this.#grants?.untilMs ?? 0),
    });
    this.#grants = grants;
    return grants;
  }

  #askBack(peer: string, keys: readonly GrantKey[]): Promise<void> {
    return this.#recalls.ask((id) => this.#tell({ type: 'ask-back', id, peer, keys }));
  }

  /** Another has opened the volume since, which the lease did not show: what is in memory is not the volume as it is. */
  #overtaken(change: number, session: number): void {
    if (change !== this.#change) return;
    this.#logger.warn('another session has written to the volume; it is opened anew', { session });
    void this.#leave();
    this.fileSystem.setBacking(undefined);
    this.#tell({ type: 'not-opened', session, code: 'conflict', message: 'another session has written to the volume' });
  }

  #beginAlone(): void {
    this.#caches = true;
    this.#notePages();
    const tenure = this.#tenure;
    this.#logger.info('no other host uses the volume: the kernel caches');
    this.fileSystem.kernel?.beginSole(() => tenure.leftMs(systemClock));
  }

  /** For the daemon after this one. Pages that are refused stay so for as long as the mount lasts: when the kernel has dropped the last is not known. */
  #notePages(): void {
    this.#hasStale ||= this.fileSystem.kernel?.hasStale() === true;
    this.#volume?.noteKernelPages(this.#hasStale ? 'stale' : this.#caches ? 'sole' : 'shared');
  }

  /** Another host asks for an operation: before it is made, the kernel forgets what it cached, and asks at every turn from now on. undefined: so it does. */
  #letOthersIn(): Promise<void> | undefined {
    if (this.#caches) {
      this.#caches = false;
      const end = this.fileSystem.kernel?.endSole(false);
      const letting = Promise.all([end?.expired, end?.dropped]).then(() => {
        if (this.#letting === letting) this.#letting = undefined;
        this.#notePages();
      });
      this.#letting = letting;
    }
    return this.#letting;
  }

  /**
   * What was open here is not written out: the lease is over, and others may have changed everything since. Programs hear of lost writes. Returns when
   * the kernel believes nothing any more that it was told; undefined: now.
   */
  #leave(): Promise<void> | undefined {
    this.#caches = false;
    const end = this.fileSystem.kernel?.endSole(true);
    this.#change++;
    this.#server = undefined;
    this.#grants?.lentLocks.close();
    // What is under way over it ends at once, its outcome unknown.
    this.#way?.close();
    this.#way = undefined;
    const volume = this.#volume;
    this.#volume = undefined;
    if (volume !== undefined) this.#lose(new Set([...this.#dirty.all(), ...volume.unsynced()]));
    this.#leaving = volume?.abandon();
    return end?.expired;
  }

  #lose(inodes: ReadonlySet<number>): void {
    this.#dirty.lose(inodes);
    this.fileSystem.markLost(inodes);
  }

  /** What the daemon before had not made durable is in the volume as it was opened here, or it is lost. */
  #settleLeft(volume: Volume | undefined): void {
    const left = this.#left;
    this.#left = undefined;
    if (left === undefined) return;
    this.fileSystem.kernel?.settle(volume?.survived === true && volume.kernelPages !== 'stale');
    if (volume?.survived === true) return this.#dirty.keep(left, volume.unsynced());
    this.#dirty.lose(left);
    this.fileSystem.inheritLost(left);
    if (this.#isLeftIncomplete) this.fileSystem.inheritAnyLost();
  }

  /** The mount ends: what other hosts asked is finished, what they ask from now on they will ask the next holder. */
  async close(): Promise<void> {
    this.#closing = true;
    // What guests have written comes back while they can say it here.
    await Promise.race([this.#grants?.loans.close(), sleep(drainMs, undefined, { ref: false })]);
    const server = this.#server;
    this.#server = undefined;
    await Promise.race([server?.drain(), sleep(drainMs, undefined, { ref: false })]);
    // The next host that serves the volume knows nothing of what guests have in memory.
    await this.#grants?.close();
    await this.fileSystem.close();
  }

  [Symbol.dispose](): void {
    this.#silent[Symbol.dispose]();
    this.#way?.close();
  }

  async #serve(id: number, peer: string, call: Uint8Array): Promise<void> {
    this.#aloneIn = undefined;
    for (let wait = this.#letOthersIn(); wait !== undefined; wait = this.#letOthersIn()) await wait;
    const server = this.#server;
    if (server === undefined || this.fileSystem.local === undefined) {
      // The asker looks for the holder again.
      this.#tell({ type: 'served', id, answer: new Uint8Array(0) });
      return;
    }
    const volume = this.#volume;
    const answer = await server.serve(peer, call);
    // Done after the lease ended it may be undone, and what it shows may be old: the asker must not take it for "not done" either.
    const late = this.#volume !== volume || this.fileSystem.local === undefined;
    const unknown = (): Uint8Array => encodeFailure(new InfinitError('unknown-outcome', 'the lease of the volume ended meanwhile'));
    this.#tell({ type: 'served', id, answer: late ? unknown() : answer });
  }

  #ask(call: Uint8Array): Promise<Uint8Array> {
    if (this.#asked.size >= maxAsked)
      return Promise.reject(new InfinitError('overloaded', `${maxAsked} operations wait for the host that serves the volume`));
    return this.#asked.ask((id) => this.#tell({ type: 'ask', id, call }));
  }
}
