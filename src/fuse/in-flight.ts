import { readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { requestKey, type RequestHeader } from './wire/index.ts';

/** Requests that wait for the file system at a time; then the rest waits in the kernel. Waits for locks do not count, nor those for the kernel itself. */
export const maxInFlight = 4096;
/** Waits for locks at a time; more are refused with ENOLCK. */
export const maxLockWaits = 4096;
/** How often deadlines and interrupts are looked at. */
const sweepMs = 250;
const settleMs = 5;

/** A request that was read and not yet answered. */
export interface Pending {
  readonly header: RequestHeader;
  readonly startedMs: number;
  /** Asks for a lock: an interrupt ends it. */
  readonly abort: AbortController | undefined;
  /** And nothing else does. */
  readonly endless: boolean;
  interrupted: boolean;
}

/** Answers in place of the file system when it takes too long or nobody waits any more. */
export type GiveUp = (pending: Pending, errno: 'ETIMEDOUT' | 'EINTR') => void;

/** The requests in flight. */
export class InFlight {
  readonly #byKey = new Map<number, Pending>();
  readonly #deadlineMs: number;
  readonly #giveUp: GiveUp;
  #lockWaits = 0;
  readonly #kernelWaits = new Set<number>();
  #sweep: NodeJS.Timeout | undefined;

  constructor(deadlineMs: number, giveUp: GiveUp) {
    this.#deadlineMs = deadlineMs;
    this.#giveUp = giveUp;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get lockWaits(): number {
    return this.#lockWaits;
  }

  get isFull(): boolean {
    return this.#byKey.size - this.#lockWaits - this.#kernelWaits.size >= maxInFlight;
  }

  add(header: RequestHeader, abort?: AbortController, endless = false): Pending {
    const pending: Pending = { header, startedMs: performance.now(), abort, endless, interrupted: false };
    this.#byKey.set(requestKey(header.uniqueLow, header.uniqueHigh), pending);
    if (endless) this.#lockWaits++;
    this.#sweep ??= setInterval(() => this.#look(), sweepMs).unref();
    return pending;
  }

  /** True once: whoever gets it answers. */
  finish(pending: Pending): boolean {
    const key = requestKey(pending.header.uniqueLow, pending.header.uniqueHigh);
    if (this.#byKey.get(key) !== pending) return false;
    this.#byKey.delete(key);
    this.#kernelWaits.delete(key);
    if (pending.endless) this.#lockWaits--;
    return true;
  }

  /** The request waits for what the kernel does, which may need others served first, until {@link endKernelWait}. */
  beginKernelWait({ uniqueLow, uniqueHigh }: RequestHeader): void {
    this.#kernelWaits.add(requestKey(uniqueLow, uniqueHigh));
  }

  endKernelWait({ uniqueLow, uniqueHigh }: RequestHeader): void {
    this.#kernelWaits.delete(requestKey(uniqueLow, uniqueHigh));
  }

  /** The asker got a signal. A request already answered is none of our business. */
  interrupt(uniqueLow: number, uniqueHigh: number): void {
    const pending = this.#byKey.get(requestKey(uniqueLow, uniqueHigh));
    if (pending === undefined || pending.interrupted) return;
    pending.interrupted = true;
    pending.abort?.abort();
    if (!pending.endless) void this.#checkDying(pending);
  }

  /** Nobody is to be answered any more: forgets them all and stops every wait. */
  clear(): void {
    for (const pending of this.#byKey.values()) {
      this.finish(pending);
      pending.abort?.abort();
    }
  }

  /** Waits until all but the waits for locks are answered. */
  async settled(limitMs: number): Promise<void> {
    const end = performance.now() + limitMs;
    while (this.#byKey.size > this.#lockWaits && performance.now() < end) await setTimeout(settleMs);
  }

  #look(): void {
    // Not as soon as the last one is answered: a timer for each request costs more than all else here.
    if (this.#byKey.size === 0) {
      clearInterval(this.#sweep);
      this.#sweep = undefined;
      return;
    }
    const now = performance.now();
    for (const pending of this.#byKey.values()) {
      if (pending.endless) continue;
      if (now - pending.startedMs > this.#deadlineMs) this.#giveUp(pending, 'ETIMEDOUT');
      else if (pending.interrupted) void this.#checkDying(pending);
    }
  }

  /**
   * Only a wait for a lock may end with EINTR on any signal; programs do not expect it of stat or read. One that is being
   * killed never sees the answer, so it may have it at once instead of waiting unkillably for the real one.
   */
  async #checkDying(pending: Pending): Promise<void> {
    if (await isDying(pending.header.pid)) this.#giveUp(pending, 'EINTR');
  }
}

const sigkillBit = 1n << 8n;

/** Has the thread a SIGKILL pending (as every fatal signal leaves it)? */
async function isDying(pid: number): Promise<boolean> {
  if (pid === 0) return false;
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return [...status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$/gm)].some((match) => (BigInt(`0x${match[1]}`) & sigkillBit) !== 0n);
}
