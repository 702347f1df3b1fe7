import type { MessagePort } from 'node:worker_threads';

import { codeOf, InfinitError, messageOf } from '../../base/index.ts';
import type { ErrorCode } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';
import type { BlockStore, CallOptions, CommitResult, Stage, StoredBlock } from '../block-store.ts';

/**
 * A block store across a thread boundary: a volume's worker calls {@link PortStore}, the main thread answers with {@link servePort}.
 * One call is one message each way (~40 µs), hence the staged commit. Bytes in a SharedArrayBuffer cross by reference, others are copied.
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
  | { readonly type: 'commit'; readonly id: number; readonly stages: readonly Stage[]; readonly deadlineMs?: number | undefined }
  | { readonly type: 'cancel'; readonly id: number };

type Answer =
  | { readonly id: number; readonly value: unknown }
  /** The value of a `get` lies in the memory that came with the call. */
  | { readonly id: number; readonly inMemory: { readonly offset: number; readonly length: number } }
  | { readonly id: number; readonly code: ErrorCode; readonly message: string };

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
  readonly release: (() => void) | undefined;
  /** Given with a `get`. */
  readonly memory: Uint8Array | undefined;
}

/** Calls under way at once from one worker; a further one is refused, which no well-bounded caller ever sees. */
const maxCalls = 16_384;

/** A program on a volume would rather wait than see EIO: longer than a failed host takes to be noticed, shorter than FUSE's own deadline. */
const fileSystemDeadlineMs = 20_000;

/** The worker's side. */
export class PortStore implements BlockStore {
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, Waiting>();
  #next = 1;
  #closed = false;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (answer: Answer) => this.#settle(answer));
    port.on('close', () => this.#close());
  }

  get(address: Address, options?: CallOptions): Promise<Uint8Array> {
    return this.#call(
      (id) => ({ type: 'get', id, address, deadlineMs: options?.deadlineMs ?? fileSystemDeadlineMs, memory: options?.memory, part: options?.part }),
      options?.signal,
      options?.memory,
    );
  }

  fetch(address: Address, options?: CallOptions): Promise<StoredBlock | undefined> {
    return this.#call((id) => ({ type: 'fetch', id, address, deadlineMs: options?.deadlineMs ?? fileSystemDeadlineMs }), options?.signal);
  }

  commit(stages: readonly Stage[], options?: CallOptions): Promise<CommitResult> {
    return this.#call((id) => ({ type: 'commit', id, stages, deadlineMs: options?.deadlineMs ?? fileSystemDeadlineMs }), options?.signal);
  }

  #call<T>(make: (id: number) => Call, signal: AbortSignal | undefined, memory?: Uint8Array): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#closed) return reject(new InfinitError('closed', 'the daemon closed its block store'));
      if (this.#waiting.size >= maxCalls) return reject(new InfinitError('overloaded', `${maxCalls} calls to the block store are under way`));
      if (signal?.aborted === true) return reject(new InfinitError('cancelled', 'the call was cancelled before it began'));
      const id = this.#next++;
      const cancel = (): void => this.#port.postMessage({ type: 'cancel', id } satisfies Call);
      signal?.addEventListener('abort', cancel, { once: true });
      const release = signal === undefined ? undefined : (): void => signal.removeEventListener('abort', cancel);
      this.#waiting.set(id, { resolve, reject, release, memory });
      this.#port.postMessage(make(id));
    });
  }

  #settle(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id);
    if (waiting === undefined) return;
    this.#waiting.delete(answer.id);
    waiting.release?.();
    if ('code' in answer) waiting.reject(new InfinitError(answer.code, answer.message));
    else if ('inMemory' in answer) {
      // In the caller's own object: one that crosses comes back as another over the same bytes, which nobody could know for the memory he gave.
      const { buffer } = waiting.memory!;
      waiting.resolve(new Uint8Array(buffer, answer.inMemory.offset, answer.inMemory.length) as never);
    } else waiting.resolve(answer.value as never);
  }

  #close(): void {
    this.#closed = true;
    const lost = [...this.#waiting.values()];
    this.#waiting.clear();
    // Whether a commit took effect cannot be known any more.
    for (const { reject } of lost) reject(new InfinitError('unknown-outcome', 'the daemon went away during the call'));
  }
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

/** The main thread's side: answers a worker's calls from `store` until the port closes; then calls still under way are cancelled. */
export function servePort(port: MessagePort, store: BlockStore): void {
  const underWay = new Map<number, AbortController>();
  const answer = async (call: Exclude<Call, { type: 'cancel' }>): Promise<void> => {
    const controller = new AbortController();
    underWay.set(call.id, controller);
    const options: CallOptions = { signal: controller.signal, ...(call.deadlineMs === undefined ? {} : { deadlineMs: call.deadlineMs }) };
    try {
      const value =
        call.type === 'commit'
          ? await store.commit(call.stages, options)
          : call.type === 'get'
            ? await store.get(call.address, { ...options, memory: call.memory, part: call.part })
            : await store.fetch(call.address, options);
      // Only shared memory is the same on both sides.
      if (call.type === 'get' && call.memory?.buffer instanceof SharedArrayBuffer && (value as Uint8Array).buffer === call.memory.buffer) {
        const { byteOffset: offset, length } = value as Uint8Array;
        port.postMessage({ id: call.id, inMemory: { offset, length } } satisfies Answer);
        return;
      }
      port.postMessage({ id: call.id, value } satisfies Answer, call.type === 'get' ? ownBuffer(value as Uint8Array) : []);
    } catch (error) {
      port.postMessage({ id: call.id, code: codeOf(error), message: messageOf(error) } satisfies Answer);
    } finally {
      underWay.delete(call.id);
    }
  };
  port.on('message', (call: Call) => {
    if (call.type === 'cancel') underWay.get(call.id)?.abort();
    else void answer(call);
  });
  port.on('close', () => {
    for (const controller of underWay.values()) controller.abort();
  });
}
