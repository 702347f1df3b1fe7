import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';

import {
  blockKinds,
  type BlockService,
  type CallLimits,
  decodeUpdate,
  decodeWait,
  encodeBlockState,
  encodeOutcome,
  SocketStream,
  upgradeProtocol,
} from '../../api/index.ts';
import { InfinitError, type Logger } from '../../base/index.ts';
import { addressBytes, addressFromBytes, addressToBytes } from '../../block/index.ts';
import { type Channel, Exchange, FramedStream, type IncomingCall, type Kind, StreamLine, Switchboard } from '../../exchange/index.ts';
import type { BlockWatches } from './block-watches.ts';

/** Programs connected at once; a further one is answered 503. */
const maxSessions = 1024;
/** Blocks that one connection watches at once. */
const maxWaits = 512;
/** The part of a caller's patience that the store may use: its answer, which says more than a caller's own deadline, shall arrive in time. */
const storeShare = 0.9;
/** What may take megabytes, and so is served a few at a time. */
const bulkKinds: ReadonlySet<Kind> = new Set([blockKinds.put]);

/** The daemon's side of `Upgrade: infinit/1`: many calls under way on one connection of a program. Frames of a tick are read and answered together. */
export class ProgramSessions implements Disposable {
  readonly #board = new Switchboard();
  readonly #sessions = new Set<Duplex>();
  readonly #logger: Logger;
  readonly #waits = new Map<string, number>();
  #nextSession = 1;

  constructor(blocks: BlockService, watches: BlockWatches, logger: Logger) {
    this.#logger = logger;
    this.#board.onBug = (error) => logger.error('a call of a program failed', { error });
    const board = this.#board;
    // A value is copied where it is sealed.
    board.handle(blockKinds.put, async (_peer, body, call) => addressToBytes(await blocks.put(body, limitsOf(call))), { borrows: true });
    board.handle(blockKinds.get, async (_peer, body, call) => encodeBlockState(await blocks.get(addressFromBytes(body), limitsOf(call))));
    board.handle(blockKinds.make, async (_peer, body, call) => {
      const { address, outcome } = await blocks.make(body, limitsOf(call));
      return [addressToBytes(address), ...encodeOutcome(outcome)];
    });
    board.handle(blockKinds.create, async (_peer, body, call) =>
      encodeOutcome(await blocks.create(addressFromBytes(body), body.subarray(addressBytes), limitsOf(call))),
    );
    board.handle(blockKinds.update, async (_peer, body, call) => {
      const { address, value, expect } = decodeUpdate(body);
      return encodeOutcome(await blocks.update(address, value, expect, limitsOf(call)));
    });
    board.handle(blockKinds.wait, async (peer, body, call) => {
      const { address, known } = decodeWait(body);
      const { deadlineMs = 0 } = limitsOf(call);
      const state = await this.#waitFor(peer, () => watches.wait(address, known, deadlineMs, call.signal));
      return state === 'unchanged' ? [] : encodeBlockState(state);
    });
    board.handle(blockKinds.drop, async (_peer, body, call) => encodeOutcome(await blocks.drop(addressFromBytes(body), limitsOf(call))));
  }

  /** Waits take places among the calls that a connection serves at once; some are kept for those that do not wait. */
  async #waitFor<T>(session: string, wait: () => Promise<T>): Promise<T> {
    const waits = this.#waits.get(session) ?? 0;
    if (waits >= maxWaits) throw new InfinitError('overloaded', `a connection watches at most ${maxWaits} blocks at once: open another`);
    this.#waits.set(session, waits + 1);
    try {
      return await wait();
    } finally {
      const left = this.#waits.get(session)! - 1;
      if (left === 0) this.#waits.delete(session);
      else this.#waits.set(session, left);
    }
  }

  /** Takes the upgrades of a server. */
  attach(server: Server): void {
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => this.#upgrade(request, socket, head));
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => {});
    if (request.headers.upgrade !== upgradeProtocol) return refuse(socket, '400 Bad Request', `only ${upgradeProtocol} is spoken here`);
    if (this.#sessions.size >= maxSessions) return refuse(socket, '503 Service Unavailable', `${maxSessions} programs are connected`);
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${upgradeProtocol}\r\n\r\n`);
    if (head.length > 0) socket.unshift(head);
    this.#sessions.add(socket);
    const stream = new SocketStream(socket);
    const framed = new FramedStream(stream);
    const line = new StreamLine(stream, () => {
      exchange.drained('control');
      exchange.drained('bulk');
    });
    const exchange = new Exchange(`program ${this.#nextSession++}`, this.#board, { control: line, bulk: line }, (reason) => {
      this.#logger.warn('a program was disconnected', { reason });
      stream.abort();
    });
    framed.onFrame = (frame) => exchange.receive(channelOf(frame.kind), frame);
    framed.onBroken = (reason) => {
      this.#sessions.delete(socket);
      exchange.close(reason);
    };
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sessions) socket.destroy();
  }
}

function channelOf(kind: Kind): Channel {
  return bulkKinds.has(kind) ? 'bulk' : 'control';
}

function limitsOf(call: IncomingCall): CallLimits {
  // A caller that gave up is not looked for: the call ends by its deadline, and no abort signal need be made for each.
  return { deadlineMs: Math.max(1, call.deadlineMs * storeShare) };
}

function refuse(socket: Duplex, status: string, why: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(why)}\r\n\r\n${why}`);
}
