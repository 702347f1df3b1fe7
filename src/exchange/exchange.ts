import { assert, InfinitError } from '../base/index.ts';
import { decodeError, frameType, type IncomingFrame, outgoing, type OutgoingFrame } from './frame.ts';
import type { Switchboard } from './switchboard.ts';
import { Service } from './service.ts';
import type { Body, Channel, Kind, PeerId, RequestOptions } from './calls.ts';
import {
  defaultDeadlineMs,
  maxBodyBytes,
  maxBulkInFlightBytes,
  maxBulkWaiting,
  maxBulkWaitingBytes,
  maxLineBytes,
  maxRequestsInFlight,
} from './limits.ts';

/** One direction of one channel: takes frames, sends all of a tick in one write, and slows down with the connection. */
export interface Line {
  send(frame: OutgoingFrame): void;
  /** Bytes that have not left. */
  readonly queuedBytes: number;
}

interface Waiting {
  readonly id: number;
  readonly resolve: (reply: Uint8Array) => void;
  readonly reject: (error: InfinitError) => void;
  readonly frame: OutgoingFrame;
  readonly channel: Channel;
  readonly expiresAt: number;
  readonly deadlineMs: number;
  /** Bulk bytes it holds while in flight. */
  readonly charge: number;
  readonly unlisten: (() => void) | undefined;
  started: boolean;
}

/** The longest that a timer can be set to, in ms. */
const maxTimerMs = 2 ** 31 - 1;
/** A deadline may be seen this much late, so that many of them share one timer. */
const timerSlackMs = 2;

/**
 * The conversation with one peer over one session: pairs requests with replies, watches deadlines, bounds what is in flight. It knows
 * nothing of sockets: a {@link Line} a channel carries its frames, and {@link receive} takes what arrives.
 */
export class Exchange {
  readonly peer: PeerId;
  /** Frames that were sent and received. */
  readonly talk = { sent: 0, received: 0 };
  readonly #board: Switchboard;
  readonly #lines: Readonly<Record<Channel, Line>>;
  readonly #service: Service;
  /** In order of their start. */
  readonly #waiting = new Map<number, Waiting>();
  /** In the order in which they came. */
  readonly #bulkQueue = new Set<Waiting>();
  #bulkQueueBytes = 0;
  #bulkInFlight = 0;
  #nextId = 1;
  #closed: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;
  readonly #onOverrun: (reason: string) => void;

  /** @param onOverrun The peer asks without reading the answers: the session is to be broken. */
  constructor(peer: PeerId, board: Switchboard, lines: Readonly<Record<Channel, Line>>, onOverrun: (reason: string) => void) {
    this.peer = peer;
    this.#board = board;
    this.#lines = lines;
    this.#onOverrun = onOverrun;
    this.#service = new Service(peer, board, lines, (channel, frame) => this.#send(channel, frame));
  }

  /** Requests whose reply has not come: a session that is being replaced lives until there are none. */
  get inFlight(): number {
    return this.#waiting.size;
  }

  request(kind: Kind, body: Body, options: RequestOptions = {}): Promise<Uint8Array> {
    const { channel = 'control', deadlineMs = defaultDeadlineMs, signal } = options;
    const parts = body instanceof Uint8Array ? [body] : body;
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) return reject(new InfinitError('unavailable', `no connection with ${this.peer}: ${this.#closed}`));
      if (signal?.aborted === true) return reject(new InfinitError('cancelled', `the request to ${this.peer} was cancelled before it began`));
      const id = this.#freeId();
      const wait = Math.max(1, Math.ceil(deadlineMs));
      const frame = outgoing(frameType.request, kind, id, Math.min(wait, 0xffff_ffff), parts);
      const refusal = this.#refusal(channel, frame);
      if (refusal !== undefined) return reject(refusal);
      const cancel = (): void => this.#giveUp(id, 'cancelled', 'was cancelled');
      signal?.addEventListener('abort', cancel, { once: true });
      const waiting: Waiting = {
        id,
        resolve,
        reject,
        frame,
        channel,
        deadlineMs: wait,
        expiresAt: performance.now() + wait,
        charge: channel === 'bulk' ? frame.bytes + (options.replyBytes ?? 0) : 0,
        unlisten: signal === undefined ? undefined : () => signal.removeEventListener('abort', cancel),
        started: false,
      };
      this.#waiting.set(id, waiting);
      this.#watch(waiting.expiresAt);
      if (channel === 'control') this.#start(waiting);
      else this.#enqueueBulk(waiting);
    });
  }

  notify(kind: Kind, body: Body, channel: Channel): boolean {
    const frame = outgoing(frameType.notify, kind, 0, 0, body instanceof Uint8Array ? [body] : body);
    if (this.#closed !== undefined || this.#refusal(channel, frame) !== undefined) return false;
    // Nothing else holds them back: they wait for no reply.
    if (this.#lines[channel].queuedBytes + frame.bytes > maxBulkWaitingBytes) return false;
    this.#send(channel, frame);
    return true;
  }

  /** Takes a frame that arrived on a channel. */
  receive(channel: Channel, frame: IncomingFrame): void {
    if (this.#closed !== undefined) return;
    const { traffic } = this.#board;
    this.talk.received++;
    traffic.receivedMessages++;
    traffic.receivedBytes += frame.body.length;
    if (frame.type === frameType.reply || frame.type === frameType.error) {
      const waiting = this.#waiting.get(frame.id);
      // Nobody waits any more where the deadline passed; an id that never was is a peer's mistake and harms nobody.
      if (waiting === undefined || !waiting.started) return;
      this.#settle(waiting);
      if (frame.type === frameType.reply) waiting.resolve(frame.body);
      else waiting.reject(decodeError(frame.body));
    } else if (frame.type === frameType.request) this.#service.request(channel, frame);
    else if (frame.type === frameType.notify) this.#service.notification(channel, frame);
    else if (frame.type === frameType.cancel) this.#service.cancel(frame.id);
    // A later minor version may know more types; what it must have answered it sends as a request.
  }

  /** The line of a channel has room again. */
  drained(channel: Channel): void {
    this.#service.resume(channel);
  }

  /** Ends the conversation: what left is unknown, what did not is unavailable, what the peer asked for is cancelled. */
  close(reason: string): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    clearTimeout(this.#timer);
    this.#service.close();
    for (const waiting of this.#waiting.values()) {
      waiting.unlisten?.();
      waiting.reject(
        waiting.frame.left
          ? new InfinitError('unknown-outcome', `the connection with ${this.peer} broke before the reply came: ${reason}`)
          : new InfinitError('unavailable', `the connection with ${this.peer} broke before the request left: ${reason}`),
      );
    }
    this.#waiting.clear();
    this.#bulkQueue.clear();
  }

  #refusal(channel: Channel, frame: OutgoingFrame): InfinitError | undefined {
    if (frame.bytes > maxBodyBytes) return new InfinitError('too-large', `a message of ${frame.bytes} bytes is over the limit of ${maxBodyBytes}`);
    if (this.#waiting.size >= maxRequestsInFlight)
      return new InfinitError('overloaded', `${this.#waiting.size} requests to ${this.peer} are under way`);
    const full =
      channel === 'bulk'
        ? this.#bulkQueue.size >= maxBulkWaiting || this.#bulkQueueBytes + frame.bytes > maxBulkWaitingBytes
        : this.#lines.control.queuedBytes + frame.bytes > maxBulkWaitingBytes;
    return full ? new InfinitError('overloaded', `too many ${channel} bytes wait for ${this.peer}`) : undefined;
  }

  #freeId(): number {
    while (this.#waiting.has(this.#nextId) || this.#nextId === 0) this.#nextId = (this.#nextId + 1) >>> 0;
    const id = this.#nextId;
    this.#nextId = (id + 1) >>> 0;
    return id;
  }

  #start(waiting: Waiting): void {
    waiting.started = true;
    this.#bulkInFlight += waiting.charge;
    this.#send(waiting.channel, waiting.frame);
  }

  #enqueueBulk(waiting: Waiting): void {
    if (this.#bulkQueue.size === 0 && this.#hasRoom(waiting)) return this.#start(waiting);
    this.#bulkQueue.add(waiting);
    this.#bulkQueueBytes += waiting.frame.bytes;
  }

  /** A message larger than all the room goes alone. */
  #hasRoom(waiting: Waiting): boolean {
    return this.#bulkInFlight === 0 || this.#bulkInFlight + waiting.charge <= maxBulkInFlightBytes;
  }

  #pumpBulk(): void {
    for (const next of this.#bulkQueue) {
      if (!this.#hasRoom(next)) return;
      this.#leaveQueue(next);
      this.#start(next);
    }
  }

  #leaveQueue(waiting: Waiting): void {
    if (this.#bulkQueue.delete(waiting)) this.#bulkQueueBytes -= waiting.frame.bytes;
  }

  #settle(waiting: Waiting): void {
    this.#waiting.delete(waiting.id);
    // An idle exchange keeps no program alive; the next request finds the timer set, most often.
    if (this.#waiting.size === 0) this.#timer?.unref();
    waiting.unlisten?.();
    if (waiting.channel === 'control') return;
    if (!waiting.started) return this.#leaveQueue(waiting);
    this.#bulkInFlight -= waiting.charge;
    assert(this.#bulkInFlight >= 0, 'bulk bytes in flight are counted once each');
    this.#pumpBulk();
  }

  #giveUp(id: number, code: 'cancelled' | undefined, why: string): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    const { left } = waiting.frame;
    if (left) this.#send(waiting.channel, outgoing(frameType.cancel, waiting.frame.kind, id, 0, []));
    else waiting.frame.dropped = true;
    this.#settle(waiting);
    waiting.reject(new InfinitError(code ?? (left ? 'unknown-outcome' : 'unavailable'), `the request to ${this.peer} ${why}`));
  }

  /** One timer for all deadlines: it sleeps until the nearest one it knew when it was set. */
  #watch(expiresAt: number): void {
    if (expiresAt >= this.#timerAt - timerSlackMs) {
      this.#timer!.ref();
      return;
    }
    clearTimeout(this.#timer);
    this.#timerAt = expiresAt;
    this.#timer = setTimeout(() => this.#expire(), Math.min(maxTimerMs, Math.max(1, expiresAt - performance.now())));
  }

  #expire(): void {
    const now = performance.now();
    this.#timerAt = Infinity;
    let nearest = Infinity;
    for (const waiting of this.#waiting.values()) {
      if (waiting.expiresAt <= now + timerSlackMs) this.#giveUp(waiting.id, undefined, `got no reply within ${waiting.deadlineMs} ms`);
      else if (waiting.expiresAt < nearest) nearest = waiting.expiresAt;
    }
    if (nearest < Infinity) this.#watch(nearest);
  }

  #send(channel: Channel, frame: OutgoingFrame): void {
    const { traffic } = this.#board;
    this.talk.sent++;
    traffic.sentMessages++;
    traffic.sentBytes += frame.bytes;
    const line = this.#lines[channel];
    line.send(frame);
    if (line.queuedBytes > maxLineBytes) this.#onOverrun(`${line.queuedBytes} bytes wait for a peer that does not read`);
  }
}
