import { InfinitError, messageOf } from '../base/index.ts';
import type { Ballast } from './ballast.ts';
import { type Files, isNoRoom, isPassing } from './files.ts';

/** After the disk itself said "full", its free space is not believed for so long: a quota does not show there. */
const fullHoldMs = 1000;
const fileSystem = 'the file system';

export interface HealthOptions {
  readonly files: Files;
  readonly directory: string;
  /** What the store may take at most; undefined: all there is. */
  readonly capacityBytes: number | undefined;
  readonly reserveBytes: number;
  /** Bytes that the store takes now. */
  readonly usedBytes: () => number;
  /** The part of the reserve that nobody else can take. */
  readonly ballast: Pick<Ballast, 'bytes' | 'wholeBytes' | 'isGiven'>;
}

/** How much of the reserve an operation may use. */
export type Need =
  /** Nothing: bulk data. */
  | 'bulk'
  /** Half of it, or half of the ballast: mutable blocks and facts, without which nobody could delete a file. */
  | 'metadata'
  /** All of it: what frees space. */
  | 'cleanup';

/** Whether the store takes writes, and if not, why. */
export class Health {
  readonly #options: HealthOptions;
  readonly #listeners = new Set<() => void>();
  #state: 'healthy' | 'full' | 'failed' = 'healthy';
  #reason: string | undefined;
  #free = 0;
  #total = 0;
  /** usedBytes() when it became full, or began. */
  #usedAtFull: number;
  /** usedBytes() when the file system was last asked. */
  #usedThen = 0;
  /** Bytes admitted and not yet in usedBytes(). */
  #promised = 0;
  #holdUntil = 0;

  constructor(options: HealthOptions) {
    this.#options = options;
    this.#usedAtFull = options.usedBytes();
  }

  get state(): 'healthy' | 'full' | 'failed' {
    return this.#state;
  }

  get reason(): string | undefined {
    return this.#state === 'full' ? this.#whyFull() : this.#reason;
  }

  get totalBytes(): number {
    return Math.min(this.#options.capacityBytes ?? this.#total, this.#total);
  }

  /** Bytes that may still be written. */
  get freeBytes(): number {
    return Math.max(0, this.room('bulk'));
  }

  /** Room for an operation of this kind; negative where the reserve is used already. */
  room(need: Need): number {
    const { capacityBytes, reserveBytes, usedBytes } = this.#options;
    const onMedium = this.#onMedium;
    const free = (capacityBytes === undefined ? onMedium : Math.min(onMedium, capacityBytes - usedBytes())) - this.#promised;
    return free - (need === 'bulk' ? reserveBytes : need === 'metadata' ? reserveBytes / 2 : 0);
  }

  /**
   * Room for what compaction copies. What it frees is anybody's, and what it copies comes out of the ballast where the file system has no room: a quarter of that stays for removals,
   * of which the next segments have less to be copied.
   */
  get roomToCompact(): number {
    const { ballast } = this.#options;
    const withoutBallast = this.#onMedium - this.#promised - ballast.bytes;
    return Math.min(this.room('cleanup'), withoutBallast + Math.max(0, ballast.bytes - ballast.wholeBytes / 4));
  }

  /** True where the file system has room for all of the reserve. */
  get hasReserve(): boolean {
    return this.#onMedium >= this.#options.reserveBytes;
  }

  /** Bytes that are free in the file system or put aside there, as far as this store changed that. */
  get #onMedium(): number {
    return this.#free - (this.#options.usedBytes() - this.#usedThen);
  }

  /** Takes bytes into account before they are written; {@link settle} ends it. @returns false where there is no room. */
  admit(bytes: number, need: Need): boolean {
    if (this.#state === 'failed') throw this.failure();
    // A disk that said "full" is still asked to free space: that is its way out.
    if (need !== 'cleanup' && !this.#mayTake(bytes, need)) return false;
    this.#promised += bytes;
    return true;
  }

  #mayTake(bytes: number, need: 'bulk' | 'metadata'): boolean {
    const { ballast, usedBytes } = this.#options;
    if (performance.now() < this.#holdUntil && (need === 'bulk' || ballast.bytes === 0)) return false;
    if (!ballast.isGiven && this.room(need) >= bytes) return true;
    // Where others took the reserve there is the ballast, and half of it is for what frees space.
    return need === 'metadata' && usedBytes() - this.#usedAtFull + this.#promised + bytes <= ballast.wholeBytes / 2;
  }

  settle(bytes: number): void {
    this.#promised -= bytes;
  }

  /** Asks the file system, and goes to "full" or back. */
  async refresh(): Promise<void> {
    const { files, directory, usedBytes, reserveBytes, ballast } = this.#options;
    if (this.#state === 'failed') return;
    try {
      const { free, total } = await files.space(directory);
      this.#free = free + ballast.bytes;
      this.#total = total;
      this.#usedThen = usedBytes();
    } catch (error) {
      this.report(error);
      return;
    }
    const room = this.room('bulk');
    // Some room more than nothing, so that it does not go back and forth.
    if (this.#state === 'full' && performance.now() >= this.#holdUntil && !ballast.isGiven && room > reserveBytes / 8)
      this.#set('healthy', undefined);
    else if (this.#state === 'healthy' && room <= 0) this.full();
  }

  /** Turns to "full". */
  full(): InfinitError {
    if (this.#state === 'healthy') {
      this.#usedAtFull = this.#options.usedBytes();
      this.#set('full', undefined);
    }
    return new InfinitError('disk-full', `${this.#options.directory} has no room left: ${this.#limit} is used up to the reserve`);
  }

  #whyFull(): string {
    const { directory, usedBytes } = this.#options;
    // Whoever reads it is to look there, and not into the volumes.
    const others = this.#limit === fileSystem && this.#total - this.#free - usedBytes() > this.#total / 2;
    const most = others ? ', and other files than those of this store take most of it' : '';
    return `${directory} is full: ${this.#limit} has no room beyond the reserve${most}; delete something or give it more`;
  }

  get #limit(): string {
    const { capacityBytes, usedBytes } = this.#options;
    const isOwn = capacityBytes !== undefined && capacityBytes - usedBytes() <= this.#onMedium;
    return isOwn ? `its capacity of ${capacityBytes} bytes` : fileSystem;
  }

  /** Takes note of an error of the disk. @returns what callers are to hear. */
  report(error: unknown): InfinitError {
    if (this.#state === 'failed') return this.failure();
    if (isPassing(error))
      return new InfinitError('overloaded', `${this.#options.directory} cannot be written to now: ${messageOf(error)}`, { cause: error });
    if (isNoRoom(error)) {
      this.#holdUntil = performance.now() + fullHoldMs;
      return this.full();
    }
    this.#set('failed', `the disk of ${this.#options.directory} failed: ${messageOf(error)}; look at the kernel's log, then restart`);
    return this.failure(error);
  }

  /** A file of the store was taken away under the daemon: what is written to it now is on no disk once the daemon ends. */
  lost(file: string): void {
    if (this.#state === 'failed') return;
    this.#set('failed', `${file} was taken away while the daemon ran: what was in it is read until the daemon ends, and nothing more is taken`);
  }

  failure(cause?: unknown): InfinitError {
    return new InfinitError('disk-failed', this.#reason ?? 'the disk failed', { cause });
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #set(state: 'healthy' | 'full' | 'failed', reason: string | undefined): void {
    this.#state = state;
    this.#reason = reason;
    for (const listener of this.#listeners) listener();
  }
}
