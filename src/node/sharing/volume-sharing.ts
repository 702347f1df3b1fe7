import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel, type MessagePort } from 'node:worker_threads';

import { type Clock, codeOf, InfinitError, type Logger, messageOf } from '../../base/index.ts';
import { namedAddress } from '../../block/index.ts';
import { type GrantKey, removeBlock } from '../../filesystem/index.ts';
import type { Transport } from '../../overlay/index.ts';
import type { BlockStore } from '../../store/index.ts';
import { servePort } from '../../store/port/index.ts';
import { jsonBody } from '../control/json-body.ts';
import { nodeKinds } from '../kinds.ts';
import type { Tenure } from './tenure.ts';
import { type LeaseState, VolumeLease } from './volume-lease.ts';
import { Questions } from '../volumes/questions.ts';
import { claimSession } from '../volumes/volume-session.ts';
import type { VolumeCommand, VolumeEvent } from '../volumes/volume-worker-protocol.ts';

/** How long one operation may take at the host that serves the volume, in ms. */
const callDeadlineMs = 30_000;
/** How long a guest is asked to give up what it has in memory, in ms: its time is over before. */
const recallDeadlineMs = 5000;
/** How long hosts are asked whether they have the volume mounted, in ms. */
const holdersDeadlineMs = 500;
/**
 * A host that was lost for so long has no locks any more, in ms: those who wait for them wait no longer than the five seconds that are promised. A daemon that is killed and started again on a busy
 * machine was back within 1.6 to 3.4 s, and its host's programs keep theirs.
 */
const dismissAfterMs = 4000;
/** Operations of other hosts under way in the worker. */
const maxServed = 65_536;
/** After so long without an operation of another host it is looked whether any has the volume mounted still, in ms. */
const quietMs = 5000;
/** How long a mount that must be the only one waits for a lease that a lost host left, in ms: longer than a lease lives. */
const takeOverMs = 20_000;
/** How often it looks then, in ms. */
const takeOverPauseMs = 250;
/** After so long a volume that could not be opened is tried again, in ms. */
const openAgainMs = 500;
/** How long a mount waits for the volume to be opened, in ms: what takes longer waits for other hosts, and programs may wait on the mount. */
const firstOpenMs = 5000;
/** How long an opening waits to hear whether the volume was deleted, in ms: a host is hardly ever away for so long, and the others' programs wait as well. */
const deletedDeadlineMs = 1000;

export interface VolumeSharingOptions {
  readonly volumeId: string;
  /** What people call it. */
  readonly name: string;
  readonly store: BlockStore;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly send: (command: VolumeCommand, transfer?: readonly MessagePort[]) => void;
  /** access=onewriter: no two hosts at a time. The lease decides which. */
  readonly exclusive: boolean;
  /** What people call a host. */
  readonly hostName: (peer: string) => string;
  /** Hosts that are not connected, and for how long they have not been heard, in ms: since this process began at the most. */
  readonly lostFor: () => ReadonlyMap<string, number>;
  /** Whether its data was deleted, or is being, while this host was cut off: an opening would make it anew, empty and with session numbers that were used. */
  readonly isDeleted: () => Promise<boolean>;
  readonly onDeleted: () => void;
}

/** In the main thread: one shared volume's lease, and the way of its operations from host to host. */
export class VolumeSharing implements AsyncDisposable {
  readonly #options: VolumeSharingOptions;
  readonly #id: Buffer;
  readonly #lease: VolumeLease;
  readonly #served = new Questions<Uint8Array>();
  readonly #recalls = new Questions<void>();
  readonly #lost = new Map<string, NodeJS.Timeout>();
  /** Hosts whose loss is noted in the lease, and not said to the worker yet. */
  readonly #noted = new Set<string>();
  readonly #stops: (() => void)[];
  #state: LeaseState = { role: 'none' };
  /** What the worker was told last to open; undefined: when the lease resumes there is nothing to go on with. */
  #opened: { readonly tenure: Tenure; readonly session: number } | undefined;
  /** Ends what the worker had opened before. */
  #over = new AbortController();
  /** What the first opening came to, where this host serves the volume. */
  readonly #first = Promise.withResolvers<void>();
  /** Blocks of the volume's own are lost: until a person does something about it, it cannot be opened. */
  #lostParts: InfinitError | undefined;
  #deleted = false;
  #closed = false;
  /** Other hosts may use the volume that is open here: the kernel caches nothing. */
  #othersUse = false;
  #lastServedMs = 0;
  readonly #lookTimer: NodeJS.Timeout;

  constructor(options: VolumeSharingOptions) {
    const { volumeId, store, transport, clock, logger } = options;
    this.#options = options;
    this.#id = Buffer.from(volumeId, 'hex');
    this.#first.promise.catch(() => {});
    this.#lease = new VolumeLease({
      store,
      volumeId,
      self: transport.self,
      clock,
      logger,
      isConnected: (peer) => transport.isConnected(peer),
      onChange: (state) => this.#onLease(state),
    });
    this.#lookTimer = setInterval(() => void this.#lookWhetherAlone(), quietMs).unref();
    this.#stops = [transport.onPeerDown((peer) => this.#onPeerDown(peer)), transport.onPeerUp((peer) => this.#onPeerUp(peer))];
  }

  /** Resolves once it is known who serves the volume. @throws InfinitError `in-use` where it may be mounted on one host only, and is on another. */
  async start(): Promise<void> {
    await this.#lease.start();
    if (this.#options.exclusive) await this.#takeOver();
  }

  /** Resolves once the volume is open, here or elsewhere, or has to wait for other hosts. @throws InfinitError `lost` where no waiting helps. */
  async opened(): Promise<void> {
    const enough = new AbortController();
    const late = sleep(firstOpenMs, undefined, { ref: false, signal: enough.signal }).catch(() => {});
    await Promise.race([this.#first.promise, late]).finally(() => enough.abort());
  }

  /** Why nobody can open it until a person does something; undefined: nothing of the kind is known. */
  get lostParts(): InfinitError | undefined {
    return this.#lostParts;
  }

  #failed(error: unknown): void {
    if (codeOf(error) !== 'lost') return this.#first.resolve();
    this.#lostParts = new InfinitError('lost', `volume "${this.#options.name}" cannot be opened: ${messageOf(error)}`);
    this.#first.reject(this.#lostParts);
  }

  /** Waits for a lease that nobody uses any more. */
  async #takeOver(): Promise<void> {
    const { transport, hostName, name } = this.#options;
    const deadline = performance.now() + takeOverMs;
    while (!this.#lease.held) {
      if (this.#closed) throw new InfinitError('closed', `volume "${name}" is no longer being mounted`);
      const holder = this.#state.role === 'guest' ? this.#state.holder : undefined;
      if (holder !== undefined && transport.isConnected(holder) && (await this.#isMountedOn(holder)))
        throw new InfinitError('in-use', `volume "${name}" is mounted on ${hostName(holder)}, and access=onewriter allows one host at a time`);
      if (performance.now() > deadline) {
        const who =
          holder === undefined ? `the lease of volume "${name}" cannot be had` : `${hostName(holder)} had volume "${name}" and has not let go of it`;
        throw new InfinitError('unavailable', `${who}: access=onewriter allows one host at a time`);
      }
      await new Promise((resolve) => setTimeout(resolve, takeOverPauseMs));
      await this.#lease.beat();
    }
  }

  async #isMountedOn(peer: string): Promise<boolean> {
    const answer = await this.#options.transport
      .request(peer, nodeKinds.volumeHolders, this.#id, { deadlineMs: holdersDeadlineMs })
      .catch(() => undefined);
    return answer !== undefined && (jsonBody(answer) as string[]).length > 0;
  }

  /** What the worker says; false where it is not about sharing. */
  hear(event: VolumeEvent): boolean {
    if (event.type === 'ask') {
      this.#ask(event.id, event.call).catch((error: unknown) =>
        this.#options.send({ type: 'answer', id: event.id, code: codeOf(error), message: messageOf(error) }),
      );
      return true;
    }
    if (event.type === 'ask-back') {
      void this.#askBack(event.peer, event.keys).then((heard) => this.#options.send({ type: 'given-up', id: event.id, heard }));
      return true;
    }
    if (event.type === 'recalled') {
      this.#recalls.answered(event.id, undefined);
      return true;
    }
    if (event.type === 'not-opened') {
      if (event.session !== this.#opened?.session) return true;
      this.#failed(new InfinitError(event.code, event.message));
      this.#openAgain();
      return true;
    }
    if (event.type === 'opened') {
      this.#lostParts = undefined;
      this.#first.resolve();
      // It has let go what its programs had locked, if it was given up. A daemon that dies before leaves that to the next.
      if (event.session === this.#opened?.session) this.#lease.greeted(this.#options.transport.self);
      return true;
    }
    if (event.type === 'greeted') {
      this.#lease.greeted(event.peer);
      return true;
    }
    if (event.type === 'unheard') {
      this.#noted.delete(event.peer);
      void this.#lease.dismiss(event.peer).then(() => this.#options.send({ type: 'noted', id: event.id }));
      return true;
    }
    if (event.type === 'served') {
      this.#served.answered(event.id, event.answer);
      return true;
    }
    return false;
  }

  /** An operation that another host asks for; an empty answer where this host does not serve the volume. */
  serve(peer: string, call: Uint8Array): Promise<Uint8Array> {
    if (this.#state.role !== 'holder' || !this.#lease.held) return Promise.resolve(new Uint8Array(0));
    if (this.#options.exclusive) throw new InfinitError('denied', `volume "${this.#options.name}" has access=onewriter and another host has it`);
    if (this.#served.size >= maxServed) throw new InfinitError('overloaded', `${maxServed} operations of other hosts are under way`);
    this.#othersUse = true;
    this.#lastServedMs = performance.now();
    return this.#served.ask((id) => this.#options.send({ type: 'serve', id, peer, call: Uint8Array.from(call) }));
  }

  /** The host that serves the volume asks for what is in memory here. Resolves when it is forgotten. */
  recall(keys: readonly GrantKey[]): Promise<void> {
    if (this.#recalls.size >= maxServed) return Promise.reject(new InfinitError('overloaded', `${maxServed} recalls are under way`));
    return this.#recalls.ask((id) => this.#options.send({ type: 'recall', id, keys }));
  }

  /** Whether the guest has given up what it was asked for. */
  async #askBack(peer: string, keys: readonly GrantKey[]): Promise<boolean> {
    try {
      const body = new Uint8Array(Float64Array.from(keys).buffer);
      await this.#options.transport.request(peer, nodeKinds.volumeRecall, [this.#id, body], { deadlineMs: recallDeadlineMs });
      return true;
    } catch {
      return false;
    }
  }

  async #ask(id: number, call: Uint8Array): Promise<void> {
    const { transport, send, exclusive, hostName } = this.#options;
    if (exclusive && this.#state.role === 'guest')
      throw new InfinitError(
        'denied',
        `volume "${this.#options.name}" has access=onewriter and ${hostName(this.#state.holder)} took it over from this host`,
      );
    if (this.#state.role !== 'guest') throw new InfinitError('unavailable', 'no other host serves the volume');
    const { holder } = this.#state;
    const answer = await transport.request(holder, nodeKinds.volumeCall, [this.#id, call], {
      channel: call.length > 65_536 ? 'bulk' : 'control',
      deadlineMs: callDeadlineMs,
    });
    if (answer.length === 0) {
      void this.#lease.beat();
      throw new InfinitError('unavailable', `host ${holder} does not serve the volume`);
    }
    send({ type: 'answer', id, answer: Uint8Array.from(answer) });
  }

  #onLease(state: LeaseState): void {
    this.#state = state;
    switch (state.role) {
      case 'holder':
        // The worker kept everything and only waited.
        if (this.#opened?.tenure === state.tenure) break;
        void this.#open(state);
        break;
      case 'guest':
        this.#shut();
        this.#lostParts = undefined;
        this.#first.resolve();
        this.#beGuest();
        break;
      case 'none':
        // The worker sees for itself that the lease is over; until somebody else has it, it may come back.
        break;
    }
  }

  /** Blocks never change: a guest reads those that it is told of itself, and puts those that its programs write. */
  #beGuest(): void {
    const { send, store } = this.#options;
    const way = new MessageChannel();
    servePort(way.port1, store);
    send({ type: 'guest', store: way.port2 }, [way.port2]);
  }

  /** Tries for as long as the lease is ours: nobody else can. */
  async #open(state: LeaseState & { role: 'holder' }): Promise<void> {
    const { send, store, volumeId, logger, lostFor, onDeleted } = this.#options;
    const dismissed = [...this.#lease.dismissed];
    this.#shut();
    while (this.#state === state && !this.#closed) {
      try {
        const [deleted, users] = await Promise.all([this.#isDeleted(), this.#users()]);
        if (deleted) {
          this.#deleted = true;
          return onDeleted();
        }
        // Nobody waits for these: others may have at once what they had locked at the host before.
        await Promise.all([...lostFor()].map(async ([peer, forMs]) => (forMs < dismissAfterMs ? undefined : this.#lease.dismiss(peer))));
        if (this.#state !== state) return;
        const session = await claimSession(store, volumeId);
        if (this.#state !== state) return;
        this.#opened = { tenure: state.tenure, session };
        const alone = users.length === 0;
        this.#othersUse = !alone;
        const lost = [...lostFor()].map(([peer, forMs]) => ({ peer, ms: dismissAfterMs - forMs })).filter(({ ms }) => ms > 0);
        const way = new MessageChannel();
        servePort(way.port1, this.#lease.guard(store, state.tenure, this.#over.signal));
        const tenure = state.tenure.shared;
        send({ type: 'holder', session, awaited: users, lost, alone, inherited: state.inherited, dismissed, store: way.port2, tenure }, [way.port2]);
        return;
      } catch (error) {
        this.#failed(error);
        logger.warn('the volume cannot be opened here yet', { error });
        await new Promise((resolve) => setTimeout(resolve, openAgainMs));
      }
    }
  }

  /** False also where that cannot be said now: then the volume cannot be opened either, as like as not. */
  async #isDeleted(): Promise<boolean> {
    const enough = new AbortController();
    const late = sleep(deletedDeadlineMs, false, { ref: false, signal: enough.signal });
    try {
      return await Promise.race([this.#options.isDeleted(), late]);
    } catch (error) {
      this.#options.logger.debug('whether the volume was deleted is not known', { error });
      return false;
    } finally {
      enough.abort();
      await late.catch(() => {});
    }
  }

  /** What the worker has open, if anything, writes nothing from now on. */
  #shut(): void {
    this.#opened = undefined;
    this.#over.abort();
    this.#over = new AbortController();
  }

  /** The blocks that it needs may be in reach again a moment later. Where the lease lapsed meanwhile, its coming back opens the volume. */
  #openAgain(): void {
    this.#shut();
    this.#lease.openedAnew();
    const state = this.#state;
    setTimeout(() => {
      if (state.role === 'holder' && this.#state === state) void this.#open(state);
    }, openAgainMs).unref();
  }

  /** Hosts in reach that have the volume mounted; one that does not answer may have. */
  async #users(): Promise<readonly string[]> {
    const { transport } = this.#options;
    const peers = transport.connected();
    const ask = async (peer: string): Promise<boolean> => {
      const answer = await transport.request(peer, nodeKinds.volumeHolders, this.#id, { deadlineMs: holdersDeadlineMs });
      return (jsonBody(answer) as string[]).length > 0;
    };
    const answers = await Promise.all(peers.map((peer) => ask(peer).catch(() => true)));
    return peers.filter((_, index) => answers[index]);
  }

  /** When no other host has the volume mounted any more, this one's kernel may cache again. Whoever comes all the same is let in first, so nothing hangs on this being right. */
  async #lookWhetherAlone(): Promise<void> {
    const [state, served] = [this.#state, this.#lastServedMs];
    const quiet = (): boolean => this.#othersUse && this.#state === state && this.#served.size === 0 && this.#lastServedMs === served;
    if (state.role !== 'holder' || this.#opened === undefined || !quiet() || performance.now() - served < quietMs) return;
    if ((await this.#users()).length > 0 || !quiet() || this.#closed) return;
    this.#othersUse = false;
    this.#options.send({ type: 'alone' });
  }

  #onPeerDown(peer: string): void {
    // What it last wrote counts from now at the latest.
    if (this.#state.role === 'guest' && this.#state.holder === peer) void this.#lease.beat();
    if (this.#lost.has(peer)) return;
    this.#options.send({ type: 'silence', peer, over: false });
    const timer = setTimeout(
      () => void this.#dismiss(peer),
      // Its silence was noticed late, if it went with its network.
      dismissAfterMs - (this.#options.lostFor().get(peer) ?? 0),
    );
    this.#lost.set(peer, timer);
  }

  async #dismiss(peer: string): Promise<void> {
    const timer = this.#lost.get(peer);
    if (this.#state.role !== 'guest') {
      if (!this.#lease.isDismissed(peer)) this.#noted.add(peer);
      await this.#lease.dismiss(peer);
    }
    if (this.#lost.get(peer) !== timer) return;
    this.#lost.delete(peer);
    this.#noted.delete(peer);
    this.#options.send({ type: 'dismiss', peer });
  }

  #onPeerUp(peer: string): void {
    if (!this.#lost.has(peer)) return;
    clearTimeout(this.#lost.get(peer));
    this.#lost.delete(peer);
    // It was not given up.
    if (this.#noted.delete(peer)) this.#lease.greeted(peer);
    this.#options.send({ type: 'silence', peer, over: true });
  }

  /** To be called once the worker has written everything out: gives the lease back. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearInterval(this.#lookTimer);
    for (const stop of this.#stops) stop();
    for (const timer of this.#lost.values()) clearTimeout(timer);
    await this.#lease[Symbol.asyncDispose]();
    // Whoever deleted the volume had removed it, and this host's look has made it anew.
    if (this.#deleted) await removeBlock(this.#options.store, namedAddress(this.#options.volumeId, 'lease')).catch(() => {});
    this.#served.fail(new InfinitError('unknown-outcome', 'the host that serves the volume stopped'));
    // What it had in memory went with it.
    this.#recalls.answerAll(undefined);
  }
}
