import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { InfinitError, type Logger, type Records, systemClock } from '../base/index.ts';
import { errnos, type FileSystem } from '../filesystem/index.ts';
import { type Addon, loadAddon } from './addon.ts';
import { type DeviceEnd, FuseDevice } from './device.ts';
import { noteTrust, takeTrust } from './earlier-trust.ts';
import { Exchange } from './exchange.ts';
import { Handles } from './handles.ts';
import { KernelTrust } from './kernel-trust.ts';
import { Notifier } from './notifier.ts';
import { PageNotes } from './page-notes.ts';
import { operations, operationsWithoutOpens } from './operations/index.ts';
import { defaultFuseOptions, type FuseOptions } from './options.ts';
import {
  decodeHeader,
  decodeInit,
  encodeIncrementEpoch,
  encodeResend,
  hasResend,
  isSole,
  linux,
  malformed,
  type Message,
  minMinor,
  negotiate,
  opcodes,
  operationName,
  putInit,
  type RequestHeader,
  type SavedInit,
} from './wire/index.ts';

const EPROTO = 71;
/** How often files that were written are looked at, whether that goes on. */
const sweepMs = 1000;

/** How long requests in flight may hold up a stop. */
const stopLimitMs = 10_000;

/** What {@link serveFileSystem} needs. */
export interface ServeSettings {
  /** A /dev/fuse descriptor that is mounted already. Stays the caller's: to be closed after `closed`. */
  readonly fd: number;
  readonly fileSystem: FileSystem;
  readonly options?: Partial<FuseOptions>;
  readonly logger: Logger;
  /** Called when requests have come: once for all of them that are read together. */
  readonly onRequests?: () => void;
  /** The agreement of the daemon that served this mount before and died. */
  readonly adopted?: SavedInit;
  /** Names a mount that is new, over all daemons that will serve it; absent: a random one. */
  readonly asker?: string;
  /** What the next daemon of the mount will know of its programs' locks, and what the one before left. */
  readonly lockRecords?: Records;
  /** Where the next daemon of the mount finds how long what this one told the kernel is trusted. */
  readonly memory?: Uint8Array;
  /** How to reach the kernel: tests play the kernel themselves. */
  readonly transport?: Addon;
}

/** Figures of one session. */
export interface FuseStatistics {
  /** Requests so far by name; those that never came are left out. */
  readonly operations: Readonly<Record<string, number>>;
  readonly inFlight: number;
  readonly lockWaits: number;
  /** Requests that failed otherwise than a program would expect. */
  readonly failures: number;
  readonly notifications: { readonly sent: number; readonly queued: number };
  /** The longest that one wake-up held the event loop. */
  readonly longestWakeupMs: number;
}

/** Serves a mounted volume in the calling thread's event loop until it is unmounted. That thread must never touch the mount. */
export function serveFileSystem(settings: ServeSettings): FuseSession {
  return new FuseSession(settings);
}

/** One mount being served. */
export class FuseSession {
  /** Resolves with what was agreed with the kernel, once it has asked: keep it for a daemon that may have to take over. */
  readonly ready: Promise<SavedInit>;
  /** Resolves when there will be no more requests. */
  readonly closed: Promise<DeviceEnd>;
  /** Drops what the kernel cached. Each call's promise resolves when that is done. */
  readonly notify: Notifier;
  readonly #exchange: Exchange;
  readonly #device: FuseDevice;
  readonly #logger: Logger;
  readonly #settleReady = Promise.withResolvers<SavedInit>();
  readonly #settleClosed = Promise.withResolvers<DeviceEnd>();
  readonly #asker: string;
  #operations = operations;
  /** Returns for how long the kernel may trust yet what it was told, in ms. */
  readonly #closeTrust: () => number;
  #sweep: NodeJS.Timeout | undefined;

  constructor({ fd, fileSystem, options, logger, onRequests, adopted, asker, lockRecords, memory, transport }: ServeSettings) {
    this.#asker = asker ?? randomUUID();
    const addon = transport ?? loadAddon();
    this.#logger = logger;
    this.ready = this.#settleReady.promise;
    this.ready.catch(() => {});
    this.closed = this.#settleClosed.promise;
    this.notify = new Notifier(addon, fd, logger);
    this.#device = new FuseDevice(
      fd,
      addon,
      (message) => this.#serve(message),
      (end) => void this.#end(end),
      onRequests,
    );
    const earlierMs = adopted === undefined || memory === undefined ? undefined : takeTrust(memory, adopted.generation);
    const notes = new PageNotes((inode) => fileSystem.mapping?.(inode), lockRecords);
    const trust = options?.leased === true ? new KernelTrust(this.notify, adopted !== undefined, earlierMs, notes) : undefined;
    this.#closeTrust = () => {
      const leftMs = trust?.close() ?? 0;
      const generation = this.#exchange.init?.generation;
      if (memory !== undefined && generation !== undefined) noteTrust(memory, generation, systemClock.monotonicMs() + leftMs);
      return leftMs;
    };
    this.#exchange = new Exchange(fileSystem, this.#device, this.notify, { ...defaultFuseOptions, ...options }, logger, trust, lockRecords);
    if (adopted !== undefined) this.#adopt(adopted);
    fileSystem.attach({
      ...this.notify.kernelCache,
      drop: (inode) => trust?.drop(inode),
      distrust: (inode) => trust?.distrust(inode),
      dropOpen: () => trust?.dropOpen(),
      settle: (right) => trust?.settle(right),
      lost: (inode, byEarlier = false) => this.#exchange.lost(inode, byEarlier),
      hasStale: () => trust?.hasStale === true,
      beginSole: (forMs) => trust?.begin(forMs),
      endSole: (lost) => trust?.end(lost) ?? { expired: undefined, dropped: Promise.resolve() },
    });
    this.#device.resume();
  }

  get statistics(): FuseStatistics {
    const { counts, inFlight, failures } = this.#exchange;
    const named: Record<string, number> = {};
    counts.forEach((count, opcode) => {
      if (count > 0) named[operationName(opcode)] = count;
    });
    return {
      operations: named,
      inFlight: inFlight.size,
      lockWaits: inFlight.lockWaits,
      failures,
      notifications: this.notify.statistics,
      longestWakeupMs: this.#device.longestWakeupMs,
    };
  }

  /**
   * Reads no more requests, so that another daemon may take over. Those in flight are answered first; who waits for a lock
   * is left to the next daemon. Then `closed` resolves.
   */
  stop(): void {
    this.#device.stop();
  }

  /** There is no second INIT: the earlier daemon's agreement stands, and what it had read is asked for again. */
  #adopt(adopted: SavedInit): void {
    const init = { ...adopted, generation: adopted.generation + 1 };
    this.#agree(init);
    const resent = hasResend(init) ? this.#device.sendNow(encodeResend()) : -errnos.ENOSYS;
    if (resent < 0) this.#logger.warn('requests that the last daemon had read cannot be had again', { errno: -resent });
    // The kernel may remember names that the crash undid. Kernels before 6.16 know no such notification.
    this.#device.sendNow(encodeIncrementEpoch());
  }

  #agree(init: SavedInit): void {
    this.#exchange.init = init;
    this.#exchange.handles = new Handles(init.generation);
    if (isSole(init)) {
      this.#operations = operationsWithoutOpens;
      this.#sweep = setInterval(() => this.#exchange.written.sweep(), sweepMs).unref();
    }
    this.#settleReady.resolve(init);
  }

  #serve(message: Message): void {
    let header: RequestHeader | undefined;
    try {
      header = decodeHeader(message);
      const { opcode } = header;
      const operation = this.#operations[opcode];
      if (operation === undefined) return opcode === opcodes.init ? this.#init(header, message) : this.#exchange.refuse(header, errnos.ENOSYS);
      this.#exchange.counts[opcode]!++;
      if (!Number.isSafeInteger(header.node)) throw malformed('a node id beyond 2^53');
      if (opcode !== opcodes.getattr) this.#exchange.justLookedUp?.asksElse(header.pid);
      this.#exchange.serve(header, () => operation(this.#exchange, header!, message));
    } catch (error) {
      if (header === undefined) this.#logger.error('a request without a readable header', { error });
      else if (isOneWay(header.opcode)) this.#exchange.log(header, error);
      else this.#exchange.fail(header, error);
    }
  }

  #init(header: RequestHeader, message: Message): void {
    const { options } = this.#exchange;
    const offer = decodeInit(message);
    const init = negotiate(offer, options);
    if (init === undefined || this.#exchange.init !== undefined) {
      this.#exchange.refuse(header, EPROTO);
      const what = `the kernel speaks FUSE ${offer.major}.${offer.minor}, 7.${minMinor} (Linux ${linux.least}) is the least`;
      return this.#settleReady.reject(new InfinitError('unsupported', what));
    }
    this.#exchange.answer(header, init, ({ reply }, agreed) => putInit(reply, agreed, options.readAheadBytes));
    this.#agree({ ...init, asker: this.#asker });
  }

  async #end(end: DeviceEnd): Promise<void> {
    clearInterval(this.#sweep);
    if (end === 'stopped') await this.#exchange.inFlight.settled(stopLimitMs);
    this.#exchange.inFlight.clear();
    const trustedMs = this.#closeTrust();
    // Whoever hears that this is closed gives the volume to other hosts.
    if (end === 'stopped' && trustedMs > 0) await sleep(Math.ceil(trustedMs) + 1);
    this.#exchange.forgets.finish();
    this.notify.close();
    this.#settleReady.reject(new InfinitError('closed', 'the mount ended before it began'));
    this.#settleClosed.resolve(end);
  }
}

/** Requests that the kernel awaits no answer to. */
function isOneWay(opcode: number): boolean {
  return opcode === opcodes.forget || opcode === opcodes.batchForget || opcode === opcodes.interrupt;
}
