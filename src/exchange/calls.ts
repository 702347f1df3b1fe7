/** Whom one talks with. Between hosts: a libp2p peer id in its usual text form (`12D3KooW…`), the hash of a host's public key and its only name. */
export type PeerId = string;

/** Control: small messages that must not wait. Bulk: blocks. Each has a connection of its own, so that neither delays the other. */
export type Channel = 'control' | 'bulk';

/** What a message is about, 0–65535. docs/wire-protocol.md lists those between hosts, src/api/block-protocol.ts those between a program and its daemon. */
export type Kind = number;

/** A message body: parts are sent one after the other without being joined. Bytes must not change until the call settles. */
export type Body = Uint8Array | readonly Uint8Array[];

export interface SendOptions {
  /** `control` where absent. */
  readonly channel?: Channel;
}

export interface RequestOptions extends SendOptions {
  /** Milliseconds until the request gives up; {@link defaultDeadlineMs} where absent. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  /** Bulk only: bytes that the reply is likely to have; they count as in flight, so that many fetches do not flood a peer's connection. */
  readonly replyBytes?: number;
}

/** What a handler may know of the request that it serves. */
export interface IncomingCall {
  /** Milliseconds that the caller was ready to wait when it sent the request; 0 for a notification. */
  readonly deadlineMs: number;
  readonly channel: Channel;
  /** Fires when the caller gave up or its connection broke. Made only when asked for. */
  readonly signal: AbortSignal;
}

/**
 * Serves the requests (and notifications, whose reply is ignored) of one kind. `body` may be part of a larger receive buffer: copy small
 * things that you keep. A thrown InfinitError reaches the caller with its code; anything else as `bug`.
 */
export type Handler = (peer: PeerId, body: Uint8Array, call: IncomingCall) => Body | undefined | Promise<Body | undefined>;

/** What a request's answer may take, where that is far more than the request. */
export interface LargeAnswer {
  /** Requests of one sort wait for each other, and for no others: some are answered only once others of their peer were. Of few sorts. */
  readonly sort: string;
  readonly bytes: number;
}

export interface HandlerOptions {
  /** Looks at a request: undefined where its answer is small. Of large ones only {@link maxAnswerBytes} are put together for a peer at once. */
  readonly largeAnswer?: (body: Uint8Array) => LargeAnswer | undefined;
  /** Served on this channel alone: what a few bytes ask for may be large, and of such requests the bulk channel serves few at once. */
  readonly channel?: Channel;
  /** The handler is done with the body when its promise settles: a large one's memory is used for the next message then. */
  readonly borrows?: boolean;
}

export interface Traffic {
  readonly sentMessages: number;
  readonly sentBytes: number;
  readonly receivedMessages: number;
  readonly receivedBytes: number;
}
