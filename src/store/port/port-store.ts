import type { MessagePort } from 'node:worker_threads';

import { type Clock, codeOf, InfinitError, messageOf, Patience, systemClock } from '../../base/index.ts';
import type { ErrorCode } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';
import type { BlockStore, CallOptions, CommitResult, SealedBlock, Stage, StoredBlock } from '../block-store.ts';

/**
 * A block store across a thread boundary: a volume's worker calls {@link PortStore}, the main thread answers with {@link servePort}.
 * A message costs either side some 40 µs, hence the staged commit, and all calls of a tick are one message; answers to calls that came together
 * leave together where they are ready in the same turn. Bytes in a SharedArrayBuffer cross by reference, others are copied.
 */
type Call =
  | {
      readonly type: 'get' | 'fetch';
      readonly id: number;
      readonly address: Address;
      readonly deadlineMs?: number | undefined;
      readonly memory?: Uint8Array | undefined;
      readonly part?: CallOptions['part'];
    }
  | {
      readonly type: 'commit';
      readonly id: number;
      readonly stages: readonly Stage[];
      readonly deadlineMs?: number | undefined;
      /** The worker wants to know when nobody reads the blocks any more. */
      readonly releases: boolean;
      readonly tell?: readonly Uint8Array[];
    }
  | { readonly type: 'cancel'; readonly id: number };

/** `cancellable`: a `cancel` may follow. */
type StoreCall = Exclude<Call, { type: 'cancel' }> & { readonly cancellable?: boolean };

type Answer =
  | { readonly id: number; readonly value: unknown }
  /** The value of a `get` lies in the memory that came with the call. */
  | { readonly id: number; readonly inMemory: { readonly offset: number; readonly length: number } }
  | { readonly id: number; readonly code: ErrorCode; readonly message: string }
  /** Nobody reads this block of a commit any more: which of all that it puts. */
  | { readonly id: number; readonly released: number };

/** Blocks of a commit whose memory is read still, by their place among all that it puts. */
interface Lent {
  readonly blocks: Map<number, SealedBlock>;
  readonly tell: (block: SealedBlock) => void;
}

interface Waiting {
  readonly type: StoreCall['type'];
  /** By the clock. */
  readonly began: number;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
  readonly release: (() => void) | undefined;
  /** Given with a `get`. */
  readonly memory: Uint8Array | undefined;
}

/** Calls under way at once from one worker; a further one is refused, which no well-bounded caller ever sees. */
const maxCalls = 16_384;

/** Commits whose blocks are read still, of one worker. Of what is beyond that it is not told: of a copy that failed it never is, and those stay. */
const maxLent = 1024;

/** Blocks read or written by calls that one turn of the main thread's event loop begins: each takes some 20 to 40 µs of it. */
const blocksPerTurn = 64;

/** Failures that say that blocks were out of reach, for too long. */
const missing: ReadonlySet<ErrorCode> = new Set(['unavailable', 'deadline-exceeded', 'unknown-outcome']);
/** So often a call has a program's whole patience while the store is out of reach: it may be slow only. */
const wholeEveryMs = 120_000;

/** The worker's side. Its calls have a program's patience where they bring no deadline, which becomes less while the store is out of reach: one operation of a program may take several of them, one after another. */
export class PortStore implements BlockStore {
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, Waiting>();
  readonly #lent = new Map<number, Lent>();
  /** The calls of this tick. */
  #calls: Call[] = [];
  #next = 1;
  #closed = false;
  readonly #clock: Clock;
  readonly #patience: Patience;

  constructor(port: MessagePort, clock: Clock = systemClock) {
    this.#port = port;
    this.#clock = clock;
    this.#patience = new Patience(clock, wholeEveryMs);
    port.on('message', (answers: readonly Answer[]) => {
      for (const answer of answers) {
        if ('released' in answer) this.#release(answer.id, answer.released);
        else this.#settle(answer);
      }
    });
    port.on('close', () => this.#close());
  }

  get(address: Address, options?: CallOptions): Promise<Uint8Array> {
    return this.#call(
      (id) => ({ type: 'get', id, address, deadlineMs: options?.deadlineMs ?? this.#patience.take(), memory: options?.memory, part: options?.part }),
      options?.signal,
      options?.memory,
    );
  }

  fetch(address: Address, options?: CallOptions): Promise<StoredBlock | undefined> {
    return this.#call((id) => ({ type: 'fetch', id, address, deadlineMs: options?.deadlineMs ?? this.#patience.take() }), options?.signal);
  }

  commit(stages: readonly Stage[], options?: CallOptions): Promise<CommitResult> {
    const crossing = stages.map(crossingOf);
    const { onReleased: tell, tell: answers } = options ?? {};
    return this.#call((id) => {
      if (tell !== undefined) this.#lend(id, stages, tell);
      const call = {
        type: 'commit',
        id,
        stages: crossing,
        deadlineMs: options?.deadlineMs ?? this.#patience.take(),
        releases: tell !== undefined,
      } as const;
      return answers === undefined ? call : { ...call, tell: answers };
    }, options?.signal);
  }

  #lend(id: number, stages: readonly Stage[], tell: (block: SealedBlock) => void): void {
    const blocks = new Map(stages.flatMap(({ put }) => put ?? []).entries());
    if (blocks.size === 0) return;
    if (this.#lent.size >= maxLent) this.#lent.delete(this.#lent.keys().next().value!);
    this.#lent.set(id, { blocks, tell });
  }

  #release(id: number, place: number): void {
    const lent = this.#lent.get(id);
    const block = lent?.blocks.get(place);
    if (lent === undefined || block === undefined) return;
    lent.blocks.delete(place);
    if (lent.blocks.size === 0) this.#lent.delete(id);
    lent.tell(block);
  }

  #call<T>(make: (id: number) => StoreCall, signal: AbortSignal | undefined, memory?: Uint8Array): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#closed) return reject(new InfinitError('closed', 'the daemon closed its block store'));
      if (this.#waiting.size >= maxCalls) return reject(new InfinitError('overloaded', `${maxCalls} calls to the block store are under way`));
      if (signal?.aborted === true) return reject(new InfinitError('cancelled', 'the call was cancelled before it began'));
      const id = this.#next++;
      const cancel = (): void => this.#post({ type: 'cancel', id });
      signal?.addEventListener('abort', cancel, { once: true });
      const release = signal === undefined ? undefined : (): void => signal.removeEventListener('abort', cancel);
      const call = make(id);
      this.#waiting.set(id, { type: call.type, began: this.#clock.monotonicMs(), resolve, reject, release, memory });
      this.#post(signal === undefined ? call : { ...call, cancellable: true });
    });
  }

  #post(call: Call): void {
    this.#calls.push(call);
    if (this.#calls.length > 1) return;
    // After all that runs now, and before the event loop goes on.
    process.nextTick(() => {
      const calls = this.#calls;
      this.#calls = [];
      this.#port.postMessage(calls);
    });
  }

  #settle(answer: Exclude<Answer, { released: number }>): void {
    const waiting = this.#waiting.get(answer.id);
    if (waiting === undefined) return;
    this.#waiting.delete(answer.id);
    waiting.release?.();
    this.#learn(waiting, answer);
    if (waiting.type === 'commit' && 'value' in answer && isReleased(answer.value as CommitResult)) this.#lent.delete(answer.id);
    if ('code' in answer) waiting.reject(new InfinitError(answer.code, answer.message));
    else if ('inMemory' in answer) {
      // In the caller's own object: one that crosses comes back as another over the same bytes, which nobody could know for the memory he gave.
      const { buffer } = waiting.memory!;
      waiting.resolve(new Uint8Array(buffer, answer.inMemory.offset, answer.inMemory.length) as never);
    } else waiting.resolve(answer.value as never);
  }

  /** That bytes are there says nothing about majorities: this host may have them itself. */
  #learn({ type, began }: Waiting, answer: Exclude<Answer, { released: number }>): void {
    if ('code' in answer ? missing.has(answer.code) : type === 'commit' && 'value' in answer && isMissed(answer.value as CommitResult))
      this.#patience.missed(began);
    else if (type !== 'get' && 'value' in answer) this.#patience.heard();
  }

  #close(): void {
    this.#closed = true;
    const lost = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#lent.clear();
    // Whether a commit took effect cannot be known any more.
    for (const { reject } of lost) reject(new InfinitError('unknown-outcome', 'the daemon went away during the call'));
  }
}

function isMissed(result: CommitResult): boolean {
  return !result.done && result.outcomes.some((outcome) => 'code' in outcome && missing.has(outcome.code));
}

/** Nobody reads any of its blocks, so nobody says so of each. */
function isReleased(result: CommitResult): boolean {
  return result.done && result.released === true;
}

/** The blocks alone: what the caller keeps with them, a promise perhaps, is not for the other thread. */
function crossingOf(stage: Stage): Stage {
  return stage.put === undefined ? stage : { ...stage, put: stage.put.map(({ address, sealed }) => ({ address, sealed })) };
}

/** Bytes from here on are moved rather than copied; Node's own pools are smaller, and cannot be moved. */
const minMovedBytes = 128 * 1024;
/** What a record's header takes before the value that was read with it, at the most. */
const maxMovedWaste = 4096;

/** The buffer to move to the other thread, where the bytes are all that it holds: what `get` returns is the caller's own. */
function ownBuffer(bytes: Uint8Array): ArrayBuffer[] {
  const { buffer } = bytes;
  const movable = buffer instanceof ArrayBuffer && bytes.length >= minMovedBytes && buffer.byteLength - bytes.length <= maxMovedWaste;
  return movable ? [buffer] : [];
}

/** A block whose bytes are all of their buffer: a message takes along, and the other side keeps, the whole of one that others share. */
function unshared(block: StoredBlock | undefined): StoredBlock | undefined {
  const shared = block !== undefined && block.payload.buffer.byteLength > 2 * block.payload.byteLength;
  return shared ? { ...block, payload: new Uint8Array(block.payload) } : block;
}

/** A `get` that other hosts are asked for listens to its signal: to one that lives as long as the port is not listened for each of them. */
function hasOwnSignal({ type, cancellable }: StoreCall): boolean {
  return type === 'get' || cancellable === true;
}

function optionsOf(call: StoreCall, signal: AbortSignal, answers: Answers): CallOptions {
  return {
    signal,
    ...(call.deadlineMs === undefined ? {} : { deadlineMs: call.deadlineMs }),
    ...(call.type === 'get' ? { memory: call.memory, part: call.part } : {}),
    ...(call.type === 'commit' && call.releases ? { onReleased: releasing(call, answers) } : {}),
  };
}

/** Tells the worker which block of the commit it is. */
function releasing({ id, stages }: StoreCall & { type: 'commit' }, answers: Answers): (block: SealedBlock) => void {
  const places = new Map([...stages.flatMap(({ put }) => put ?? []).entries()].map(([place, block]) => [block, place]));
  return (block) => {
    const released = places.get(block);
    if (released !== undefined) answers.send({ id, released }, [], false);
  };
}

/** Sends answers: one that was asked for alone at once, others with all that are ready in the same turn of the event loop. */
class Answers {
  readonly #port: MessagePort;
  #answers: Answer[] = [];
  #moved: ArrayBuffer[] = [];

  constructor(port: MessagePort) {
    this.#port = port;
  }

  send(answer: Answer, moved: readonly ArrayBuffer[], alone: boolean): void {
    if (alone) return this.#port.postMessage([answer] satisfies Answer[], moved);
    this.#answers.push(answer);
    this.#moved.push(...moved);
    if (this.#answers.length === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    const [answers, moved] = [this.#answers, this.#moved];
    this.#answers = [];
    this.#moved = [];
    this.#port.postMessage(answers, moved);
  }
}

/** Blocks that a call is about. Removing an immutable one is next to nothing. */
function blocksOf(call: StoreCall): number {
  if (call.type !== 'commit') return 1;
  return 1 + call.stages.reduce((sum, { put, update }) => sum + (put?.length ?? 0) + (update?.length ?? 0), 0);
}

/** Sends the answers of a commit that is durable, past its worker, and notes which: the others he is to send. */
function tellAll({ tell }: StoreCall & { type: 'commit' }, result: CommitResult, send: (answer: Uint8Array) => boolean): CommitResult {
  return tell !== undefined && result.done ? { ...result, told: tell.map((answer) => send(answer)) } : result;
}

/**
 * The main thread's side: answers a worker's calls from `store` until the port closes; then calls still under way are cancelled.
 * @param send sends an answer to whoever waits for a commit, see {@link CallOptions.tell}. False: it cannot, or not any more.
 */
export function servePort(port: MessagePort, store: BlockStore, send: (answer: Uint8Array) => boolean = () => false): void {
  /** Of all calls that end with the port alone: one for each of them would cost a tenth of what a commit does. */
  const closed = new AbortController();
  /** Those of the others that are under way. */
  const own = new Map<number, AbortController>();
  const answers = new Answers(port);
  /** Calls whose turn has not come: many that came together would hold up everybody else. */
  let waiting: StoreCall[] = [];
  const answer = async (call: StoreCall, alone: boolean): Promise<void> => {
    const options = optionsOf(call, (own.get(call.id) ?? closed).signal, answers);
    try {
      const value =
        call.type === 'commit'
          ? await store.commit(call.stages, options)
          : call.type === 'get'
            ? await store.get(call.address, options)
            : await store.fetch(call.address, options);
      // Only shared memory is the same on both sides.
      if (call.type === 'get' && call.memory?.buffer instanceof SharedArrayBuffer && (value as Uint8Array).buffer === call.memory.buffer) {
        const { byteOffset: offset, length } = value as Uint8Array;
        answers.send({ id: call.id, inMemory: { offset, length } }, [], alone);
      } else if (call.type === 'fetch') answers.send({ id: call.id, value: unshared(value as StoredBlock | undefined) }, [], alone);
      else if (call.type === 'commit') answers.send({ id: call.id, value: tellAll(call, value as CommitResult, send) }, [], alone);
      else answers.send({ id: call.id, value }, call.type === 'get' ? ownBuffer(value as Uint8Array) : [], alone);
    } catch (error) {
      answers.send({ id: call.id, code: codeOf(error), message: messageOf(error) }, [], alone);
    } finally {
      own.delete(call.id);
    }
  };
  const begin = (): void => {
    let taken = 0;
    for (let blocks = 0; taken < waiting.length && blocks < blocksPerTurn; taken++) blocks += blocksOf(waiting[taken]!);
    const turn = waiting.slice(0, taken);
    waiting = waiting.slice(taken);
    for (const call of turn) void answer(call, false);
    if (waiting.length > 0) setImmediate(begin);
  };
  port.on('message', (calls: readonly Call[]) => {
    const idle = waiting.length === 0;
    for (const call of calls) {
      if (call.type === 'cancel') own.get(call.id)?.abort();
      else {
        if (hasOwnSignal(call)) own.set(call.id, new AbortController());
        if (idle && calls.length === 1) void answer(call, true);
        else waiting.push(call);
      }
    }
    if (idle && waiting.length > 0) begin();
  });
  port.on('close', () => {
    waiting = [];
    closed.abort();
    for (const controller of own.values()) controller.abort();
  });
}
