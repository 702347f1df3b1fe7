import { codeOf, InfinitError, messageOf } from '../base/index.ts';
import { messageBuffers } from './buffer-pool.ts';
import { encodeError, frameType, type IncomingFrame, outgoing, type OutgoingFrame } from './frame.ts';
import type { Switchboard } from './switchboard.ts';
import type { Body, Channel, IncomingCall, PeerId } from './calls.ts';
import { Desk, type Place } from './desk.ts';
import { maxBodyBytes, maxServed, maxServedBytes, highWaterBytes } from './limits.ts';

/** A request or notification that is being served. Its abort signal is made only when somebody looks. */
class Call implements IncomingCall {
  readonly deadlineMs: number;
  readonly channel: Channel;
  #controller: AbortController | undefined;
  #cancelled = false;

  constructor(channel: Channel, deadlineMs: number) {
    this.channel = channel;
    this.deadlineMs = deadlineMs;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  get cancelled(): boolean {
    return this.#cancelled;
  }

  cancel(): void {
    this.#cancelled = true;
    this.#controller?.abort();
  }
}

/**
 * Serves what one peer asks for, a bounded number at once. The connection is always read on, since replies come the same way and two
 * hosts that both stop reading would wait for each other: requests wait here instead, and too many are answered `overloaded`.
 */
export class Service {
  readonly #peer: PeerId;
  readonly #board: Switchboard;
  readonly #lines: Readonly<Record<Channel, { readonly queuedBytes: number }>>;
  readonly #send: (channel: Channel, frame: OutgoingFrame) => void;
  readonly #desks: Readonly<Record<Channel, Desk>> = {
    control: new Desk('control'),
    bulk: new Desk('bulk'),
  };
  readonly #calls = new Map<number, Call>();
  #closed = false;

  constructor(
    peer: PeerId,
    board: Switchboard,
    lines: Readonly<Record<Channel, { readonly queuedBytes: number }>>,
    send: (channel: Channel, frame: OutgoingFrame) => void,
  ) {
    this.#peer = peer;
    this.#board = board;
    this.#lines = lines;
    this.#send = send;
  }

  request(channel: Channel, frame: IncomingFrame): void {
    if (!this.#board.mayAsk(this.#peer)) return this.#refuse(channel, frame, new InfinitError('denied', notMember(this.#peer)));
    if (this.#board.handler(frame.kind) === undefined) return this.#refuse(channel, frame, unknownKind(frame.kind));
    if (!this.#board.serves(frame.kind, channel))
      return this.#refuse(channel, frame, new InfinitError('bad-argument', `message kind ${frame.kind} is not served on the ${channel} channel`));
    if (!this.#admit(channel, frame)) this.#refuse(channel, frame, new InfinitError('overloaded', 'too many requests wait to be served'));
  }

  /** One that cannot be taken is lost: notifications promise nothing. */
  notification(channel: Channel, frame: IncomingFrame): void {
    const { kind } = frame;
    if (this.#board.handler(kind) !== undefined && this.#board.mayAsk(this.#peer) && this.#board.serves(kind, channel)) this.#admit(channel, frame);
  }

  /** The caller gave up: a request that waits is forgotten, one that is served is told. */
  cancel(id: number): void {
    this.#calls.get(id)?.cancel();
    for (const desk of [this.#desks.control, this.#desks.bulk]) desk.cancel(id);
  }

  /** The channel may have room for replies again. */
  resume(channel: Channel): void {
    const desk = this.#desks[channel];
    for (const place of desk.places()) {
      for (const frame of place.waiting) {
        if (!this.#isFree(channel, frame, place) || this.#closed) break;
        desk.leave(place, frame);
        if (this.#board.mayAsk(this.#peer)) this.#serve(channel, frame, place);
        else this.#refuse(channel, frame, new InfinitError('denied', notMember(this.#peer)));
      }
    }
  }

  close(): void {
    this.#closed = true;
    for (const call of this.#calls.values()) call.cancel();
    this.#calls.clear();
    for (const desk of [this.#desks.control, this.#desks.bulk]) desk.clear();
  }

  /** Whether a request may be served now; one that is larger than all the room goes alone. */
  #isFree(channel: Channel, frame: IncomingFrame, place: Place): boolean {
    const { serving, servingBytes } = this.#desks[channel];
    const hasRoom = servingBytes === 0 || servingBytes + frame.body.length <= maxServedBytes;
    return serving < maxServed[channel] && hasRoom && place.hasRoom(frame) && this.#lines[channel].queuedBytes < highWaterBytes;
  }

  #admit(channel: Channel, frame: IncomingFrame): boolean {
    const desk = this.#desks[channel];
    const place = desk.placeOf(frame, frame.type === frameType.request ? this.#board.largeAnswer(frame.kind, frame.body) : undefined);
    if (place.waiting.size > 0 || !this.#isFree(channel, frame, place)) return desk.wait(place, frame);
    this.#serve(channel, frame, place);
    return true;
  }

  #serve(channel: Channel, frame: IncomingFrame, place: Place): void {
    const handler = this.#board.handler(frame.kind);
    // It was there when the request came.
    if (handler === undefined) return this.#refuse(channel, frame, unknownKind(frame.kind));
    this.#board.noteServed(frame.kind);
    const call = new Call(channel, frame.deadlineMs);
    let reply: Body | undefined | Promise<Body | undefined>;
    try {
      reply = handler(this.#peer, frame.body, call);
    } catch (error) {
      return this.#fail(channel, frame, call, error);
    }
    if (!(reply instanceof Promise)) return this.#reply(channel, frame, call, reply);
    this.#desks[channel].serving++;
    this.#desks[channel].servingBytes += frame.body.length;
    place.begin(frame);
    if (frame.type === frameType.request) this.#calls.set(frame.id, call);
    void this.#answerLater(channel, frame, call, reply, place);
  }

  async #answerLater(channel: Channel, frame: IncomingFrame, call: Call, reply: Promise<Body | undefined>, place: Place): Promise<void> {
    try {
      this.#reply(channel, frame, call, await reply);
    } catch (error) {
      this.#fail(channel, frame, call, error);
    }
    if (frame.own !== undefined && this.#board.borrows(frame.kind)) messageBuffers.give(frame.own);
    const desk = this.#desks[channel];
    desk.serving--;
    desk.servingBytes -= frame.body.length;
    place.end(frame);
    if (this.#calls.get(frame.id) === call) this.#calls.delete(frame.id);
    if (desk.waiting > 0) this.resume(channel);
  }

  #reply(channel: Channel, frame: IncomingFrame, call: Call, body: Body = []): void {
    if (this.#closed || call.cancelled || frame.type !== frameType.request) return;
    const reply = outgoing(frameType.reply, frame.kind, frame.id, 0, body instanceof Uint8Array ? [body] : body);
    if (reply.bytes <= maxBodyBytes) this.#send(channel, reply);
    else this.#refuse(channel, frame, new InfinitError('too-large', `a reply of ${reply.bytes} bytes is over the limit of ${maxBodyBytes}`));
  }

  #fail(channel: Channel, frame: IncomingFrame, call: Call, error: unknown): void {
    if (codeOf(error) === 'bug') this.#board.onBug(error);
    if (!this.#closed && !call.cancelled) this.#refuse(channel, frame, error);
  }

  #refuse(channel: Channel, frame: IncomingFrame, error: unknown): void {
    if (this.#closed || frame.type !== frameType.request) return;
    this.#send(channel, outgoing(frameType.error, frame.kind, frame.id, 0, [encodeError(codeOf(error), messageOf(error))]));
  }
}

function notMember(peer: PeerId): string {
  return `host ${peer} is no member any more`;
}

function unknownKind(kind: number): InfinitError {
  return new InfinitError('unsupported', `this host does not know message kind ${kind}`);
}
