import { type ErrorCode, InfinitError, leavesUnchanged } from '../base/index.ts';
import { type Address, addressBytes, addressFromBytes, addressToBytes, kindOf, mutableAddress, parseAddress } from '../block/index.ts';
import { blockKinds, decodeBlockState, decodeOutcome, encodeUpdate, encodeWait } from './block-protocol.ts';
import { addressOfName } from './block-reference.ts';
import { type BlockReport, type BlockState, type CallLimits, maxImmutableValueBytes, maxValueBytes, type WriteOutcome } from './block-service.ts';
import type { Connection } from './connection.ts';
import type { ControlClient } from './control-client.ts';
import { Turnstile } from './turnstile.ts';

/** What a block may be given: bytes, or text as UTF-8. */
export type Value = Uint8Array | string;

/** A block as it was read. */
export class Block {
  readonly address: Address;
  /** Counts the block's writes from 1 and never goes back. An immutable block is at version 1 for ever. */
  readonly version: number;
  readonly value: Uint8Array;

  constructor(address: Address, { version, value }: BlockState) {
    this.address = address;
    this.version = version;
    this.value = value;
  }

  /** The value as UTF-8. */
  text(): string {
    return Buffer.from(this.value.buffer, this.value.byteOffset, this.value.byteLength).toString('utf8');
  }
}

/** How a write ended. `address` is the block's in every case. */
export type WriteResult = { readonly address: Address } & (
  | { readonly status: 'committed'; readonly version: number }
  /** Nothing was changed: somebody else was first. `current` is the block as it is; undefined: there is none. */
  | { readonly status: 'conflict'; readonly current: Block | undefined }
  /** Nothing was changed, for certain. */
  | { readonly status: 'failed'; readonly code: ErrorCode; readonly message: string }
  /** It may or may not take effect, now or later: read the block to learn. */
  | { readonly status: 'unknown'; readonly code: ErrorCode; readonly message: string }
);

/** Limits of a write; `expect`: the version that the block must be at. Without it, it must only exist. */
export interface WriteLimits extends CallLimits {
  readonly expect?: number;
}

const defaultDeadlineMs = 10_000;
/** The daemon answers a wait after so long at the latest, and is asked again: also what makes up for a notification that was lost. */
const waitMs = 20_000;
/** Between two attempts to reach a daemon that is away. */
const retryMs = 250;
/** A client that waits for its own deadline and the daemon's answer gives the answer this much of it. */
const transitMs = 250;
/** Nobody loses a race for one block so often without something being wrong. */
const maxModifyAttempts = 1000;
/** Calls under way at once; further ones wait here. With the watches they are what the daemon serves at once for one connection. */
const maxSmallCalls = 512;
const maxLargeCalls = 24;
/** Blocks watched at once. */
const maxWatches = 512;
/** The value store: blocks by address, replicated, each of them linearizable. See docs/api.md. */
export class Blocks {
  readonly #connection: Connection;
  readonly #control: ControlClient;
  readonly #small = new Turnstile(maxSmallCalls);
  readonly #large = new Turnstile(maxLargeCalls);
  #watches = 0;

  constructor(connection: Connection, control: ControlClient) {
    this.#connection = connection;
    this.#control = control;
  }

  /**
   * Keeps a value for ever under the hash of its bytes: the same value has the same address, everywhere.
   * @param value At most 4 MiB.
   * @returns The address, once a majority of the replicas has it on stable storage.
   * @throws InfinitError `too-large`, `unavailable`, `disk-full`, `unknown-outcome` (putting it again is safe) …
   */
  async put(value: Value, limits: CallLimits = {}): Promise<Address> {
    const bytes = bytesOf(value, maxImmutableValueBytes, 'an immutable block');
    return addressFromBytes(await this.#ask(blockKinds.put, bytes, limits, bytes.length));
  }

  /**
   * Reads a block of any kind; undefined where there is none. It is never older than what was acknowledged before the call began.
   * @throws InfinitError `unavailable`: too few replicas answer; `deadline-exceeded`; `denied`: it is not a program's block.
   */
  async get(address: string, limits: CallLimits = {}): Promise<Block | undefined> {
    const known = parseAddress(address);
    const large = kindOf(known) === 'immutable' ? maxImmutableValueBytes / 4 : undefined;
    const body = await this.#inTurn(large, () => this.#read(known, limits, large));
    return blockIn(known, decodeBlockState(body));
  }

  /**
   * Makes a mutable block with a value, under a fresh address.
   * @param value At most 64 KiB.
   * @throws InfinitError `unavailable` …; after `unknown-outcome` a block that nobody knows may stay.
   */
  async create(value: Value, limits: CallLimits = {}): Promise<Block> {
    const bytes = bytesOf(value, maxValueBytes, 'a mutable block');
    const made = await this.#make(bytes, limits);
    return new Block(made.address, { version: committed(made), value: bytes });
  }

  /** To read twice does no harm: a daemon that restarts is asked again, within the time of the call. */
  async #read(address: Address, limits: CallLimits, bulkBytes: number | undefined): Promise<Uint8Array> {
    const { deadlineMs = defaultDeadlineMs } = limits;
    const end = performance.now() + deadlineMs;
    for (let left = deadlineMs, again = true; ; again = false) {
      try {
        return await this.#send(blockKinds.get, addressToBytes(address), { ...limits, deadlineMs: left }, bulkBytes);
      } catch (error) {
        if (!(error instanceof InfinitError) || error.code !== 'unknown-outcome') throw error;
        left = end - performance.now();
        // What a read comes to is known: to nothing.
        if (left <= 0) throw new InfinitError('deadline-exceeded', error.message, { cause: error });
        if (!again) throw new InfinitError('unavailable', error.message, { cause: error });
      }
    }
  }

  /** The daemon draws the address: it knows which are near. */
  async #make(bytes: Uint8Array, limits: CallLimits): Promise<WriteResult> {
    let body: Uint8Array;
    try {
      body = await this.#ask(blockKinds.make, bytes, limits);
    } catch (error) {
      const address = mutableAddress();
      // A daemon of an earlier version leaves that to its programs.
      return error instanceof InfinitError && error.code === 'unsupported' ? this.#create(address, bytes, limits) : failedBy(error, address);
    }
    const address = addressFromBytes(body);
    return resultOf(address, decodeOutcome(body.subarray(addressBytes)));
  }

  /** The address of a named block: whoever says the same name means the same block. @param name 1 to 512 bytes. */
  named(name: string): Address {
    return addressOfName(name);
  }

  /** Makes a named block where there is none; of many who try, one commits, and the others get a conflict with what it wrote. */
  createNamed(name: string, value: Value, limits: CallLimits = {}): Promise<WriteResult> {
    return this.#create(addressOfName(name), bytesOf(value, maxValueBytes, 'a named block'), limits);
  }

  /** Replaces the value of a block that exists. */
  update(address: string, value: Value, limits: WriteLimits = {}): Promise<WriteResult> {
    return this.#update(address, bytesOf(value, maxValueBytes, 'a mutable block'), limits);
  }

  /**
   * Removes a block. A mutable or named one: for everybody and for certain. An immutable one: from the hosts in reach; it is gone for all
   * who have its address, and a host that was away may still have a copy.
   */
  async remove(address: string, limits: WriteLimits = {}): Promise<WriteResult> {
    const known = parseAddress(address);
    if (kindOf(known) !== 'immutable') return this.#update(known, null, limits);
    return this.#write(known, blockKinds.drop, addressToBytes(known), limits);
  }

  /**
   * Reads a block, lets `change` make the new value of it, and writes that if nobody else has written meanwhile; otherwise begins again.
   * @param change Given undefined where there is no block; returns undefined to leave it as it is. May be called several times.
   * @returns The block as it is afterwards.
   * @throws InfinitError `unknown-outcome`: whether the change was made is not known.
   */
  async modify(
    address: string,
    change: (block: Block | undefined) => Value | undefined | Promise<Value | undefined>,
    limits: CallLimits = {},
  ): Promise<Block | undefined> {
    const known = parseAddress(address);
    let block = await this.get(known, limits);
    for (let attempt = 0; attempt < maxModifyAttempts; attempt++) {
      const value = await change(block);
      if (value === undefined) return block;
      const bytes = bytesOf(value, maxValueBytes, 'a mutable block');
      const result: WriteResult =
        block === undefined ? await this.#create(known, bytes, limits) : await this.#update(known, bytes, { ...limits, expect: block.version });
      if (result.status !== 'conflict') return new Block(known, { version: committed(result), value: bytes });
      block = result.current;
      // Whoever lost a race steps aside for a moment, longer each time.
      await sleep(Math.random() * Math.min(100, 2 * (attempt + 1)), limits.signal);
    }
    throw new InfinitError('overloaded', `block ${known} was changed by others ${maxModifyAttempts} times in a row`);
  }

  /**
   * Follows a mutable or named block: its state at once (undefined: there is no block), then each newer one. Versions in between may be
   * left out; the last one never is: every acknowledged write is followed by its own state or a newer one, as a rule within
   * milliseconds, and within 10 s where notifications were lost. It goes on while the daemon restarts or no quorum can be reached, and ends only by the
   * signal or by leaving the loop. Versions never go back.
   * @throws InfinitError `closed` once the client is closed; `bad-argument`, `denied`, `overloaded`.
   */
  async *watch(address: string, { signal }: { readonly signal?: AbortSignal } = {}): AsyncGenerator<Block | undefined, void, undefined> {
    const known = parseAddress(address);
    if (kindOf(known) === 'immutable') throw new InfinitError('bad-argument', 'an immutable block never changes: there is nothing to watch');
    if (this.#watches >= maxWatches) throw new InfinitError('overloaded', `a client watches at most ${maxWatches} blocks at once: connect another`);
    this.#watches++;
    try {
      let last: Block | undefined;
      let seen = false;
      while (signal?.aborted !== true) {
        const next = await this.#next(known, seen ? (last?.version ?? 0) : undefined, signal);
        if (next === 'unchanged') continue;
        last = next;
        seen = true;
        yield next;
      }
    } finally {
      this.#watches--;
    }
  }

  /** The state as soon as it differs from what is known (undefined: nothing is). */
  async #next(address: Address, known: number | undefined, signal: AbortSignal | undefined): Promise<Block | undefined | 'unchanged'> {
    try {
      const limits = { deadlineMs: waitMs, ...(signal === undefined ? {} : { signal }) };
      const body =
        known === undefined
          ? await this.#ask(blockKinds.get, addressToBytes(address), limits)
          : await this.#send(blockKinds.wait, encodeWait(address, known), limits);
      return body.length === 0 ? 'unchanged' : blockIn(address, decodeBlockState(body));
    } catch (error) {
      const code = error instanceof InfinitError ? error.code : 'bug';
      if (code === 'bad-argument' || code === 'denied' || code === 'bug' || code === 'unsupported') throw error;
      // A daemon that stops says `closed` as well: that one comes back.
      if (this.#connection.closed) throw new InfinitError('closed', 'this client was closed', { cause: error });
      if (signal?.aborted !== true) await sleep(retryMs, signal);
      return 'unchanged';
    }
  }

  /** What each host that should have the block has of it. @throws InfinitError `bad-argument`, `cancelled`. */
  async inspect(address: string, limits: CallLimits = {}): Promise<BlockReport> {
    return this.#control.inspectBlock(parseAddress(address), limits);
  }

  #create(address: Address, value: Uint8Array, limits: CallLimits): Promise<WriteResult> {
    return this.#write(address, blockKinds.create, [addressToBytes(address), value], limits);
  }

  #update(address: string, value: Uint8Array | null, limits: WriteLimits): Promise<WriteResult> {
    const known = parseAddress(address);
    if (kindOf(known) === 'immutable') throw new InfinitError('bad-argument', `${known} is an immutable block: put its new value as another block`);
    return this.#write(known, blockKinds.update, encodeUpdate(known, value, limits.expect), limits);
  }

  async #write(address: Address, kind: number, body: Uint8Array | Uint8Array[], limits: CallLimits): Promise<WriteResult> {
    if (limits.signal?.aborted === true) throw new InfinitError('cancelled', 'the call was cancelled before it began');
    try {
      return resultOf(address, decodeOutcome(await this.#ask(kind, body, limits)));
    } catch (error) {
      return failedBy(error, address);
    }
  }

  #ask(kind: number, body: Uint8Array | Uint8Array[], limits: CallLimits, bulkBytes?: number): Promise<Uint8Array> {
    return this.#inTurn(bulkBytes, () => this.#send(kind, body, limits, bulkBytes));
  }

  async #inTurn(bulkBytes: number | undefined, call: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const gate = bulkBytes === undefined ? this.#small : this.#large;
    const turn = gate.enter();
    try {
      // The deadline counts from here: how long the turn takes is this program's own doing.
      if (turn !== undefined) await turn;
      return await call();
    } finally {
      gate.leave();
    }
  }

  #send(
    kind: number,
    body: Uint8Array | Uint8Array[],
    { deadlineMs = defaultDeadlineMs, signal }: CallLimits,
    bulkBytes?: number,
  ): Promise<Uint8Array> {
    return this.#connection.request(kind, body, {
      deadlineMs: deadlineMs + transitMs,
      ...(signal === undefined ? {} : { signal }),
      ...(bulkBytes === undefined ? {} : { channel: 'bulk', replyBytes: bulkBytes }),
    });
  }
}

function resultOf(address: Address, outcome: WriteOutcome): WriteResult {
  return outcome.status === 'conflict' ? { ...outcome, address, current: blockIn(address, outcome.current) } : { ...outcome, address };
}

/** What an answer that did not come says of a write. */
function failedBy(error: unknown, address: Address): WriteResult {
  if (!(error instanceof InfinitError)) throw error;
  const { code, message } = error;
  // A client that was closed asks nothing.
  return { address, status: code === 'closed' || leavesUnchanged(code) ? 'failed' : 'unknown', code, message };
}

/**
 * The version of a write that must have been committed.
 * @param name What the block is called in errors; its address unless given.
 * @throws InfinitError for any other outcome, `conflict` included.
 */
export function committed(result: WriteResult, name: string = result.address): number {
  switch (result.status) {
    case 'committed':
      return result.version;
    case 'conflict':
      throw result.current === undefined
        ? new InfinitError('not-found', `there is no block ${name}`)
        : new InfinitError('conflict', `block ${name} is at version ${result.current.version}`);
    default:
      throw new InfinitError(result.status === 'unknown' ? 'unknown-outcome' : result.code, result.message.replaceAll(result.address, name));
  }
}

function bytesOf(value: Value, limit: number, what: string): Uint8Array {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  if (!(bytes instanceof Uint8Array)) throw new InfinitError('bad-argument', `a value is a string or bytes (a Uint8Array), not ${typeof value}`);
  if (bytes.length > limit) throw new InfinitError('too-large', `${what} holds at most ${limit} bytes, not ${bytes.length}`);
  return bytes;
}

/** Small values are copied: what arrives lies among other messages in a buffer that would be kept whole. */
function blockIn(address: Address, state: BlockState | undefined): Block | undefined {
  if (state === undefined) return undefined;
  const { version, value } = state;
  return new Block(address, { version, value: value.length * 2 < value.buffer.byteLength ? new Uint8Array(value) : value });
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal?.addEventListener('abort', wake, { once: true });
  });
}
