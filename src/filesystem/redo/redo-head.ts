import type { SurvivingMemory } from './surviving-memory.ts';

/** The first page: what a redo log is, and what of it counts. */
export const headBytes = 4096;
const formatVersion = 3;
/** That of a log with content that another host has put into the store: daemons that know no such records take nothing from it. */
export const storedVersion = 4;
/** Likewise of one that says which calls of other hosts an inode includes. */
export const callsVersion = 5;
/** Likewise of one that says what room is set aside. */
export const reservedVersion = 6;
/** Those that are read: the first says the same as the second, in less memory; neither says which calls of other hosts were done. */
const readable: ReadonlySet<number | undefined> = new Set([1, 2, formatVersion, storedVersion, callsVersion, reservedVersion]);
/** Words of the page, eight bytes each. */
const word = { format: 0, session: 1, adopter: 2, origin: 3, head: 4, tail: 5, durable: 6, complete: 7, attempts: 8 };
const volumeAt = 128;
/** Daemons that may die over the same log: then it is what kills them. */
const maxAttempts = 3;

/** Whoever is taking over what is in this memory gives that up without dying of it. */
export function spareAttempt({ bytes }: SurvivingMemory): void {
  new Float64Array(bytes.buffer, bytes.byteOffset, headBytes / 8)[word.attempts] = 0;
}

/** The first page of a redo log. Each of its words is stored at once: a process dies before that or after it. */
export class RedoHead {
  readonly words: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #volumeId: string;

  constructor({ bytes }: SurvivingMemory, volumeId: string) {
    this.words = new Float64Array(bytes.buffer, bytes.byteOffset, headBytes / 8);
    this.#bytes = bytes;
    this.#volumeId = volumeId;
  }

  /** See RedoLog. */
  adopt(last: number, session: number): boolean {
    const { words } = this;
    if (!readable.has(words[word.format]) || this.#ownVolume !== this.#volumeId || !this.whole) return false;
    if (last !== words[word.session] && last !== words[word.adopter]) return false;
    if (words[word.attempts]! >= maxAttempts) return false;
    // In this order: whichever session is the last when this process dies is one of the two.
    words[word.session] = last;
    words[word.adopter] = session;
    words[word.attempts] = words[word.attempts]! + 1;
    return true;
  }

  /** The process did not die over the log. */
  survived(): void {
    this.words[word.attempts] = 0;
  }

  /** Goes on with what was taken over. */
  resume(session: number): void {
    this.words[word.session] = session;
    // What was taken over stays in it.
    this.needs(formatVersion);
    this.survived();
  }

  /** An empty log, which counts as one when `rest` is done. */
  begin(session: number, durable: number, rest: () => void): void {
    const { words } = this;
    words[word.format] = 0;
    this.#bytes.set(Buffer.from(this.#volumeId, 'latin1'), volumeAt);
    words[word.session] = words[word.adopter] = words[word.origin] = session;
    words[word.head] = words[word.tail] = words[word.attempts] = 0;
    words[word.durable] = durable;
    words[word.complete] = 1;
    rest();
    words[word.format] = formatVersion;
  }

  /** Records come that daemons of earlier versions do not know: they are to take nothing from this log. */
  needs(version: number): void {
    this.words[word.format] = Math.max(this.words[word.format]!, version);
  }

  /** It says which calls of other hosts were done. */
  get namesCalls(): boolean {
    return this.words[word.format]! >= formatVersion;
  }

  get origin(): number {
    return this.words[word.origin]!;
  }

  /** What is in the log counts. */
  get whole(): boolean {
    return this.words[word.complete] === 1;
  }

  set whole(is: boolean) {
    this.words[word.complete] = is ? 1 : 0;
  }

  /** Operations up to this one are durable. */
  get durable(): number {
    return this.words[word.durable]!;
  }

  set durable(sequence: number) {
    this.words[word.durable] = sequence;
  }

  /** Where the log begins. */
  get tail(): number {
    return this.words[word.tail]!;
  }

  set tail(position: number) {
    this.words[word.tail] = position;
  }

  /** Up to where records count. */
  get end(): number {
    return this.words[word.head]!;
  }

  set end(position: number) {
    this.words[word.head] = position;
  }

  get #ownVolume(): string {
    return Buffer.from(this.#bytes.subarray(volumeAt, volumeAt + this.#volumeId.length)).toString('latin1');
  }
}
