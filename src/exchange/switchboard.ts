import { assert, InfinitError } from '../base/index.ts';
import type { Channel, Handler, HandlerOptions, IncomingCall, Kind, LargeAnswer, PeerId, Traffic } from './calls.ts';

/** What every transport has: handlers by kind, listeners, counters, and the service of requests to the host itself. */
export class Switchboard {
  readonly #handlers = new Map<Kind, Handler>();
  readonly #borrowing = new Set<Kind>();
  readonly #bound = new Map<Kind, Channel>();
  readonly #large = new Map<Kind, (body: Uint8Array) => LargeAnswer | undefined>();
  readonly #up = new Set<(peer: PeerId) => void>();
  readonly #down = new Set<(peer: PeerId) => void>();
  readonly #served = new Set<(kind: Kind) => void>();
  /** Counted by exchanges and lines as they go. */
  readonly traffic: { -readonly [K in keyof Traffic]: number } = { sentMessages: 0, sentBytes: 0, receivedMessages: 0, receivedBytes: 0 };
  /** Who may ask for anything. A session lives on for a moment after its peer has lost that right, so each request is judged. */
  mayAsk: (peer: PeerId) => boolean = () => true;
  /** Told of what a handler threw that is no InfinitError: a bug of ours, which the caller cannot repair. */
  onBug: (error: unknown) => void = () => {};

  handler(kind: Kind): Handler | undefined {
    return this.#handlers.get(kind);
  }

  /** Whether the handler of the kind looks at no body after its promise has settled. */
  borrows(kind: Kind): boolean {
    return this.#borrowing.has(kind);
  }

  /** Whether the kind is served on the channel. */
  serves(kind: Kind, channel: Channel): boolean {
    return (this.#bound.get(kind) ?? channel) === channel;
  }

  /** What the answer to a request may take; undefined: little. */
  largeAnswer(kind: Kind, body: Uint8Array): LargeAnswer | undefined {
    return this.#large.get(kind)?.(body);
  }

  handle(kind: Kind, handler: Handler, { borrows = false, channel, largeAnswer }: HandlerOptions = {}): () => void {
    assert(Number.isInteger(kind) && kind >= 0 && kind <= 0xffff, `a kind is a number from 0 to 65535, not ${kind}`);
    assert(!this.#handlers.has(kind), `kind ${kind} has one handler`);
    this.#handlers.set(kind, handler);
    if (borrows) this.#borrowing.add(kind);
    if (channel !== undefined) this.#bound.set(kind, channel);
    if (largeAnswer !== undefined) this.#large.set(kind, largeAnswer);
    return () => {
      if (this.#handlers.get(kind) !== handler) return;
      this.#handlers.delete(kind);
      this.#bound.delete(kind);
      this.#large.delete(kind);
      this.#borrowing.delete(kind);
    };
  }

  onPeerUp(listener: (peer: PeerId) => void): () => void {
    return listen(this.#up, listener);
  }

  onPeerDown(listener: (peer: PeerId) => void): () => void {
    return listen(this.#down, listener);
  }

  onServe(listener: (kind: Kind) => void): () => void {
    return listen(this.#served, listener);
  }

  noteServed(kind: Kind): void {
    for (const listener of this.#served) listener(kind);
  }

  peerUp(peer: PeerId): void {
    for (const listener of this.#up) listener(peer);
  }

  peerDown(peer: PeerId): void {
    for (const listener of this.#down) listener(peer);
  }

  /** Serves a request of this host to itself. */
  async serveSelf(self: PeerId, kind: Kind, body: Uint8Array | readonly Uint8Array[], deadlineMs: number, signal?: AbortSignal): Promise<Uint8Array> {
    const handler = this.#handlers.get(kind);
    if (handler === undefined) throw new InfinitError('unsupported', `this host does not know message kind ${kind}`);
    const call: IncomingCall = { deadlineMs, channel: 'control', signal: signal ?? new AbortController().signal };
    return joined((await handler(self, joined(body), call)) ?? []);
  }
}

/** A body as one array; a single part is not copied. */
export function joined(body: Uint8Array | readonly Uint8Array[]): Uint8Array {
  if (body instanceof Uint8Array) return body;
  return body.length === 1 ? body[0]! : Buffer.concat(body);
}

function listen<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
