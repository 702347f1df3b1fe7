import { closeSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';

import { typedOptions, type TypedVolumeOptions, type VolumeUsage } from '../../api/index.ts';
import { codeOf, InfinitError, type Logger, messageOf } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';
import type { CheckReport, LostLocksNotice, OwnedBlock, UnreadNotice } from '../../filesystem/index.ts';
import { detachMount, type FuseMount, type HolderClient, removeMountPoint, sendAnswer, unmountIdle } from '../../fuse/index.ts';
import type { CatalogueEntry } from './catalogue-entry.ts';
import type { VolumeSharing } from '../sharing/volume-sharing.ts';
import { fencedInWords } from './fenced-in-words.ts';
import { Questions } from './questions.ts';
import { unreadInWords } from './unread-in-words.ts';
import type { VolumeCommand, VolumeEvent, VolumeQuestion } from './volume-worker-protocol.ts';

/** Milliseconds until a new mount must have answered the kernel, and for which one that outlived its daemon keeps others from being started. */
export const startDeadlineMs = 60_000;

/** How long is waited for what is in memory to be written out, before an unmount, and for one that was let go to end, in ms. */
const endDeadlineMs = 30_000;
/** An unmount is over by then, or says why not, in ms: Docker waits for a minute. */
const unmountDeadlineMs = 50_000;

const late = Symbol('late');

/** Is over some time after it was made. */
class Deadline implements Disposable {
  readonly over: Promise<typeof late>;
  readonly #timer: NodeJS.Timeout;

  constructor(ms: number) {
    const { promise, resolve } = Promise.withResolvers<typeof late>();
    this.over = promise;
    this.#timer = setTimeout(() => resolve(late), ms);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** The last writes to a volume are not in the store. The code is that of what kept them from it. */
export class NotWrittenOut extends InfinitError {
  constructor(volume: string, cause: unknown) {
    super(codeOf(cause), `the last writes to volume "${volume}" are not written out: ${messageOf(cause)}`, { cause });
  }
}

/** One mounted volume as the main thread sees it: a mount point and a worker thread. */
export class ServedVolume {
  readonly name: string;
  readonly id: string;
  readonly mountpoint: string;
  /** In a cluster: the way of operations from and to other hosts. */
  readonly sharing: VolumeSharing | undefined;
  /** Resolves with the reason once nobody can use the mount any more and everything was written out. Never rejects. */
  readonly closed: Promise<string>;
  readonly #mount: FuseMount;
  readonly #worker: Worker;
  readonly #holder: HolderClient;
  readonly #logger: Logger;
  readonly #start = Promise.withResolvers<void>();
  readonly #end = Promise.withResolvers<string>();
  readonly #questions = new Questions<unknown>();
  #sizeBytes: number;
  #detached: boolean;
  #unread: UnreadNotice | undefined;
  #fenced: LostLocksNotice | undefined;
  /** The mount outlived an earlier daemon, and this one does not serve it yet: whatever fails, it is neither let go nor taken away. */
  #kept: boolean;
  /** What its thread ended with. */
  #failure: InfinitError | undefined;

  constructor(
    { name, id, options }: CatalogueEntry,
    mount: FuseMount,
    worker: Worker,
    holder: HolderClient,
    sharing: VolumeSharing | undefined,
    logger: Logger,
    { adopted = false, detached = false }: { readonly adopted?: boolean; readonly detached?: boolean } = {},
  ) {
    this.#kept = adopted;
    this.#detached = detached;
    this.name = name;
    this.id = id;
    this.sharing = sharing;
    this.mountpoint = mount.mountPoint;
    this.#mount = mount;
    this.#sizeBytes = typedOptions(options).sizeBytes;
    this.#worker = worker;
    this.#holder = holder;
    this.#logger = logger;
    this.closed = this.#end.promise;
    worker.on('message', (event: VolumeEvent) => this.#hear(event));
    worker.on('error', (error) => {
      // Thrown where nobody caught it: the thread is gone, and with it what was not written out.
      const then = this.#kept
        ? 'its mount is kept, and it is started again'
        : 'its mount is taken away, programs on it see errors, and it can be mounted anew';
      logger.error(`the thread that serves the volume died; ${then}`, {
        error: error instanceof Error ? (error.stack ?? error.message) : error,
        mountpoint: mount.mountPoint,
      });
      this.#start.reject(error);
    });
    worker.on('exit', (code) => this.#finish(code === 0 ? 'ended' : `worker exited with ${code}`));
  }

  /** Resolves once the kernel is served; otherwise the mount is taken away again, or {@link kept}. */
  async started(): Promise<void> {
    // What an earlier daemon left in memory takes as long as it takes.
    if (!this.#kept) {
      const timeout = AbortSignal.timeout(startDeadlineMs);
      timeout.addEventListener('abort', () =>
        this.#start.reject(new InfinitError('deadline-exceeded', `volume "${this.name}" was not served within ${startDeadlineMs} ms`)),
      );
    }
    try {
      // Who serves the volume is found out while the kernel is being answered.
      await Promise.all([this.#start.promise, this.sharing?.start()]);
      // Programs of a mount that was there before wait on it, whatever it is.
      if (!this.#kept) await this.sharing?.opened();
      this.#kept = false;
    } catch (error) {
      if (codeOf(error) === 'in-use') this.#kept = false;
      if (!this.#kept && !this.#detached) await detachMount(this.mountpoint).catch(() => {});
      await this.#worker.terminate();
      // Nothing of it is left when the next attempt begins.
      await this.closed;
      throw error;
    }
  }

  /** The mount outlived an earlier daemon and this one could not serve it: it is as before. */
  get kept(): boolean {
    return this.#kept;
  }

  /** Ends a start; the mount stays as it is, for the next daemon. */
  leave(): void {
    this.#send({ type: 'stop' });
  }

  /** The volume was deleted while this host was cut off: its mount ends, and programs on it see errors. */
  async abandon(): Promise<void> {
    if (this.#finished) return;
    this.#logger.error('the volume was removed and its data deleted on another host: its mount ends, and programs on it see errors', {
      mountpoint: this.mountpoint,
    });
    this.#kept = false;
    this.#failure = new InfinitError('not-found', `volume "${this.name}" was deleted on another host`);
    this.#start.reject(this.#failure);
    if (!this.#detached) await detachMount(this.mountpoint).catch(() => {});
    await this.#worker.terminate();
  }

  /** The path is taken away, though the volume may live on: another mount namespace has it, or the last writes are not out yet. */
  get detached(): boolean {
    return this.#detached;
  }

  /**
   * Ends the mount once everything is written out; with `discard` the end may cost what is not.
   * @throws InfinitError `in-use` where the kernel says that it is busy; {@link NotWrittenOut}, after which it is still mounted unless it was let go already.
   */
  async unmount({ discard = false }: { readonly discard?: boolean } = {}): Promise<void> {
    using deadline = new Deadline(unmountDeadlineMs);
    // What can be opened by nobody takes nothing any more, and is repaired or removed only once it is not mounted.
    const lost = this.sharing?.lostParts;
    if (lost !== undefined && !discard) {
      this.#logger.warn('the mount ends without writing anything out', { error: lost });
      return this.unmount({ discard: true });
    }
    if (!this.#detached) {
      if (!discard) await this.#sync();
      if (!this.#finished) await unmountIdle(this.mountpoint);
    }
    this.#detached = true;
    const end = await this.#ended(deadline);
    if (!discard && end !== 'unmounted' && end !== 'stopped') throw new NotWrittenOut(this.name, this.#failure ?? new InfinitError('closed', end));
  }

  /** Why it ended. @throws InfinitError `in-use` where a volume whose path is gone is still used by somebody, or still writes. */
  async ended(): Promise<string> {
    using deadline = new Deadline(endDeadlineMs);
    return await this.#ended(deadline);
  }

  async #ended(deadline: Deadline): Promise<string> {
    const end = await Promise.race([this.closed, deadline.over]);
    if (end !== late) return end;
    throw new InfinitError(
      'in-use',
      `volume "${this.name}" was unmounted, but has not ended: a process in another mount namespace holds it, or its last writes wait for other hosts`,
    );
  }

  async #sync(): Promise<void> {
    using deadline = new Deadline(endDeadlineMs);
    try {
      if ((await Promise.race([this.#ask({ kind: 'sync' }), deadline.over])) !== late) return;
    } catch (error) {
      // Ended meanwhile.
      if (this.#finished) return;
      throw new NotWrittenOut(this.name, error);
    }
    throw new NotWrittenOut(this.name, new InfinitError('deadline-exceeded', `the store took more than ${endDeadlineMs / 1000} s`));
  }

  /** Sends the kernel what a request of this mount is answered with, without its thread. False: not any more. */
  answer(bytes: Uint8Array): boolean {
    // The descriptor's number may be another file's by then.
    return !this.#finished && sendAnswer(this.#mount.fd, bytes);
  }

  /** Writes everything out and lets go of the mount without unmounting it: the holder keeps it for the next daemon, or ends it. */
  async stop(): Promise<void> {
    this.#send({ type: 'stop' });
    await this.closed;
  }

  /** What of it cannot be read for now, and what keeps it from being changed, as far as it is known, and what to do: a sentence each. */
  troubles(): readonly string[] {
    const lost = this.sharing?.lostParts;
    if (lost !== undefined) return [`${lost.message} (end all its mounts first; the one at ${this.mountpoint} is of no use meanwhile)`];
    return [
      ...(this.#unread === undefined ? [] : [unreadInWords(this.name, this.mountpoint, this.#unread)]),
      ...(this.#fenced === undefined ? [] : [fencedInWords(this.name, this.mountpoint, this.#fenced)]),
    ];
  }

  /** The catalogue's options of the moment: what can change while it is mounted does. */
  apply(options: TypedVolumeOptions): void {
    if (options.sizeBytes === this.#sizeBytes) return;
    this.#sizeBytes = options.sizeBytes;
    this.#send({ type: 'resize', sizeBytes: options.sizeBytes });
  }

  async usage(): Promise<VolumeUsage> {
    return { name: this.name, ...(await this.#ask<Omit<VolumeUsage, 'name'>>({ kind: 'usage' })) };
  }

  /** Which of these blocks nothing refers to; undefined: another host has the volume open, and knows. */
  unreferenced(blocks: readonly OwnedBlock[]): Promise<readonly Address[] | undefined> {
    return this.#ask({ kind: 'unreferenced', blocks });
  }

  /** What does not fit together, and with `repair` corrects its usage; undefined: another host has the volume open, and can look. */
  check(repair: boolean): Promise<CheckReport | undefined> {
    return this.#ask({ kind: 'check', repair });
  }

  #ask<T>(question: VolumeQuestion): Promise<T> {
    if (this.#finished) return Promise.reject(this.#notMounted());
    return this.#questions.ask((id) => this.#send({ type: 'ask-volume', id, question })) as Promise<T>;
  }

  #told(event: VolumeEvent & { type: 'told' }): void {
    if ('code' in event) this.#questions.failed(event.id, new InfinitError(event.code, event.message));
    else this.#questions.answered(event.id, event.answer);
  }

  #notMounted(): InfinitError {
    return new InfinitError('closed', `volume "${this.name}" is no longer mounted`);
  }

  #send(command: VolumeCommand): void {
    this.#worker.postMessage(command);
  }

  #hear(event: VolumeEvent): void {
    if (this.sharing?.hear(event) === true) return;
    switch (event.type) {
      case 'ready':
        this.#holder.register({ volume: this.name, id: this.id, ...this.#mount, init: event.init });
        this.#start.resolve();
        break;
      case 'unread':
        this.#unread = event.notice;
        break;
      case 'fenced':
        this.#fenced = event.notice;
        if (event.notice !== undefined) this.#logger.warn(fencedInWords(this.name, this.mountpoint, event.notice));
        break;
      case 'told':
        this.#told(event);
        break;
      case 'closed':
        if (event.error !== undefined) this.#failure = new InfinitError(event.error.code, event.error.message);
        if (this.#failure !== undefined) this.#start.reject(this.#failure);
        this.#finish(event.reason);
        break;
    }
  }

  #finished = false;

  #finish(reason: string): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#questions.fail(this.#notMounted());
    this.#start.reject(new InfinitError('closed', `volume "${this.name}" ended before it was served: ${reason}`));
    const shared = this.sharing;
    void this.#letGo(reason).then(async (end) => {
      await shared?.[Symbol.asyncDispose]();
      this.#end.resolve(end);
    });
  }

  /** Returns why it ended, in the end. */
  async #letGo(reason: string): Promise<string> {
    if (this.#kept) return reason;
    // A volume that stops with its daemon is still mounted: the holder ends it, if it got as far as having it.
    const isLeft = reason === 'stopped' && (await this.#holder.keeps(this.#mount));
    if (!isLeft) this.#holder.release(this.#mount.fd);
    closeSync(this.#mount.fd);
    if (this.#mount.memory !== undefined) closeSync(this.#mount.memory);
    if (isLeft) return reason;
    // Whatever went wrong, no dead mount stays behind.
    if (reason !== 'unmounted' && !this.#detached) await detachMount(this.mountpoint).catch(() => {});
    await removeMountPoint(this.mountpoint);
    return reason === 'stopped' ? 'unmounted' : reason;
  }
}
