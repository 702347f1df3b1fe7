import { codeOf, InfinitError, messageOf } from '../base/index.ts';
import { messageBuffers } from './buffer-pool.ts';
import { encodeError, frameType, type IncomingFrame, outgoing, type OutgoingFrame } from './frame.ts';
import type { Switchboard } from './switchboard.ts';
import type { Body, Channel, IncomingCall, PeerId } from './calls.ts';
import { maxBacklog, maxBacklogBytes, maxBodyBytes, maxServed, maxServedBytes, highWaterBytes } from './limits.ts';

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

interface Desk {
  serving: number;
  servingBytes: number;
  /** In the order in which they came. */
  readonly backlog: Set<IncomingFrame>;
  backlogBytes: number;
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
    control: { serving: 0, servingBytes: 0, backlog: new Set(), backlogBytes: 0 },
    bulk: { serving: 0, servingBytes: 0, backlog: new Set(), backlogBytes: 0 },
  };
  /** Requests in the backlogs, by their ids. */
  readonly #waiting = new Map<number, { readonly desk: Desk; readonly frame: IncomingFrame }>();
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
    const waiting = this.#waiting.get(id);
    if (waiting !== undefined) this.#leaveBacklog(waiting.desk, waiting.frame);
  }

  /** The channel may have room for replies again. */
  resume(channel: Channel): void {
    const desk = this.#desks[channel];
    for (const frame of desk.backlog) {
      if (!this.#isFree(channel, frame.body.length) || this.#closed) return;
      this.#leaveBacklog(desk, frame);
      if (this.#board.mayAsk(this.#peer)) this.#serve(channel, frame);
      else this.#refuse(channel, frame, new InfinitError('denied', notMember(this.#peer)));
    }
  }

  #leaveBacklog(desk: Desk, frame: IncomingFrame): void {
    desk.backlog.delete(frame);
    desk.backlogBytes -= frame.body.length;
    if (this.#waiting.get(frame.id)?.frame === frame) this.#waiting.delete(frame.id);
  }

  close(): void {
    this.#closed = true;
    for (const call of this.#calls.values()) call.cancel();
    this.#calls.clear();
    for (const desk of [this.#desks.control, this.#desks.bulk]) desk.backlog.clear();
    this.#waiting.clear();
  }

  /** Whether a request of so many bytes may be served now; one that is larger than all the room goes alone. */
  #isFree(channel: Channel, bytes: number): boolean {
    const { serving, servingBytes } = this.#desks[channel];
    const hasRoom = servingBytes === 0 || servingBytes + bytes <= maxServedBytes;
    return serving < maxServed[channel] && hasRoom && this.#lines[channel].queuedBytes < highWaterBytes;
  }

  #admit(channel: Channel, frame: IncomingFrame): boolean {
    const desk = this.#desks[channel];
    if (desk.backlog.size === 0 && this.#isFree(channel, frame.body.length)) {
      this.#serve(channel, frame);
      return true;
    }
    if (desk.backlog.size >= maxBacklog[channel] || desk.backlogBytes + frame.body.length > maxBacklogBytes) return false;
    desk.backlog.add(frame);
    if (frame.type === frameType.request) this.#waiting.set(frame.id, { desk, frame });
    desk.backlogBytes += frame.body.length;
    return true;
  }

  #serve(channel: Channel, frame: IncomingFrame): void {
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
    if (frame.type === frameType.request) this.#calls.set(frame.id, call);
    void this.#answerLater(channel, frame, call, reply);
  }

  async #answerLater(channel: Channel, frame: IncomingFrame, call: Call, reply: Promise<Body | undefined>): Promise<void> {
    try {
      this.#reply(channel, frame, call, await reply);
    } catch (error) {
      this.#fail(channel, frame, call, error);
    }
    if (frame.own !== undefined && this.#board.borrows(frame.kind)) messageBuffers.give(frame.own);
    const desk = this.#desks[channel];
    desk.serving--;
    desk.servingBytes -= frame.body.length;
    if (this.#calls.get(frame.id) === call) this.#calls.delete(frame.id);
    if (desk.backlog.size > 0) this.resume(channel);
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
