import { type Addon, maxSlices, type WatchToken } from './addon.ts';
import { maxTransferBytes, Message, type Reply } from './wire/index.ts';

/** Requests served in one wake-up at most: other callbacks of the loop get their turn in between. */
const maxRequestsPerWakeup = 16;
/** No wake-up begins another request after this time. */
const maxWakeupMs = 2;
/** A WRITE of the largest size with its headers; the kernel refuses smaller buffers. */
const receiveBytes = maxTransferBytes + 4096;

/** Errnos of include/uapi/asm-generic/errno*.h that the device answers with. */
const [ENOENT, EINTR, EAGAIN, ENODEV, ECONNABORTED] = [2, 4, 11, 19, 103];

/** Why a device gives no more requests. */
export type DeviceEnd = 'unmounted' | 'aborted' | 'stopped' | { readonly errno: number };

/** One /dev/fuse descriptor in this thread's event loop. It does not own the descriptor. */
export class FuseDevice {
  /** The longest time that one wake-up held the event loop. */
  longestWakeupMs = 0;
  readonly #fd: number;
  readonly #addon: Addon;
  readonly #message = new Message(receiveBytes);
  readonly #onRequest: (message: Message) => void;
  readonly #onWakeup: () => void;
  readonly #onEnd: (end: DeviceEnd) => void;
  #token: WatchToken | undefined;
  #ended = false;

  /** @param onWakeup Called before the requests of each wake-up. */
  constructor(fd: number, addon: Addon, onRequest: (message: Message) => void, onEnd: (end: DeviceEnd) => void, onWakeup: () => void = () => {}) {
    this.#fd = fd;
    this.#addon = addon;
    this.#onRequest = onRequest;
    this.#onEnd = onEnd;
    this.#onWakeup = onWakeup;
  }

  /** Starts to read, or goes on after {@link pause}. */
  resume(): void {
    if (this.#ended || this.#token !== undefined) return;
    const token = this.#addon.watch(this.#fd, () => this.#drain());
    if (typeof token === 'number') this.#end({ errno: -token });
    else this.#token = token;
  }

  /** Leaves requests in the kernel for now. */
  pause(): void {
    if (this.#token === undefined) return;
    this.#addon.unwatch(this.#token);
    this.#token = undefined;
  }

  /** Reads no more. */
  stop(): void {
    this.#end('stopped');
  }

  /** Sends a reply with its slices. False: the kernel no longer waits for it. */
  sendReply(reply: Reply, length: number): boolean {
    const slices = reply.slices;
    if (slices.length === 0) return this.#addon.send(this.#fd, reply.bytes, length) >= 0;
    reply.slices = [];
    const few = slices.length > maxSlices ? [Buffer.concat(slices)] : slices;
    return this.#addon.sendSlices(this.#fd, reply.bytes, length, few) >= 0;
  }

  /** Sends a notification that never waits in the kernel: any other goes through a `Notifier`. */
  sendNow(message: Message): number {
    return this.#addon.send(this.#fd, message.bytes, message.length);
  }

  #drain(): void {
    this.#onWakeup();
    const started = performance.now();
    let now = started;
    for (let served = 0; served < maxRequestsPerWakeup && now - started < maxWakeupMs; served++) {
      if (this.#token === undefined) break;
      const length = this.#addon.receive(this.#fd, this.#message.bytes);
      if (length >= 0) {
        this.#message.length = length;
        this.#onRequest(this.#message);
        now = performance.now();
      } else if (length === -EAGAIN) break;
      // ENOENT: the request was withdrawn while it was being handed over.
      else if (length !== -ENOENT && length !== -EINTR) {
        this.#end(length === -ENODEV ? 'unmounted' : length === -ECONNABORTED ? 'aborted' : { errno: -length });
        break;
      }
    }
    if (now - started > this.longestWakeupMs) this.longestWakeupMs = now - started;
  }

  #end(end: DeviceEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.pause();
    this.#onEnd(end);
  }
}
