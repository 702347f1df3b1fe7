import { createRequire } from 'node:module';
import { assert } from '../base/index.ts';
import type { FileTime } from '../filesystem/index.ts';
import { buildAddon } from './native/build.ts';

/** What {@link Addon.watch} answers; to be given back once. */
export type WatchToken = object;

/** native/addon.c as TypeScript sees it. Integers below zero are -errno. */
export interface Addon {
  receive(fd: number, into: Uint8Array): number;
  send(fd: number, from: Uint8Array, length: number): number;
  /** One message of a header and at most {@link maxSlices} slices. */
  sendSlices(fd: number, header: Uint8Array, headerLength: number, slices: readonly Uint8Array[]): number;
  /** Calls back in this thread's event loop whenever the descriptor is readable or broken. */
  watch(fd: number, callback: (status: number) => void): WatchToken | number;
  unwatch(token: WatchToken): number;
  /** Starts a thread that writes notifications to the device; returns its packet socket. */
  notifier(fd: number): number;
  closeDescriptor(fd: number): number;
  /** A duplicate of another process's descriptor. */
  takeDescriptor(pid: number, fd: number): number;
  /** The start of a file as memory. Each page must have been written before it is touched. Like the next one, missing in an older add-on on a host without a compiler. */
  mapFile?(fd: number, length: number): ArrayBuffer | number;
  /** The descriptor of memory that lives as long as any process has it open. */
  memoryFile?(length: number): number;
  /** Takes memory, or room on a disk, for a part of a file; what is there stays. */
  takeRoom?(fd: number, from: number, length: number): number;
  /** Gives it back: what was there reads as zeros. Missing in an older add-on, too. */
  giveRoom?(fd: number, from: number, length: number): number;
  /** The CRC-32 of each piece of the bytes, little-endian. Below zero: not on this processor. */
  crcPieces?(bytes: Uint8Array, pieceBytes: number, into: Uint8Array): number;
  /** The time by the clock that the kernel gives files, as two doubles: seconds and nanoseconds. Missing in an older add-on too. */
  fileTime?(into: Uint8Array): number;
  /** Memory is to come in large pages. Missing in an older add-on too. */
  hugePages?(memory: Uint8Array): number;
  /** Gives the kernel the pages of malloc that hold nothing. */
  trim(): number;
}

/** MAX_SLICES of native/addon.c. */
export const maxSlices = 512;

let loaded: Addon | undefined;

/** The add-on of this thread, compiled at first use if need be. */
export function loadAddon(): Addon {
  loaded ??= createRequire(import.meta.url)(buildAddon()) as Addon;
  return loaded;
}

/**
 * The start of a file as memory: what is written there outlives this process, at no system call each. Only pages that were written the ordinary
 * way before may be touched. Undefined where the file system cannot do it.
 */
export function mapFile(fd: number, length: number): Buffer | undefined {
  const mapped = loadAddon().mapFile?.(fd, length);
  return mapped === undefined || typeof mapped === 'number' ? undefined : Buffer.from(mapped);
}

/** The descriptor of so much memory, none of it taken yet: it lives as long as any process has it open. Undefined where there is no such thing. */
export function memoryFile(length: number): number | undefined {
  const descriptor = loadAddon().memoryFile?.(length) ?? -1;
  return descriptor < 0 ? undefined : descriptor;
}

/** Takes what a part of a file needs, so that it may be touched as memory. False: there is no room. */
export function takeRoom(fd: number, from: number, length: number): boolean {
  return loadAddon().takeRoom?.(fd, from, length) === 0;
}

/** Gives back what {@link takeRoom} took: that part of the file reads as zeros. An older add-on keeps it for as long as the file is open. */
export function giveRoom(fd: number, from: number, length: number): void {
  loadAddon().giveRoom?.(fd, from, length);
}

/** CRC-32 of each piece of `bytes`, little-endian into `into`, several times as fast as zlib's. Undefined where the processor cannot do it. */
export function fastCrcs(): ((bytes: Uint8Array, pieceBytes: number, into: Uint8Array) => void) | undefined {
  const { crcPieces } = loadAddon();
  if (crcPieces === undefined || crcPieces(new Uint8Array(1), 1, new Uint8Array(4)) < 0) return undefined;
  return (bytes, pieceBytes, into) => {
    const done = crcPieces(bytes, pieceBytes, into);
    assert(done === 0, 'there is room for the CRC of each piece');
  };
}

/** Has the kernel give memory that nobody touched yet large pages, where it can. */
export function askForHugePages(memory: Uint8Array): void {
  loadAddon().hugePages?.(memory);
}

/** The clock by which the kernel gives files their times: see `VolumeSetup.kernelNow`. Undefined in an older add-on, on a host without a compiler. */
export function kernelFileClock(): (() => FileTime) | undefined {
  const { fileTime } = loadAddon();
  const parts = new Float64Array(2);
  const bytes = new Uint8Array(parts.buffer);
  if (fileTime === undefined || fileTime(bytes) < 0) return undefined;
  let last: FileTime = { seconds: 0, nanoseconds: 0 };
  return () => {
    fileTime(bytes);
    const [seconds, nanoseconds] = parts as unknown as [number, number];
    if (seconds !== last.seconds || nanoseconds !== last.nanoseconds) last = { seconds, nanoseconds };
    return last;
  };
}

/** Sends the kernel an answer to a request of that device, from any thread. False: it does not wait for it, or cannot be told now. */
export function sendAnswer(fd: number, answer: Uint8Array): boolean {
  return loadAddon().send(fd, answer, answer.length) >= 0;
}

/** Gives the kernel what malloc keeps of this process's freed memory: for a moment without work, since it takes some ms. */
export function releaseFreedMemory(): void {
  loadAddon().trim();
}
