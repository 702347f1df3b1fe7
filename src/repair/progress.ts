import type { BlockCounts } from './counts.ts';
import type { ScrubStatus } from './scrubber.ts';
import type { Part } from './walk.ts';

/**
 * `waiting`: this host has done its part in moving blocks, others have not; `open`: something could not be looked at or mended, and is tried again; `idle`: all is
 * as it should be, as far as is known.
 */
export type RepairPhase = 'idle' | 'moving' | 'waiting' | 'checking' | 'open';

/** How far repair is: what `infinit status` shows of it. */
export interface RepairStatus {
  readonly phase: RepairPhase;
  /** Blocks walked over and blocks in all, of the walk under way. */
  readonly done: number;
  readonly total: number;
  /** Bytes of blocks that repair moves in a second. */
  readonly bytesPerSecond: number;
  /** Seconds until the walk under way ends, if it goes on as it did; absent where there is none, and where only what waits for others is left. */
  readonly etaSeconds?: number;
  /** What the last check of everything found, how long ago, and whether it left something open; absent before the first. */
  readonly lastCheck?: { readonly ageSeconds: number; readonly counts: BlockCounts; readonly open: boolean };
  /** Copies that were missing or older somewhere and were brought up, since the start. */
  readonly repaired: number;
  readonly scrub: ScrubStatus;
}

/** What of a walk is done or to be done: blocks, and bytes of these. */
export interface Amount {
  readonly blocks: number;
  readonly bytes: number;
}

export const nothing: Amount = { blocks: 0, bytes: 0 };

/** A part of a walk since this host began with it. */
interface Leg {
  readonly part: Part['name'];
  readonly startedAt: number;
  walked: Amount;
}

/** Measures one walk after another: registers, which take as long as they are many, then copies, which where they are moved take as long as they are large. */
export class Progress {
  readonly #bytes: () => number;
  readonly #now: () => number;
  #phase: RepairPhase = 'idle';
  #all = nothing;
  #done: Readonly<Record<Part['name'], Amount>> = { registers: nothing, copies: nothing };
  #since: number;
  #bytesBefore = 0;
  #leg: Leg | undefined;
  #isWalked = false;
  /** Blocks that the last walk met of each part; undefined: none has met them all yet. */
  #registers: number | undefined;
  #copies: number | undefined;
  /** How long a byte of copies took in the last walk that moved blocks, or a block in the last that checked them, in ms. */
  readonly #paces = new Map<RepairPhase, number>();
  #lastCheck: { readonly at: number; readonly counts: BlockCounts; readonly open: boolean } | undefined;
  repaired = 0;

  /**
   * @param bytes Bytes moved since the start.
   */
  constructor(bytes: () => number, now: () => number = () => performance.now()) {
    this.#bytes = bytes;
    this.#now = now;
    this.#since = now();
  }

  /** @param all What is to be walked over; absent: nothing. */
  begin(phase: RepairPhase, all: Amount = nothing): void {
    [this.#phase, this.#all, this.#done] = [phase, all, { registers: nothing, copies: nothing }];
    [this.#since, this.#bytesBefore] = [this.#now(), this.#bytes()];
    [this.#leg, this.#isWalked] = [undefined, false];
  }

  /** This part is walked over from now on; so much of it was before the last restart. */
  enter(part: Part['name'], before: Amount = nothing): void {
    // A walk that begins anew for what it could not remember is no news.
    if (this.#isWalked) return;
    if (part === 'copies') this.#registers = this.#done.registers.blocks;
    this.#done = { ...this.#done, [part]: before };
    this.#leg = { part, startedAt: this.#now(), walked: nothing };
  }

  advance(more: Amount): void {
    const leg = this.#leg;
    if (leg === undefined || this.#isWalked) return;
    leg.walked = sum(leg.walked, more);
    this.#done = { ...this.#done, [leg.part]: sum(this.#done[leg.part], more) };
    const work = this.#workOf(leg.walked);
    if (leg.part === 'copies' && work > 0) this.#paces.set(this.#phase, (this.#now() - leg.startedAt) / work);
  }

  /** All was walked over; what could not be finished waits for others, nobody knows how long. */
  walked(): void {
    this.#copies = this.#done.copies.blocks;
    this.#isWalked = true;
  }

  checked(counts: BlockCounts, open: boolean): void {
    this.#lastCheck = { at: this.#now(), counts, open };
  }

  status(): Omit<RepairStatus, 'scrub'> {
    const seconds = Math.max(0.001, (this.#now() - this.#since) / 1000);
    const active = this.#phase === 'moving' || this.#phase === 'checking';
    const last = this.#lastCheck;
    const done = sum(this.#done.registers, this.#done.copies).blocks;
    const leftMs = active ? this.#leftMs() : undefined;
    return {
      phase: this.#phase,
      done,
      // Some may have come meanwhile, and some may be gone.
      total: this.#isWalked ? done : Math.max(done, this.#all.blocks),
      bytesPerSecond: active ? Math.round((this.#bytes() - this.#bytesBefore) / seconds) : 0,
      ...(leftMs === undefined ? {} : { etaSeconds: Math.ceil(leftMs / 1000) }),
      ...(last === undefined ? {} : { lastCheck: { ageSeconds: Math.floor((this.#now() - last.at) / 1000), counts: last.counts, open: last.open } }),
      repaired: this.repaired,
    };
  }

  /** How long it takes still, in ms, if it goes on so; undefined: that cannot be told. */
  #leftMs(): number | undefined {
    const leg = this.#leg;
    if (leg === undefined || this.#isWalked) return undefined;
    const { registers, copies } = this.#done;
    if (leg.part === 'copies') return this.#copiesMs(less(less(this.#all, registers), copies));
    if (this.#registers === undefined || leg.walked.blocks === 0) return undefined;
    const copiesLeft =
      this.#copies === 0 ? 0 : this.#copiesMs(less(this.#all, { blocks: this.#registers, bytes: bytesEach(registers) * this.#registers }));
    if (copiesLeft === undefined) return undefined;
    const left = Math.max(0, this.#registers - registers.blocks);
    return ((this.#now() - leg.startedAt) / leg.walked.blocks) * left + copiesLeft;
  }

  /** undefined: none was walked over so far. */
  #copiesMs(left: Amount): number | undefined {
    const work = this.#workOf(left);
    const pace = this.#paces.get(this.#phase);
    return work === 0 ? 0 : pace === undefined ? undefined : pace * work;
  }

  #workOf({ blocks, bytes }: Amount): number {
    return this.#phase === 'moving' ? bytes : blocks;
  }
}

function bytesEach({ blocks, bytes }: Amount): number {
  return bytes / Math.max(1, blocks);
}

function sum(one: Amount, other: Amount): Amount {
  return { blocks: one.blocks + other.blocks, bytes: one.bytes + other.bytes };
}

function less(all: Amount, part: Amount): Amount {
  return { blocks: Math.max(0, all.blocks - part.blocks), bytes: Math.max(0, all.bytes - part.bytes) };
}
