import { close, constants, fdatasync, fstat, ftruncate, open, read, readSync, writev, writevSync } from 'node:fs';
import { mkdir, open as openHandle, readdir, rename, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

import { InfinitError, insistOnFile, openDraft } from '../base/index.ts';
import { DirectFile } from './direct-file.ts';

/** How a write is best made; it is as durable in any case. */
export interface WriteHints {
  /** The calling thread writes the bytes itself and does nothing else meanwhile, see {@link InThread}. */
  readonly inThread?: boolean;
  /**
   * The bytes are overwritten soon, in small pieces: they stay in the operating system's memory however many they are. A page that is not there has to be read
   * from the disk before a part of it can be written.
   */
  readonly overwritten?: boolean;
}

/**
 * The few file operations that the log stands on. Everything a disk can do to us passes through here, so tests put a
 * faulty one in its place: lost writes, torn writes, flipped bits, EIO, ENOSPC.
 */
export interface Files {
  /** With those above it; durably. */
  makeDirectory(directory: string): Promise<void>;
  list(directory: string): Promise<string[]>;
  /** `write` creates the file where it is missing. */
  open(file: string, mode: 'read' | 'write'): Promise<number>;
  close(file: number): Promise<void>;
  size(file: number): Promise<number>;
  /** Bytes read; fewer than asked for only at the end of the file. */
  read(file: number, into: Uint8Array, position: number): Promise<number>;
  /** The same on the event loop: for few bytes that are probably in the operating system's memory. */
  readNow(file: number, into: Uint8Array, position: number): number;
  /**
   * Resolves once all the bytes are on stable storage, or returns nothing where they are there already. After a rejection any part of them may be there. From 512 KiB on it must be the
   * end of the file: zeros may follow, up to the next multiple of 4 KiB.
   */
  write(file: number, buffers: Uint8Array[], position: number, hints?: WriteHints): Promise<void> | undefined;
  /** Sets the length; what lay beyond never comes back. Resolves once that is on stable storage. */
  truncate(file: number, size: number): Promise<void>;
  unlink(file: string): Promise<void>;
  /** Puts a small file in place whole or not at all, durably. */
  replace(file: string, text: string): Promise<void>;
  readText(file: string): Promise<string | undefined>;
  /** Makes the directory's own entries durable. */
  syncDirectory(directory: string): Promise<void>;
  /** The file system's room, in bytes. */
  space(directory: string): Promise<{ readonly free: number; readonly total: number }>;
}

const openFile = promisify(open) as (file: string, flags: number, mode: number) => Promise<number>;
const closeFile = promisify(close);
const statFile = promisify(fstat);
const syncFile = promisify(fdatasync);
const truncateFile = promisify(ftruncate) as (file: number, size: number) => Promise<void>;

// One trip through the thread pool for a write that is durable, where writev and fdatasync are two.
const writeFlags = constants.O_RDWR | constants.O_CREAT | constants.O_DSYNC;
const readFlags = constants.O_RDONLY;

/** So many bytes at once go past the page cache where that can be done. */
const minDirectBytes = 512 * 1024;
/** Of what is read whole. */
const maxTextBytes = 64 * 1024;
/** Of the files that are open for writing, by descriptor. */
const direct = new Map<number, DirectFile>();

/** The operating system's own files. */
export const nodeFiles: Files = {
  makeDirectory: async (directory) => {
    const wanted = path.resolve(directory);
    const first = await mkdir(wanted, { recursive: true, mode: 0o700 }).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') throw new InfinitError('bad-argument', `${wanted} has to be a directory`, { cause: error });
      // So Node calls a read-only file system too; a plain mkdir says what is the matter.
      if (error.code !== 'ENOENT') throw error;
      await mkdir(wanted, { mode: 0o700 });
      return wanted;
    });
    if (first === undefined) return;
    // What was made is there after a crash once the directory above it says so.
    for (let made = wanted; ; made = path.dirname(made)) {
      await nodeFiles.syncDirectory(path.dirname(made));
      if (made === path.resolve(first)) return;
    }
  },
  list: (directory) => readdir(directory),
  open: async (file, mode) => {
    await insistOnFile(file, { code: 'damaged' });
    if (mode === 'read') return openFile(file, readFlags, 0o600);
    const opened = await openFile(file, writeFlags, 0o600);
    direct.set(opened, new DirectFile(file));
    return opened;
  },
  close: async (file) => {
    const other = direct.get(file);
    direct.delete(file);
    await Promise.all([other?.close(), closeFile(file)]);
  },
  size: async (file) => (await statFile(file)).size,
  read: readFully,
  readNow: readFullyNow,
  write: (file, buffers, position, hints = {}) =>
    hints.inThread === true ? writeInThread(file, buffers, position) : writeFully(file, buffers, position, hints.overwritten === true),
  truncate: async (file, size) => {
    direct.get(file)?.forget();
    await truncateFile(file, size);
    await syncFile(file);
  },
  unlink: (file) => rm(file, { force: true }),
  replace: async (file, text) => {
    const temporary = `${file}.new`;
    await using handle = await openDraft(temporary, 0o600);
    await handle.writeFile(text);
    await handle.sync();
    await rename(temporary, file);
    await nodeFiles.syncDirectory(path.dirname(file));
  },
  readText: async (file) => {
    await insistOnFile(file, { code: 'damaged', maxBytes: maxTextBytes });
    try {
      await using handle = await openHandle(file, 'r');
      return await handle.readFile('latin1');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  },
  syncDirectory: async (directory) => {
    await using handle = await openHandle(directory, 'r');
    await handle.sync();
  },
  space: async (directory) => {
    const { bsize, bavail, blocks } = await statfs(directory);
    return { free: bavail * bsize, total: blocks * bsize };
  },
};

/** One read is the rule; the callback API, because a promise of node:fs costs several times as much. */
function readFully(file: number, into: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let done = 0;
    const next = (): void => {
      read(file, into, done, into.length - done, position + done, (error, count) => {
        if (error !== null) return reject(error);
        done += count;
        if (count === 0 || done === into.length) return resolve(done);
        next();
      });
    };
    next();
  });
}

function readFullyNow(file: number, into: Uint8Array, position: number): number {
  for (let done = 0; ;) {
    const count = readSync(file, into, done, into.length - done, position + done);
    done += count;
    if (count === 0 || done === into.length) return done;
  }
}

async function writeFully(file: number, buffers: Uint8Array[], position: number, cached: boolean): Promise<void> {
  const length = lengthOf(buffers);
  const other = cached || length < minDirectBytes ? undefined : direct.get(file);
  if (other !== undefined && (await other.append(buffers, position, length, (into, at) => readFully(file, into, at)))) return;
  await writeThrough(file, buffers, position, length);
}

function writeThrough(file: number, buffers: Uint8Array[], position: number, length: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const next = (rest: Uint8Array[], at: number, length: number): void => {
      writev(file, rest, at, (error, count) => {
        if (error !== null) return reject(error);
        if (count === length) return resolve();
        // A short write: a signal, or a disk that just filled up, in which case the next one says so.
        if (count === 0) return reject(wroteNothing());
        next(skip(rest, count), at + count, length - count);
      });
    };
    next(buffers, position, length);
  });
}

/** As {@link writeFully}, before it returns. */
function writeInThread(file: number, buffers: Uint8Array[], position: number): undefined {
  const end = position + lengthOf(buffers);
  for (let rest = buffers, at = position; at < end;) {
    const count = writevSync(file, rest, at);
    if (count === 0) throw wroteNothing();
    at += count;
    if (at < end) rest = skip(rest, count);
  }
}

function lengthOf(buffers: readonly Uint8Array[]): number {
  return buffers.reduce((sum, buffer) => sum + buffer.length, 0);
}

function wroteNothing(): Error {
  return Object.assign(new Error('a write wrote nothing'), { code: 'EIO' });
}

function skip(buffers: readonly Uint8Array[], bytes: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let left = bytes;
  for (const buffer of buffers) {
    if (left >= buffer.length) left -= buffer.length;
    else {
      rest.push(left === 0 ? buffer : buffer.subarray(left));
      left = 0;
    }
  }
  return rest;
}

/** True for the errors that mean "no room", which pass, as against those that mean "broken", which do not. */
export function isNoRoom(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'disk-full') return true;
  // LevelDB only hands on strerror's text.
  return typeof message === 'string' && /No space left on device|Disk quota exceeded/.test(message);
}

/** The kernel lacked something of its own just now, or was interrupted; and LevelDB's index that is closed until it can be opened again, with what walked over it. */
const passingCodes: readonly unknown[] = ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR', 'LEVEL_DATABASE_NOT_OPEN', 'LEVEL_ITERATOR_NOT_OPEN'];

/**
 * True for the errors that say nothing of what is on the medium: it can be read later. Never to be taken for damage, as which it would be stored, over
 * what is still whole.
 */
export function isPassing(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return passingCodes.includes(code) || (typeof message === 'string' && /Too many open files|Cannot allocate memory/.test(message));
}

/** Of a read that failed: nothing could be read there, unless it can be later. */
export function unlessPassing(error: unknown): number {
  if (isPassing(error)) throw error;
  return 0;
}
