import { randomUUID } from 'node:crypto';

import { type Clock, InfinitError, type Logger, type Moment, momentOf, programPatienceMs } from '../../base/index.ts';
import { type Address, namedAddress } from '../../block/index.ts';
import type { BlockStore, StoredBlock } from '../../store/index.ts';
import { Tenure } from './tenure.ts';

/** What the lease's block says. `count` changes with every renewal: that is how others see that the holder lives. */
interface LeaseRecord {
  readonly holder: string;
  readonly count: number;
  readonly released: boolean;
  /** How long it lives without renewal, in ms. */
  readonly termMs: number;
  /** Another one each time that the holder opens the volume; absent in records of earlier versions. */
  readonly opening?: string;
  /** Hosts whose locks were given to others and who have not heard of it: what they say that they have they do not have any more, whoever holds the lease by then. Absent: none. */
  readonly dismissed?: readonly string[];
}

/**
 * How long a lease lives without renewal, in ms: so long, the time between two looks and the time to open the volume, everybody stands still when a host is lost; five seconds are promised.
 * A holder that is merely slow loses nothing by a lapse, see {@link patienceMs}.
 */
const leaseTermMs = 3000;
/** A holder that is connected lives, and is left so long to renew, in ms: taking a volume from it would cost programs their unsynced writes. */
const patienceMs = 12_000;
/** So long after it was first seen the lease of a holder that says nothing is over for all, in ms. */
const longestMs = patienceMs + leaseTermMs;
/** How much faster or slower than another a host's clock may run; NTP's worst is a hundredth of it. */
const driftRate = 0.02;
/** Renewals: each is a write to the disks of a majority. */
const renewMs = 1000;
/** Looks at somebody else's lease: a renewal is seen so much later at the most. They are reads. */
const lookMs = 500;
/** What is left at the least, in ms, of a program's patience for a write that had to wait for the lease before it began. */
const leastWriteMs = 5000;
/** A write that was under way when the lease lapsed waits to learn whether it still counts: as long as its program has patience, and so long at the least, in ms. */
const leastResumeMs = 3 * renewMs;
/** A renewal that takes longer comes too late to be worth much, and the next one waits for it. */
const callMs = 2500;
/** How often a write looks whether a lapse is over, in ms. */
const resumedMs = 100;
/** A lease of the store's on the block of a volume's would have renewals wait for a host that looked and is lost: for longer than the volume's lease lives. */
const readOptions = { deadlineMs: callMs, unleased: true } as const;

/** Who has the volume open, as this host knows it. A lease that lapsed and came back without anybody else having had it in between is of the same tenure. */
export type LeaseState =
  /** `inherited`: a process before this one had it until its end, and may have promised guests something. */
  | { readonly role: 'holder'; readonly tenure: Tenure; readonly inherited: boolean }
  /** `opening`: another one when the holder, back from a crash say, has opened the volume anew and knows nothing of this host's locks and files. */
  | { readonly role: 'guest'; readonly holder: string; readonly opening: string | undefined }
  | { readonly role: 'none' };

export interface VolumeLeaseOptions {
  readonly store: BlockStore;
  readonly volumeId: string;
  readonly self: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether a host seems to live. A matter of patience, not of safety. */
  readonly isConnected: (peer: string) => boolean;
  /** Told of every change, a new tenure of this host included. Must not take long: renewals wait for it. */
  readonly onChange: (state: LeaseState) => void;
}

/**
 * The exclusive lease of a volume: a named block that its holder rewrites every {@link renewMs}. Another host takes it over
 * once it saw the block unchanged for the term that the block names, by its own clock; the holder stops using it a drift's margin before that. So safety hangs on
 * the register and on bounded clock *rate* drift alone (Gray & Cheriton 1989).
 */
export class VolumeLease implements AsyncDisposable {
  readonly #options: VolumeLeaseOptions;
  readonly #address: Address;
  #state: LeaseState = { role: 'none' };
  /** The one that a lease of ours belongs to; another as soon as somebody else has, or may have had, it. */
  #tenure = new Tenure();
  #opening = randomUUID();
  #version: number | 'absent' = 'absent';
  /** The version that this process wrote last. */
  #ownVersion = 0;
  #count = 0;
  readonly #dismissed = new Set<string>();
  /** What of that is in the record. */
  #saidDismissed: ReadonlySet<string> = new Set();
  #seenVersion = 0;
  #seenAtMs = 0;
  #seenTermMs = 0;
  /** Another host wrote its record while this one looked. */
  #othersRenew = false;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;
  #closed = false;

  constructor(options: VolumeLeaseOptions) {
    this.#options = options;
    this.#address = namedAddress(options.volumeId, 'lease');
  }

  /** True while the lease may be used. */
  get held(): boolean {
    return this.#state.role === 'holder' && this.#tenure.leftMs(this.#options.clock) > 0;
  }

  /** What the host had locked is about to be free: the next holder is to know that. Resolves when it will, or somebody else holds the lease. */
  async dismiss(peer: string): Promise<void> {
    this.#dismissed.add(peer);
    // A lease that lapsed may go on as it was.
    while (this.#state.role !== 'guest' && !this.#closed && this.#dismissed.has(peer) && !this.#saidDismissed.has(peer)) {
      await this.beat();
      if (!this.#saidDismissed.has(peer)) await new Promise((resolve) => setTimeout(resolve, resumedMs));
    }
  }

  /** Hosts of which that was said, by holders before as well, and that have not greeted this one: itself among them until it has let its own locks go. */
  get dismissed(): Iterable<string> {
    return this.#dismissed;
  }

  isDismissed(peer: string): boolean {
    return this.#dismissed.has(peer);
  }

  /** The host knows which locks it has. */
  greeted(peer: string): void {
    this.#dismissed.delete(peer);
  }

  /** The present one. */
  get tenure(): Tenure {
    return this.#tenure;
  }

  /**
   * A store for what is opened in a tenure. It begins writes, and each stage of them, only under the lease, and calls them done only while it is
   * still held: what became durable after another host opened the volume may be unknown to it, and be overwritten. In a lapse they wait a while for
   * the same tenure to go on: a failure would be told to programs that lost nothing.
   * @param over what was opened is no longer used: nothing of it may be written any more.
   */
  guard(store: BlockStore, tenure: Tenure, over: AbortSignal): BlockStore {
    const may = (): boolean => this.held && this.#tenure === tenure && !over.aborted;
    return {
      get: (address, options) => store.get(address, options),
      fetch: (address, options) => store.fetch(address, options),
      commit: async (stages, options) => {
        const deadline = this.#options.clock.monotonicMs() + (options?.deadlineMs ?? programPatienceMs);
        const ends = (): boolean => over.aborted || options?.signal?.aborted === true;
        // A stage as well begins only under the lease, and while there is time for it.
        const proceed = (): boolean | Promise<boolean> => may() || this.#resumes(tenure, ends, deadline - leastWriteMs);
        if (!may() && !(await proceed())) throw new InfinitError('unavailable', 'the lease of the volume is not held by this host now');
        const deadlineMs = Math.max(leastWriteMs, deadline - this.#options.clock.monotonicMs());
        const result = await store.commit(stages, { ...options, deadlineMs, proceed });
        if (may() || (await this.#resumes(tenure, () => over.aborted, deadline))) return result;
        throw new InfinitError('unknown-outcome', 'the volume may have gone to another host while this was being written');
      },
    };
  }

  /** For a lease that lapsed: whether it comes back, by a time, without anybody else having had it. It is held when this resolves with true. */
  async #resumes(tenure: Tenure, ends: () => boolean, until: number): Promise<boolean> {
    const { clock } = this.#options;
    const deadline = Math.max(until, clock.monotonicMs() + leastResumeMs);
    while (this.#tenure === tenure && !ends() && !this.#closed && clock.monotonicMs() < deadline) {
      if (this.held) return true;
      await new Promise((resolve) => setTimeout(resolve, resumedMs));
    }
    return false;
  }

  /** Takes part: resolves when it is known who has the lease. */
  async start(): Promise<void> {
    await this.beat();
  }

  /** Takes part, and resolves with whether this host has the lease once somebody is known to have it who lives: whoever died with it does not give it back. Takes as long as a holder that says nothing is left. */
  async startForNow(signal?: AbortSignal): Promise<boolean> {
    const { clock } = this.#options;
    const deadline = clock.monotonicMs() + longestMs;
    await this.start();
    while (!this.held && !this.#othersRenew && signal?.aborted !== true && clock.monotonicMs() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, resumedMs));
    }
    return this.held;
  }

  /** Looks and renews at once: after a sign that the holder is gone. */
  beat(): Promise<void> {
    // Nobody would give back what it took.
    if (this.#closed) return Promise.resolve();
    this.#beating ??= this.#beatOnce().finally(() => {
      this.#beating = undefined;
      if (!this.#closed) {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => void this.beat(), this.#untilNextMs());
      }
    });
    return this.#beating;
  }

  /** The moment at which somebody else's lease is over is not missed. */
  #untilNextMs(): number {
    if (this.#state.role === 'holder') return renewMs;
    const left = this.#seenAtMs + this.#seenTermMs * (1 + driftRate) - this.#options.clock.monotonicMs();
    return left > 0 ? Math.min(lookMs, left + 1) : lookMs;
  }

  async #beatOnce(): Promise<void> {
    try {
      if (this.#state.role === 'holder') await this.#renew();
      else await this.#look();
    } catch (error) {
      this.#options.logger.debug('the lease of a volume cannot be reached', { error });
    }
    if (this.#state.role === 'holder' && !this.held) this.#become({ role: 'none' });
  }

  async #renew(): Promise<void> {
    const began = momentOf(this.#options.clock);
    const outcome = await this.#write(false);
    if (outcome === 'written') this.#extend(began);
    // Somebody else wrote: ours is over. An outcome that is not known leaves things as they are; the next beat reads.
    else if (outcome === 'conflict') await this.#look();
  }

  async #look(): Promise<void> {
    const { store, clock, self } = this.#options;
    const began = momentOf(clock);
    const block = await store.fetch(this.#address, readOptions);
    const record = block === undefined ? undefined : decode(block.payload);
    this.#version = block?.version ?? 'absent';
    if (block !== undefined && block.version !== this.#seenVersion) {
      if (this.#seenVersion !== 0 && record!.holder !== self && !record!.released) this.#othersRenew = true;
      this.#seenVersion = block.version;
      this.#seenAtMs = clock.monotonicMs();
      this.#seenTermMs = record!.termMs;
    }
    if (record === undefined || record.released || record.holder === self || this.#isOver(record, began.monotonicMs))
      return this.#take(record, began);
    this.#become({ role: 'guest', holder: record.holder, opening: record.opening });
  }

  /** By the monotonic clock alone: to look longer than need be, after a suspend, does no harm; to be hurried by a wall clock that is set would. */
  #isOver({ holder, termMs }: LeaseRecord, now: number): boolean {
    const age = now - this.#seenAtMs;
    return age > termMs * (1 + driftRate) && (age > patienceMs || !this.#options.isConnected(holder));
  }

  /** Free, ours from an earlier life (whose promises died with it), or expired. */
  async #take(record: LeaseRecord | undefined, began: Moment): Promise<void> {
    this.#count = record?.count ?? 0;
    const unbroken = this.#isUnbroken(record);
    if (!unbroken) this.#endTenure();
    if (!unbroken) {
      this.#dismissed.clear();
      for (const peer of record?.dismissed ?? []) this.#dismissed.add(peer);
    }
    const outcome = await this.#write(false);
    // Another was faster: its record is too young to be taken over, so this does not go on for ever.
    if (outcome === 'conflict') return this.#look();
    if (outcome === 'unknown') return;
    this.#extend(began);
    this.#options.logger.debug('the lease of the volume came to this host', { from: record?.holder });
    const inherited = record?.holder === this.#options.self && !record.released && !unbroken;
    this.#become({ role: 'holder', tenure: this.#tenure, inherited });
  }

  /** Nobody wrote since this process did. A renewal whose outcome was unknown may have come through late: no other process can put this host's name on what this one wrote. */
  #isUnbroken(record: LeaseRecord | undefined): boolean {
    if (this.#ownVersion === 0 || this.#version === 'absent') return false;
    return this.#version === this.#ownVersion || (this.#version === this.#ownVersion + 1 && record?.holder === this.#options.self);
  }

  /** Nothing that was opened before can be used again. */
  #endTenure(): void {
    this.#tenure.end();
    this.#tenure = new Tenure();
    this.#opening = randomUUID();
  }

  /** What was open is no longer, in the same tenure: guests are told with the next renewal, which is due at once. */
  openedAnew(): void {
    this.#opening = randomUUID();
    if (!this.#closed) void this.beat();
  }

  /** The term counts from before the renewal left: others count it from when they see it. */
  #extend(began: Moment): void {
    this.#tenure.extend(began, (leaseTermMs * (1 - driftRate)) / (1 + driftRate));
  }

  async #write(released: boolean): Promise<'written' | 'conflict' | 'unknown'> {
    const dismissed = [...this.#dismissed];
    const record: LeaseRecord = {
      holder: this.#options.self,
      count: ++this.#count,
      released,
      termMs: leaseTermMs,
      opening: this.#opening,
      ...(dismissed.length === 0 ? {} : { dismissed }),
    };
    const update = { address: this.#address, expect: this.#version, payload: Buffer.from(JSON.stringify(record)) };
    const result = await this.#options.store.commit([{ update: [update] }], { deadlineMs: callMs });
    if (result.done) {
      this.#version = this.#ownVersion = result.versions[0]![0]!;
      this.#saidDismissed = new Set(dismissed);
      return 'written';
    }
    const [outcome] = result.outcomes;
    if (outcome?.status === 'conflict') return 'conflict';
    // It may have been written: the version must be read before the next attempt.
    const block = await this.#options.store.fetch(this.#address, readOptions);
    this.#version = block?.version ?? 'absent';
    const current = block === undefined ? undefined : decode(block.payload);
    if (block !== undefined && current?.holder === record.holder && current.count === record.count) {
      this.#ownVersion = block.version;
      return 'written';
    }
    return current?.holder === record.holder ? 'unknown' : 'conflict';
  }

  #become(state: LeaseState): void {
    const same = isSame(state, this.#state);
    this.#state = state;
    if (state.role === 'none') this.#tenure.end();
    if (state.role === 'guest' && !same) this.#endTenure();
    if (!same && !this.#closed) this.#options.onChange(state);
  }

  /** Gives the lease back, if it is held: everything must have been written out before. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#beating;
    if (this.#state.role === 'holder' && this.held) await this.#write(true).catch(() => {});
    this.#state = { role: 'none' };
  }
}

function isSame(one: LeaseState, other: LeaseState): boolean {
  if (one.role === 'holder') return other.role === 'holder' && one.tenure === other.tenure;
  if (one.role === 'guest') return other.role === 'guest' && one.holder === other.holder && one.opening === other.opening;
  return other.role === 'none';
}

/** Who holds a volume's lease, as far as its block says. */
export async function leaseHolder(store: BlockStore, volumeId: string): Promise<string | undefined> {
  const block = await store.fetch(namedAddress(volumeId, 'lease'), readOptions);
  const record = block === undefined ? undefined : decode(block.payload);
  return record === undefined || record.released ? undefined : record.holder;
}

/** Who holds a volume's lease and lives: renews it while it is looked at. That takes until the next renewal; as long as the lease lives where none comes, and then the answer is undefined. */
export async function livingHolder(store: BlockStore, volumeId: string, clock: Clock): Promise<string | undefined> {
  const address = namedAddress(volumeId, 'lease');
  const look = (): Promise<StoredBlock | undefined> => store.fetch(address, readOptions);
  const first = await look();
  const since = clock.monotonicMs();
  for (let block = first; block !== undefined; block = await look()) {
    const { holder, released, termMs } = decode(block.payload);
    if (released) return undefined;
    if (block.version !== first!.version) return holder;
    if (clock.monotonicMs() - since > termMs * (1 + driftRate)) return undefined;
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
  return undefined;
}

function decode(payload: Uint8Array): LeaseRecord {
  return JSON.parse(Buffer.from(payload).toString('utf8')) as LeaseRecord;
}
