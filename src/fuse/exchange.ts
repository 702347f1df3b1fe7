import { codeOf, type Logger, type Records } from '../base/index.ts';
import {
  type Attributes,
  type DirectoryEntry,
  type EarlyAnswer,
  errnos,
  FileSystemError,
  type FileSystem,
  type FileTime,
  type MaybePromise,
} from '../filesystem/index.ts';
import type { FuseDevice } from './device.ts';
import { errnoOf, isOrdinary } from './errno.ts';
import { Forgets } from './forgets.ts';
import { Handles } from './handles.ts';
import { InFlight, type Pending } from './in-flight.ts';
import { JustLookedUp } from './just-looked-up.ts';
import type { KernelTrust } from './kernel-trust.ts';
import { LockOwners } from './lock-owners.ts';
import type { Notifier } from './notifier.ts';
import type { FuseOptions } from './options.ts';
import { placeOf, RefusedMemory } from './refused-memory.ts';
import {
  encodeIncrementEpoch,
  encodeInvalidateInode,
  firstGeneration,
  hasDirectMaps,
  type Message,
  opcodeLimit,
  opcodes,
  isResent,
  type KernelHandle,
  operationName,
  Reply,
  replyHeaderBytes,
  type RequestHeader,
  requestKey,
  type SavedInit,
  validity,
} from './wire/index.ts';
import { WrittenFiles } from './written-files.ts';

/** In place of the length of a reply's body: the request has been answered elsewhere. */
export const answeredElsewhere: number = Infinity;
/** Writes a reply's body; below zero: -errno instead; or {@link answeredElsewhere}. */
export type Encode<T> = (exchange: Exchange, value: T) => number;
/** Takes back what a result gave to the kernel, where the kernel did not get it. */
export type Undo<T> = (exchange: Exchange, value: T) => void;
/** Serves one kind of request; what it throws is the answer. */
export type Operation = (exchange: Exchange, header: RequestHeader, message: Message) => void;

/** Files of which it is remembered that programs changed them in mapped memory; beyond it any may be one. */
const maxChangedInMemory = 65_536;
/** Lines about failed requests a second; more are only counted. */
const maxLogLines = 10;

/** What operations share: the file system, the reply under construction, the requests in flight. */
export class Exchange {
  readonly fileSystem: FileSystem;
  readonly reply: Reply;
  readonly options: FuseOptions;
  readonly inFlight: InFlight;
  readonly device: FuseDevice;
  readonly notifier: Notifier;
  /** What was agreed with the kernel. Set before any other request. */
  init: SavedInit | undefined;
  handles = new Handles(firstGeneration);
  readonly lockOwners: LockOwners;
  readonly written = new WrittenFiles();
  readonly forgets: Forgets;
  /** Where others change the files as well: what the kernel may cache. */
  readonly trust: KernelTrust | undefined;
  /** Likewise. */
  readonly justLookedUp: JustLookedUp | undefined;
  readonly #refused: RefusedMemory;
  /** Files that programs changed in mapped memory. */
  readonly #changedInMemory = new Set<number>();
  #anyChangedInMemory = false;
  /** Requests so far by code. */
  readonly counts = new Float64Array(opcodeLimit);
  failures = 0;
  readonly #logger: Logger;
  #logSecond = 0;
  #logLines = 0;

  constructor(
    fileSystem: FileSystem,
    device: FuseDevice,
    notifier: Notifier,
    options: FuseOptions,
    logger: Logger,
    trust?: KernelTrust,
    lockRecords?: Records,
  ) {
    this.fileSystem = fileSystem;
    this.device = device;
    this.notifier = notifier;
    this.options = options;
    this.#logger = logger;
    this.trust = trust;
    this.justLookedUp = trust === undefined ? undefined : new JustLookedUp();
    this.lockOwners = new LockOwners(lockRecords);
    this.#refused = new RefusedMemory(lockRecords);
    this.forgets = new Forgets((inode, count) => this.aside(inode, () => fileSystem.forget(inode, count)));
    const times = validity(options.entrySeconds, options.attributeSeconds, options.negativeSeconds);
    const isTrusted = trust === undefined ? undefined : (inode: number): boolean => trust.mayTrust(inode);
    const onTold = trust === undefined ? undefined : (attributes: Attributes): void => trust.told(attributes);
    const modifiedBefore = trust === undefined ? undefined : (attributes: Attributes): FileTime | undefined => trust.modifiedBeforeName(attributes);
    this.reply = new Reply(times, (inode) => this.written.has(inode), isTrusted, onTold, modifiedBefore);
    this.inFlight = new InFlight(options.requestDeadlineMs, (pending, errno) => this.#giveUp(pending, errno));
  }

  /** What `work` calls at once is known to the file system as this request's. */
  serve<T>(header: RequestHeader, work: () => T): T {
    const { fileSystem, init } = this;
    if (fileSystem.asking === undefined || init?.asker === undefined) return work();
    fileSystem.asking({ asker: init.asker, number: requestKey(header.uniqueLow, header.uniqueHigh), again: isResent(header) });
    try {
      return work();
    } finally {
      fileSystem.asking(undefined);
    }
  }

  /** Answers with what the file system returned: now, or when its promise settles. */
  answer<T>(header: RequestHeader, result: MaybePromise<T>, encode: Encode<T>, undo?: Undo<T>, abort?: AbortController, endless = false): void {
    if (!(result instanceof Promise)) return this.#deliver(header, result, encode, undo);
    void this.#answerLater(header, result, encode, undo, this.inFlight.add(header, abort, endless));
  }

  async #answerLater<T>(header: RequestHeader, result: Promise<T>, encode: Encode<T>, undo: Undo<T> | undefined, pending: Pending): Promise<void> {
    if (this.inFlight.isFull) this.device.pause();
    try {
      const value = await result;
      if (this.#finish(pending)) this.#deliver(header, value, encode, undo);
      else undo?.(this, value);
    } catch (error) {
      if (this.#finish(pending)) this.fail(header, error);
    }
  }

  /** For a request that waits until the kernel has dropped something, dirty pages written back: it must not keep the kernel's writes from being read. */
  async afterKernel(header: RequestHeader, kernel: Promise<void>): Promise<void> {
    const wasFull = this.inFlight.isFull;
    this.inFlight.beginKernelWait(header);
    if (wasFull && !this.inFlight.isFull) this.device.resume();
    await kernel;
    this.inFlight.endKernelWait(header);
    if (this.inFlight.isFull) this.device.pause();
  }

  /** A page that a program changed in mapped memory is not written. From before the kernel hears that, nobody is given the file's pages: see {@link RefusedMemory}. */
  refusePage(inode: number, handle: KernelHandle): FileSystemError {
    this.#refuse(inode, [handle]);
    return new FileSystemError('EIO', 'what was changed in mapped memory was lost when the volume went to another host');
  }

  /** What programs changed under earlier daemons is gone. */
  #refuse(inode: number, handles: readonly KernelHandle[]): void {
    this.#refused.refused(inode, placeOf({ high: this.handles.generation, low: 0 }), handles);
  }

  /** Pages that a program changed in mapped memory are taken. */
  takesPages(header: RequestHeader, handle: KernelHandle): void {
    header.page = handle;
    if (this.#changedInMemory.size >= maxChangedInMemory) {
      this.#changedInMemory.clear();
      this.#anyChangedInMemory = true;
    }
    this.#changedInMemory.add(header.node);
  }

  /** What was written to the file, and answered, is lost: by this daemon, or by the one before. */
  lost(inode: number, byEarlier: boolean): void {
    if (byEarlier) {
      if (this.trust?.wasNoted(inode) === true) this.#refuse(inode, this.lockOwners.handlesOf(inode));
    } else if (this.#anyChangedInMemory || this.#changedInMemory.has(inode)) this.#losePages(inode, []);
  }

  /** As {@link refusePage}, where the page was changed under this daemon: the kernel keeps it until it is dropped, and tells msync, fsync and close why. */
  #losePages(inode: number, handles: readonly KernelHandle[]): void {
    if (this.trust !== undefined) this.#refused.refused(inode, placeOf(this.handles.last), [...handles, ...this.lockOwners.handlesOf(inode)]);
  }

  /** Resolves when the page may be read; undefined: now. @throws FileSystemError where it would show a program what its memory was before it changed it. */
  givePage(inode: number, handle: KernelHandle, forReading: boolean): Promise<void> | undefined {
    const { trust } = this;
    if (trust === undefined) return undefined;
    const mayGive = this.#refused.mayGive(inode, handle, this.handles.generation, forReading, () => this.lockOwners.handlesOf(inode));
    if (!mayGive || (trust.isLost(inode) && this.#refused.has(inode)))
      throw new FileSystemError(
        'EIO',
        'what was changed in mapped memory was lost: the file can be read once programs that had it open have closed it',
      );
    // Older kernels cache what programs write.
    return trust.givesPage(inode, forReading, this.init !== undefined && hasDirectMaps(this.init));
  }

  /** The kernel closed an open file. */
  released(inode: number, handle: KernelHandle): void {
    this.#refused.released(inode, handle);
  }

  /** Runs what no request waits for. Its failure can only be logged: thrown where nobody catches it, it would end the thread and with it the mount. */
  aside(inode: number, work: () => MaybePromise<void>): void {
    const failed = (error: unknown): void => this.#note('what a request left behind could not be let go', { inode, error });
    try {
      const done = work();
      if (done instanceof Promise) done.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  /** The answer that a request has when it succeeds, for whoever may send it sooner. Undefined where others change the files as well: what is told then depends on the moment. */
  earlyAnswer(header: RequestHeader): EarlyAnswer | undefined {
    return this.trust === undefined ? { bytes: Reply.success(header), sent: false } : undefined;
  }

  /** Answers with success and nothing else. */
  done(header: RequestHeader): void {
    this.#send(header, 0, 0);
  }

  /** Answers with the errno of what was thrown. */
  fail(header: RequestHeader, error: unknown): void {
    if (header.page !== undefined) this.#losePages(header.node, [header.page]);
    if (!isOrdinary(error)) this.log(header, error);
    this.#send(header, 0, errnoOf(error));
  }

  /** Answers with an errno that the file system's contract has no name for. */
  refuse(header: RequestHeader, errno: number): void {
    this.#send(header, 0, errno);
  }

  #deliver<T>(header: RequestHeader, value: T, encode: Encode<T>, undo: Undo<T> | undefined): void {
    const { trust } = this;
    const began = trust === undefined ? 0 : performance.now();
    if (trust !== undefined) this.reply.validity = trust.validityAt(began);
    let length: number;
    try {
      length = encode(this, value);
    } catch (error) {
      undo?.(this, value);
      return this.fail(header, error);
    }
    if (length === answeredElsewhere) return;
    const sent = length < 0 ? this.#send(header, 0, -length) : this.#send(header, length, 0);
    if (!sent) undo?.(this, value);
    if (trust?.leftInTime(began, this.reply.validity) === false) this.#takeBack(header, value);
  }

  /** This process stood still between looking how long the kernel may trust an answer and sending it. */
  #takeBack(header: RequestHeader, value: unknown): void {
    if (this.device.sendNow(encodeIncrementEpoch()) < 0) {
      // Kernels before 6.16 have to be told each name.
      const names = header.name === undefined ? namesIn(value) : [header.name];
      for (const name of names) void this.notifier.invalidateEntry(header.node, name);
    }
    for (const inode of [header.node, ...inodesIn(value)]) void this.notifier.invalidateInode(inode, -1, 0);
  }

  #send(header: RequestHeader, bodyBytes: number, errno: number): boolean {
    if (header.opcode !== opcodes.lookup && header.opcode !== opcodes.getattr) this.justLookedUp?.answersElse();
    this.reply.begin(header, bodyBytes, errno);
    const sliced = this.reply.slices.length > 0;
    return this.device.sendReply(this.reply, sliced ? replyHeaderBytes : replyHeaderBytes + bodyBytes);
  }

  #finish(pending: Pending): boolean {
    const wasFull = this.inFlight.isFull;
    const ours = this.inFlight.finish(pending);
    if (wasFull && !this.inFlight.isFull) this.device.resume();
    return ours;
  }

  #giveUp(pending: Pending, errno: 'ETIMEDOUT' | 'EINTR'): void {
    if (!this.#finish(pending)) return;
    if (pending.header.page !== undefined) this.#losePages(pending.header.node, [pending.header.page]);
    if (errno === 'ETIMEDOUT') this.log(pending.header, new FileSystemError('ETIMEDOUT', 'the request took too long'));
    this.#send(pending.header, 0, errnos[errno]);
  }

  /** A failure that somebody should hear of. */
  log(header: RequestHeader, error: unknown): void {
    this.#note('a file system request failed', { operation: operationName(header.opcode), inode: header.node, error });
  }

  #note(text: string, fields: { readonly operation?: string; readonly inode: number; readonly error: unknown }): void {
    this.failures++;
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#logSecond) {
      this.#logSecond = second;
      this.#logLines = 0;
    }
    if (++this.#logLines > maxLogLines) return;
    const { error } = fields;
    // What has an errno or a code says itself what it is: where it was thrown is of interest only where nobody expected it.
    const stack = error instanceof FileSystemError || !(error instanceof Error) || codeOf(error) !== 'bug' ? undefined : error.stack;
    this.#logger.error(text, { ...fields, ...(stack === undefined ? {} : { stack }) });
  }

  /**
   * The kernel is to ask again for the attributes of an inode that the request at hand holds open. This notification takes
   * neither a page nor a directory lock and the inode cannot be on its way out, so it may be written at once, and the asker
   * sees the new attributes as soon as it has its answer.
   */
  invalidateAttributesNow(inode: number): void {
    this.device.sendNow(encodeInvalidateInode(inode, -1, 0));
  }

  /** The kernel wrote dirty pages and does not know that the file takes more blocks now; on a close it asks by itself. */
  noteWritten(inode: number): void {
    if (this.written.add(inode)) void this.notifier.invalidateInode(inode, -1, 0);
  }
}

/** Names that a listing tells with their attributes. */
function namesIn(value: unknown): readonly string[] {
  if (!Array.isArray(value)) return [];
  const entries = value as readonly (DirectoryEntry | Uint8Array)[];
  return entries.flatMap((entry) => ('attributes' in entry && entry.attributes !== undefined ? [entry.name] : []));
}

/** Inodes whose attributes a result carries. */
function inodesIn(value: unknown): readonly number[] {
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap(inodesIn);
  if ('attributes' in value) return inodesIn(value.attributes);
  return 'inode' in value && typeof value.inode === 'number' ? [value.inode] : [];
}
