import { atTurnEnd, keptCopy } from '../base/index.ts';
import { decodeReply, decodeRequest, encodeReply, encodeRequest, type Parts, type PeerId, type Reply, type Request } from '../consensus/index.ts';
import type { Transport } from '../overlay/index.ts';
import { kinds } from './kinds.ts';
import type { Permits } from './permits.ts';
import type { Replica } from './replica.ts';

/** Bytes of one message; more of a tick goes into further ones. */
const maxBatchBytes = 1024 * 1024;
/** Requests or replies in one message. */
const maxBatch = 4096;
const lengthBytes = 4;

/** What goes to one peer at the end of this tick. */
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
  readonly onReply: (reply: Reply) => void;
}

/**
 * Requests to acceptors, here and elsewhere, and their replies. All of a tick for one peer leave in one message, and all that one message asks of an
 * acceptor goes into one group of its disk. A message may get lost without anybody being told: proposers ask again, and give up by their deadline.
 */
export class RegisterLink {
  readonly #self: PeerId;
  readonly #transport: Transport | undefined;
  readonly #replica: Replica;
  readonly #permits: Permits;
  readonly #onReply: (reply: Reply) => void;
  readonly #requests = new Map<PeerId, Batch>();
  readonly #replies = new Map<PeerId, Batch>();
  #local: Request[] = [];
  /** The last request: it goes to several peers. */
  #encoded: { readonly request: Request; readonly parts: Parts } | undefined;
  #scheduled = false;

  constructor({ self, transport, replica, permits, onReply }: RegisterLinkOptions) {
    this.#self = self;
    this.#transport = transport;
    this.#replica = replica;
    this.#permits = permits;
    this.#onReply = onReply;
    transport?.handle(kinds.registerRequests, (peer, body) => this.#serve(peer, body));
    transport?.handle(kinds.registerReplies, (peer, body) => this.#hear(peer, body));
  }

  /** The reply comes by `onReply`, if it comes. */
  send(peer: PeerId, request: Request): void {
    if (peer === this.#self) {
      this.#local.push(request);
      this.#schedule();
    } else if (this.#transport?.isConnected(peer) === true) this.#add(this.#requests, kinds.registerRequests, peer, this.#encode(request));
  }

  #encode(request: Request): Parts {
    if (this.#encoded?.request !== request) this.#encoded = { request, parts: encodeRequest(request) };
    return this.#encoded.parts;
  }

  #serve(peer: PeerId, body: Uint8Array): undefined {
    const requests = itemsOf(body)
      .map((bytes) => decodeRequest(peer, bytes, keptCopy))
      .filter((request) => this.#permits.allows(request));
    this.#replica.serveAll(requests, (reply) => this.#add(this.#replies, kinds.registerReplies, peer, encodeReply(reply)));
  }

  #hear(peer: PeerId, body: Uint8Array): undefined {
    if (!this.#permits.answers(peer)) return;
    for (const bytes of itemsOf(body)) this.#onReply(decodeReply(peer, bytes, keptCopy));
  }

  #add(batches: Map<PeerId, Batch>, kind: number, peer: PeerId, parts: Parts): void {
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
    if (batch.bytes >= maxBatchBytes || batch.lengths.length >= maxBatch) {
      batches.delete(peer);
      this.#leave(kind, peer, batch);
    } else this.#schedule();
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
    const local = this.#local;
    if (local.length === 0) return;
    this.#local = [];
    this.#replica.serveAll(local, this.#onReply);
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
