import { atTurnEnd, keptCopy, whenGathered } from '../base/index.ts';
import { decodeReply, decodeRequest, encodeReply, encodeRequest, type Parts, type PeerId, type Reply, type Request } from '../consensus/index.ts';
import type { Transport } from '../overlay/index.ts';
import { kinds } from './kinds.ts';
import type { Permits } from './permits.ts';
import type { Replica } from './replica.ts';
import { ThriftyRounds } from './thrifty-rounds.ts';

/** Bytes of one message; more of a tick goes into further ones. */
const maxBatchBytes = 1024 * 1024;
/** Requests or replies in one message. */
const maxBatch = 4096;
const lengthBytes = 4;
const none: readonly PeerId[] = [];
/** What need not leave at once waits so long at most, in ms, and no longer than until so much is there. */
const maxDeferMs = 15;
const maxDeferred = 64;
const maxDeferredBytes = 256 * 1024;

/** What goes to one peer together. */
interface Batch {
  parts: Uint8Array[];
  lengths: number[];
  bytes: number;
}

export interface RegisterLinkOptions {
  readonly self: PeerId;
  readonly transport: Transport | undefined;
  readonly replica: Replica;
  readonly permits: Permits;
  /** True: its operation waits for more answers to what was asked. */
  readonly onReply: (reply: Reply) => boolean;
  /** Told of what went wrong with another host's request by this one's fault: that must not end this host. */
  readonly onBug: (error: unknown) => void;
}

/**
 * Requests to acceptors, here and elsewhere, and their replies. All of a turn of the event loop for one peer leave in one message, and all that the messages of a turn ask
 * of this host's acceptor goes into one group of its disk. A message may get lost without anybody being told: proposers ask again, and give up by their deadline.
 *
 * Accepts that a majority decides without a host ({@link ThriftyRounds}) wait for company on their way to it: many then cost it one message and one group of
 * its disk. They leave with the next request to it, when they are many or old, when the host is needed after all, and when this link closes; they are
 * dropped with the connection, as what is on its way then is.
 */
export class RegisterLink {
  readonly #self: PeerId;
  readonly #transport: Transport | undefined;
  readonly #replica: Replica;
  readonly #permits: Permits;
  readonly #onReply: RegisterLinkOptions['onReply'];
  readonly #onBug: RegisterLinkOptions['onBug'];
  readonly #requests = new Map<PeerId, Batch>();
  readonly #replies = new Map<PeerId, Batch>();
  /** For peers to which nothing else leaves at the end of this tick. */
  readonly #deferred = new Map<PeerId, Batch>();
  #deferTimer: NodeJS.Timeout | undefined;
  readonly #thrifty: ThriftyRounds;
  readonly #stopListening: () => void;
  /** What others asked of this host's acceptor in this turn. */
  #asked: Request[] = [];
  /** What it asked itself. */
  #local: Request[] = [];
  /** The last request: it goes to several peers. */
  #encoded: { readonly request: Request; readonly parts: Parts } | undefined;
  #scheduled = false;

  constructor({ self, transport, replica, permits, onReply, onBug }: RegisterLinkOptions) {
    this.#self = self;
    this.#transport = transport;
    this.#replica = replica;
    this.#permits = permits;
    this.#onReply = onReply;
    this.#onBug = onBug;
    const isConnected = (peer: PeerId): boolean => transport?.isConnected(peer) === true;
    this.#thrifty = new ThriftyRounds({ self, isConnected, onNeeded: (peers, request) => this.#sendNow(peers, request) });
    transport?.handle(kinds.registerRequests, (peer, body) => this.#serve(peer, body));
    transport?.handle(kinds.registerReplies, (peer, body) => this.#hear(peer, body));
    this.#stopListening = transport?.onPeerDown((peer) => this.#lose(peer)) ?? (() => {});
  }

  /**
   * The replies come by `onReply`, if they come.
   * @param again The very message was sent before, and is to reach all of these now.
   */
  send(peers: readonly PeerId[], request: Request, again = false): void {
    const spared = again ? none : this.#thrifty.begin(request, peers);
    for (const peer of peers) {
      if (peer === this.#self) {
        this.#local.push(request);
        this.#schedule();
      } else if (!spared.includes(peer)) this.#ask(peer, request);
      else if (request.type === 'accept') this.#defer(peer, this.#encode(request));
    }
  }

  #ask(peer: PeerId, request: Request): void {
    if (this.#transport?.isConnected(peer) !== true) return;
    this.#release(peer);
    this.#add(this.#requests, kinds.registerRequests, peer, this.#encode(request));
  }

  /** An accept has been waiting here for these, or has left by now; a read has not. */
  #sendNow(peers: readonly PeerId[], request: Request): void {
    for (const peer of peers) {
      if (request.type === 'accept') this.#release(peer);
      else this.#ask(peer, request);
    }
  }

  /** What was deferred leaves at the end of this turn. */
  [Symbol.dispose](): void {
    this.#stopListening();
    this.#thrifty.close();
    this.#releaseAll();
    this.#flush();
  }

  #encode(request: Request): Parts {
    if (this.#encoded?.request !== request) this.#encoded = { request, parts: encodeRequest(request) };
    return this.#encoded.parts;
  }

  #serve(peer: PeerId, body: Uint8Array): undefined {
    for (const bytes of itemsOf(body)) {
      const request = decodeRequest(peer, bytes, keptCopy);
      if (this.#permits.allows(request) && this.#asked.push(request) === 1) whenGathered(() => this.#serveGathered());
    }
    if (this.#asked.length >= maxBatch) this.#serveGathered();
  }

  /** The messages of this turn were all read. */
  #serveGathered(): void {
    const asked = this.#asked;
    if (asked.length === 0) return;
    this.#asked = [];
    // The disk is about to be written to for others: what is this host's own goes along.
    try {
      this.#replica.serveAll([...asked, ...this.#takeLocal()], this.#answer);
    } catch (error) {
      this.#onBug(error);
    }
  }

  #hear(peer: PeerId, body: Uint8Array): undefined {
    if (!this.#permits.answers(peer)) return;
    for (const bytes of itemsOf(body)) this.#take(decodeReply(peer, bytes, keptCopy));
  }

  readonly #answer = (reply: Reply, to: PeerId): void => {
    if (to === this.#self) this.#take(reply);
    else this.#add(this.#replies, kinds.registerReplies, to, encodeReply(reply));
  };

  readonly #take = (reply: Reply): void => {
    this.#thrifty.heard(reply, this.#onReply(reply));
  };

  #add(batches: Map<PeerId, Batch>, kind: number, peer: PeerId, parts: Parts): void {
    const batch = gather(batches, peer, parts);
    if (batch.bytes >= maxBatchBytes || batch.lengths.length >= maxBatch) {
      batches.delete(peer);
      this.#leave(kind, peer, batch);
    } else this.#schedule();
  }

  #defer(peer: PeerId, parts: Parts): void {
    // It goes along with what leaves at the end of this tick anyway.
    if (this.#requests.has(peer)) return this.#add(this.#requests, kinds.registerRequests, peer, parts);
    const batch = gather(this.#deferred, peer, parts);
    if (batch.bytes >= maxDeferredBytes || batch.lengths.length >= maxDeferred) return this.#release(peer);
    this.#deferTimer ??= setTimeout(() => this.#releaseAll(), maxDeferMs);
  }

  /** What was deferred for the peer leaves at the end of this tick. */
  #release(peer: PeerId): void {
    const batch = this.#deferred.get(peer);
    if (batch === undefined) return;
    this.#deferred.delete(peer);
    this.#requests.set(peer, batch);
    this.#schedule();
  }

  #releaseAll(): void {
    clearTimeout(this.#deferTimer);
    this.#deferTimer = undefined;
    for (const peer of this.#deferred.keys()) this.#release(peer);
  }

  #lose(peer: PeerId): void {
    this.#deferred.delete(peer);
    this.#thrifty.lost(peer);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    atTurnEnd(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    this.#encoded = undefined;
    const sent = this.#requests.size > 0;
    this.#leaveAll(kinds.registerRequests, this.#requests);
    this.#leaveAll(kinds.registerReplies, this.#replies);
    // Messages leave when this turn ends, and a small write to the disk keeps this thread: others are to be at work meanwhile.
    if (this.#local.length > 0 && sent) setImmediate(() => this.#serveLocal());
    else this.#serveLocal();
  }

  #serveLocal(): void {
    if (this.#local.length > 0) this.#replica.serveAll(this.#takeLocal(), this.#answer);
  }

  #takeLocal(): Request[] {
    const local = this.#local;
    this.#local = [];
    return local;
  }

  #leaveAll(kind: number, batches: Map<PeerId, Batch>): void {
    for (const [peer, batch] of batches) this.#leave(kind, peer, batch);
    batches.clear();
  }

  #leave(kind: number, peer: PeerId, { lengths, parts }: Batch): void {
    const head = Buffer.allocUnsafe(lengthBytes * (lengths.length + 1));
    head.writeUInt32LE(lengths.length, 0);
    for (let index = 0; index < lengths.length; index++) head.writeUInt32LE(lengths[index]!, lengthBytes * (index + 1));
    this.#transport!.notify(peer, kind, [head, ...parts]);
  }
}

/** Adds to what goes to the peer. */
function gather(batches: Map<PeerId, Batch>, peer: PeerId, parts: Parts): Batch {
  let batch = batches.get(peer);
  if (batch === undefined) {
    batch = { parts: [], lengths: [], bytes: 0 };
    batches.set(peer, batch);
  }
  let length = 0;
  for (const part of parts) {
    batch.parts.push(part);
    length += part.length;
  }
  batch.lengths.push(length);
  batch.bytes += length;
  return batch;
}

/** The items of a message, where they lie in the receive buffer. */
function itemsOf(body: Uint8Array): Uint8Array[] {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  const count = bytes.length < lengthBytes ? 0 : bytes.readUInt32LE(0);
  const items: Uint8Array[] = [];
  let at = lengthBytes * (count + 1);
  if (count > maxBatch || at > bytes.length) return items;
  for (let index = 0; index < count; index++) {
    const end = at + bytes.readUInt32LE(lengthBytes * (index + 1));
    if (end > bytes.length) return items;
    items.push(bytes.subarray(at, end));
    at = end;
  }
  return items;
}
