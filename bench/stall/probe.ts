/**
 * A program on a host that uses a volume in every way at once, a thread for each, and says how long what took: `node probe.ts DIRECTORY NAME [held]`.
 * With `held` it also waits for the locks that another host's program has.
 */
import { closeSync, mkdirSync, openSync, readSync, rmdirSync, writeSync } from 'node:fs';
import path from 'node:path';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

import { F, flock, fsync, lock, must } from '../../test/suites/posix/syscalls.ts';

/** One that took long, or failed. */
export interface Slow {
  readonly kind: string;
  /** When it ended, by the wall clock. */
  readonly end: number;
  readonly ms: number;
  readonly error?: string;
}

/** Operations that took less are not told, in ms. */
const toldMs = 50;
/** Between two operations of one thread, in ms: the daemons shall not be busy with these. */
const pauseMs = 20;
/** One write. */
const bytes = 4096;
const lockExclusive = 2;
const unlock = 8;
const whole = { start: 0, length: 0 } as const;

/** Makes the operation of one thread ready; each says `ready` once it has made it. */
const kinds: Readonly<Record<string, (own: (name: string) => string) => () => void>> = {
  open: (own) => {
    closeSync(openSync(own('open'), 'w'));
    return () => closeSync(openSync(own('open'), 'r'));
  },
  read: (own) => {
    const fd = openSync(own('read'), 'w+');
    const buffer = Buffer.alloc(bytes, 1);
    writeSync(fd, buffer, 0, bytes, 0);
    return () => void readSync(fd, buffer, 0, bytes, 0);
  },
  write: (own) => {
    const fd = openSync(own('write'), 'w');
    const buffer = Buffer.alloc(bytes, 1);
    return () => void writeSync(fd, buffer, 0, bytes, 0);
  },
  fsync: (own) => {
    const fd = openSync(own('fsync'), 'w');
    const buffer = Buffer.alloc(bytes, 1);
    return () => {
      writeSync(fd, buffer, 0, bytes, 0);
      must(fsync(fd));
    };
  },
  mkdir: (own) => {
    let made = 0;
    return () => {
      // Always another one: what came of one that was under way when its host was lost may be unknown.
      const directory = own(`mkdir-${made++}`);
      mkdirSync(directory);
      rmdirSync(directory);
    };
  },
  flock: (own) => {
    const fd = openSync(own('flock'), 'w');
    return () => {
      must(flock(fd, lockExclusive));
      must(flock(fd, unlock));
    };
  },
  fcntl: (own) => {
    const fd = openSync(own('fcntl'), 'w');
    return () => {
      must(lock(fd, F.SETLKW, { type: 'write', ...whole }).result);
      must(lock(fd, F.SETLKW, { type: 'unlock', ...whole }).result);
    };
  },
};

/** Waits for a lock that the lost host has, and gives it on: each of the others is to have it. */
const held: Readonly<Record<string, (file: string) => void>> = {
  'held flock': (directory) => {
    const fd = openSync(path.join(directory, 'held-flock'), 'r+');
    must(flock(fd, lockExclusive));
    closeSync(fd);
  },
  'held fcntl': (directory) => {
    const fd = openSync(path.join(directory, 'held-fcntl'), 'r+');
    must(lock(fd, F.SETLKW, { type: 'write', ...whole }).result);
    closeSync(fd);
  },
};

function say(slow: Slow): void {
  writeSync(1, `${JSON.stringify(slow)}\n`);
}

interface Task {
  readonly kind: string;
  readonly directory: string;
  readonly name: string;
  /** When the operation that is under way began; 0: none. */
  readonly began: Float64Array;
}

function work({ kind, directory, name, began }: Task): void {
  const timed = (operation: () => void): number => {
    const start = Date.now();
    began[0] = start;
    let error: string | undefined;
    try {
      operation();
    } catch (thrown) {
      error = (thrown as Error).message;
    }
    began[0] = 0;
    const end = Date.now();
    const ms = end - start;
    if (ms >= toldMs || error !== undefined) say({ kind, end, ms, ...(error === undefined ? {} : { error }) });
    return ms;
  };
  const wait = held[kind];
  if (wait !== undefined) return void timed(() => wait(directory));
  const operation = kinds[kind]!((file) => path.join(directory, `${name}-${file}`));
  for (let first = true; ; first = false) {
    timed(operation);
    if (first) writeSync(1, 'ready\n');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs);
  }
}

if (isMainThread) {
  const [directory, name, withHeld] = process.argv.slice(2) as [string, string, string?];
  const tasks = [...Object.keys(kinds), ...(withHeld === undefined ? [] : Object.keys(held))].map((kind): Task => {
    const task = { kind, directory, name, began: new Float64Array(new SharedArrayBuffer(8)) };
    const worker = new Worker(import.meta.filename, { workerData: task });
    worker.once('error', (error) => console.error(error));
    return task;
  });
  process.on('SIGTERM', () => {
    const end = Date.now();
    for (const { kind, began } of tasks) if (began[0]! > 0 && end - began[0]! >= toldMs) say({ kind, end, ms: end - began[0]!, error: 'not ended' });
    process.exit(0);
  });
} else {
  work(workerData as Task);
}
