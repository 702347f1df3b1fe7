import type { MaybePromise } from './file-system.ts';
import type { InodeCall } from './inodes/inode-calls.ts';

/**
 * The concurrency model of a volume. Every operation is one synchronous function: it first looks at all it needs, then checks, then
 * changes memory, with no `await` between. Where something needed is not in memory it throws a {@link Miss} before it has changed
 * anything; {@link attempt} waits for the load and runs the operation again from its first line. So an operation is atomic in the worker
 * thread, needs no locks, and what it checked is still true when it changes.
 */
export class Miss extends Error {
  readonly loaded: Promise<unknown>;

  constructor(loaded: Promise<unknown>) {
    const depth = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super('not in memory');
    Error.stackTraceLimit = depth;
    this.loaded = loaded;
  }
}

/** Loads that one operation may wait for; more means that the caches are too small to hold what it needs at once. */
const maxLoads = 10_000;

/** Another host's call. */
export interface Asking {
  /** Who asks, where it has something of the volume in memory. */
  readonly asker: string | undefined;
  /** That host; undefined: a program of this one. */
  readonly peer?: string | undefined;
  /** @throws where that host was given up since: what others have locked by now it must not change. */
  readonly requireIn?: () => void;
  /** Undefined where it may be made twice, or what it does is recorded. */
  call?: InodeCall | undefined;
}

let asker: Asking | undefined;

/** Who asked for the operation that is running; undefined: a program of this host. */
export function currentAsker(): Asking | undefined {
  return asker;
}

/** The call that does what is being recorded, which is one thing. */
export function takeCall(): InodeCall | undefined {
  const call = asker?.call;
  if (call !== undefined) asker!.call = undefined;
  return call;
}

/** What is attempted in here, at once or later, is known to be asked for by somebody. */
export function askedBy<T>(who: Asking | undefined, operation: () => T): T {
  const before = asker;
  asker = who;
  try {
    return operation();
  } finally {
    asker = before;
  }
}

/** Runs an operation to its end; at once where memory suffices. */
export function attempt<T>(operation: () => MaybePromise<T>): MaybePromise<T> {
  try {
    return operation();
  } catch (error) {
    if (!(error instanceof Miss)) throw error;
    return attemptLater(operation, error);
  }
}

async function attemptLater<T>(operation: () => MaybePromise<T>, first: Miss): Promise<T> {
  const who = asker;
  let miss = first;
  for (let load = 1; ; load++) {
    await miss.loaded;
    try {
      return await askedBy(who, operation);
    } catch (error) {
      if (!(error instanceof Miss) || load === maxLoads) throw error;
      miss = error;
    }
  }
}

/** The value, or a {@link Miss} where it is still to come. */
export function need<T>(value: MaybePromise<T>): T {
  if (value instanceof Promise) throw new Miss(value);
  return value;
}
