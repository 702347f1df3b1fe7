import { codeOf, InfinitError, type Logger, messageOf } from '../base/index.ts';
import { type Address, kindOf } from '../block/index.ts';
import type { PeerId, Transport } from '../overlay/index.ts';
import type { Store } from '../store/index.ts';
import { bringUp } from './bring-up.ts';
import { Comparison } from './comparison.ts';
import { CopyKeeper } from './copy-keeper.ts';
import { noCounts } from './counts.ts';
import { LastCopies } from './last-copies.ts';
import { Pace } from './pace.ts';
import { type Amount, Progress, type RepairStatus } from './progress.ts';
import { RegisterKeeper } from './register-keeper.ts';
import { type Audit, Salvage, type SalvageReport, type SalvageRequest } from './salvage.ts';
import { Scrubber } from './scrubber.ts';
import { defaultRepairSettings, maxUrgent, registersInLane, type RepairSettings, settleDownMs } from './settings.ts';
import { Standpoint } from './standpoint.ts';
import type { RosterView, Views } from '../membership/index.ts';
import { allParts, copiesPart, pages, type Part, walkUntilDone } from './walk.ts';

/** What was left open by a check is looked at again after so long, in ms, then after twice as long and so on, unless a host comes or goes: it may be for a person to mend. */
const openAgainMs = 30_000;
/** After each so many tries that are in vain it is told what is known of so many blocks at the most. */
const accountedTries = 16;
const maxAccounted = 3;
/** Pause after a failure that was not one block's, in ms. Checks that fail one after the other are further and further apart. */
const afterFailureMs = 1000;

export interface RepairOptions {
  readonly store: Store;
  readonly transport: Transport;
  readonly views: Views;
  readonly settings?: Partial<RepairSettings>;
  /** Whether a host was expelled for good: the gate lets it in no more. */
  readonly isExpelled?: (peer: PeerId) => boolean;
  readonly logger: Logger;
}

/**
 * Keeps every block that this host holds where it belongs and as often as is wanted, in the background: moves blocks when the roster changes,
 * compares copies with those of other hosts, replaces what was damaged, forgets what was removed.
 */
export class Repair implements AsyncDisposable {
  readonly #options: RepairOptions;
  readonly #at: Standpoint;
  readonly #registers: RegisterKeeper;
  readonly #copies: CopyKeeper;
  readonly #comparison: Comparison;
  readonly #progress: Progress;
  readonly #scrubber: Scrubber;
  readonly #salvage: Salvage;
  #salvaging = false;
  readonly #stop = new AbortController();
  readonly #listening: (() => void)[];
  readonly #running: Promise<unknown>;
  /** Damaged registers that are not replaced yet. */
  readonly #urgent = new Set<Address>();
  /** Registers that a replica's floor refused, and when they are looked at: the write that it refused should be over by then. */
  readonly #refused = new Set<Address>();
  #refusedAt = Infinity;
  /** The views up to this one that retire and for which everything here is resolved and moved, and those of which the others were told so. */
  #moved = -Infinity;
  #resolved = -Infinity;
  /** The last of the views that retire now, and how often that began anew: then everything is resolved once more. */
  #retiring: number | undefined;
  #begun = 0;
  #checkAt = performance.now() + settleDownMs;
  /** How long after a failure all is checked anew: a disk that fails and lives on would be read through without end. */
  #checkPauseMs = afterFailureMs;
  /** The last look at something left it open. */
  #open = false;
  #openPauseMs = openAgainMs;
  /** What is under way, and the views that it is about. */
  #job: { readonly abort: AbortController; about: string } | undefined;
  #wake: (() => void) | undefined;

  private constructor(options: RepairOptions) {
    const { store, transport, views } = options;
    const settings = { ...defaultRepairSettings, ...options.settings };
    const { housekeeping } = store;
    const pace = new Pace(() => housekeeping.hasClients, settings.bytesPerSecond);
    housekeeping.copyStrain = pace.strain;
    this.#options = options;
    this.#at = new Standpoint({ self: transport.self, housekeeping, transport, views, pace, settings });
    this.#registers = new RegisterKeeper(this.#at);
    this.#copies = new CopyKeeper(this.#at);
    this.#comparison = new Comparison(this.#at);
    const isGone = (peer: PeerId): boolean => options.isExpelled?.(peer) === true || views.countedOut().has(peer);
    this.#salvage = new Salvage(this.#at, isGone);
    this.#progress = new Progress(() => pace.bytes);
    this.#scrubber = new Scrubber(this.#at, options.logger);
    const soon = (): void => {
      this.#openPauseMs = openAgainMs;
      this.#checkIn(settleDownMs);
    };
    this.#listening = [views.onChange(() => this.#viewsChanged()), transport.onPeerUp(soon), transport.onPeerDown(soon)];
    store.onLost = (address) => this.#noteLost(address);
    store.onRefused = (address) => this.#noteRefused(address);
    const scrubbing = this.#scrubber.run(this.#stop.signal).catch((error: unknown) => {
      if (!this.#stop.signal.aborted) options.logger.error('scrub ended', { error: messageOf(error) });
    });
    this.#running = Promise.all([this.#run(), scrubbing]);
  }

  /** Begins to work, in the background. */
  static start(options: RepairOptions): Repair {
    return new Repair(options);
  }

  /** How far it is. Cheap. */
  status(): RepairStatus {
    return { ...this.#progress.status(), scrub: this.#scrubber.status() };
  }

  /** Reads everything on this host now, at a rate of its own. */
  scrub(bytesPerSecond: number): void {
    this.#scrubber.now(bytesPerSecond);
  }

  /** Looks for blocks whose majority is lost and, where a person insists, rewrites them: see {@link Salvage}. One run at a time. */
  async salvage(request: SalvageRequest, audit: Audit): Promise<SalvageReport> {
    if (this.#salvaging) throw new InfinitError('overloaded', 'a salvage is under way already');
    this.#salvaging = true;
    try {
      return await this.#salvage.run(request, audit, this.#stop.signal);
    } finally {
      this.#salvaging = false;
      this.#checkIn(0);
    }
  }

  /** Checks everything now. */
  check(): void {
    this.#checkIn(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const stop of this.#listening) stop();
    this.#job?.abort.abort();
    this.#wake?.();
    await this.#running;
    this.#comparison.close();
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const job = { abort: new AbortController(), about: '' };
      this.#job = job;
      try {
        await this.#at.views.whenKnown(this.#stop.signal);
        if (!(await this.#work(job.abort.signal))) await this.#sleep();
      } catch (error) {
        if (job.abort.signal.aborted) continue;
        // A host that is joining does not know its views yet.
        const level = codeOf(error) === 'unavailable' ? 'debug' : 'warn';
        this.#options.logger[level]('repair was interrupted and goes on', { error: messageOf(error) });
        // A check that was begun is not due again for long.
        this.#checkIn(this.#checkPauseMs);
        this.#checkPauseMs = Math.min(this.#checkPauseMs * 2, Math.max(afterFailureMs, this.#at.settings.checkIntervalMs));
        await this.#sleep(afterFailureMs);
      }
    }
  }

  /** The most pressing thing. False: there is nothing to do. */
  async #work(signal: AbortSignal): Promise<boolean> {
    const retiring = this.#at.views.retiring();
    this.#job!.about = this.#about();
    if (retiring !== undefined && lastOf(retiring.from) !== this.#resolved) {
      await this.#retire(retiring.from, retiring.to, signal);
      return true;
    }
    if (this.#urgent.size > 0) {
      const urgent = [...this.#urgent];
      this.#urgent.clear();
      await this.#tend(urgent, signal);
      return true;
    }
    if (performance.now() >= this.#refusedAt) {
      await this.#complete(signal);
      return true;
    }
    if (performance.now() >= this.#checkAt) {
      await this.#check(signal);
      return true;
    }
    const ripe = this.#registers.ripe();
    if (ripe.length > 0) await this.#tend(ripe, signal);
    this.#progress.begin(this.#at.onlyView === undefined ? 'waiting' : this.#open ? 'open' : 'idle');
    return false;
  }

  /** Resolves and moves everything that this host holds to the view after those that retire. */
  async #retire(from: readonly RosterView[], to: RosterView, signal: AbortSignal): Promise<void> {
    const { logger } = this.#options;
    const through = lastOf(from);
    const startedAt = performance.now();
    logger.info('moving blocks to where the roster has them now', { from: from.map(({ number }) => number).join(), to: to.number });
    this.#progress.begin('moving', this.#all);
    const step = async (part: Part['name'], addresses: readonly Address[], patience: number): Promise<readonly Address[]> => {
      const open: Address[] = part === 'copies' ? await this.#copies.move(addresses, from, patience, signal) : [];
      const move = async (address: Address): Promise<void> => {
        await this.#at.pace.breathe();
        const tended = await this.#registers.move(address, to, patience, signal).catch((error: unknown) => this.#failed(address, error, signal));
        if (tended === 'open') open.push(address);
      };
      if (part === 'registers') await this.#at.pace.each(addresses, move, registersInLane);
      // Not while hosts are merely away for a moment.
      if (patience % accountedTries === accountedTries - 1)
        for (const address of open.filter((one) => kindOf(one) !== 'immutable').slice(0, maxAccounted))
          logger.warn('a block does not move', await this.#registers.account(address, to, signal).catch((error: unknown) => ({ address, error })));
      if (patience > 0 && open.length > 0) logger.debug('blocks could not be moved yet', { tries: patience, blocks: open.length, first: open[0]! });
      return open;
    };
    if (this.#moved !== through) {
      await this.#moveLast(from, signal);
      // Whoever was counted out meanwhile and is back is in a further view, and may hold other blocks than where an earlier start came to.
      const walk = `retire/${through}/${this.#at.newest.number}/${this.#begun}`;
      await walkUntilDone(this.#at, walk, step, this.#progress, signal);
    }
    this.#moved = through;
    await this.#at.views.resolved(through);
    this.#resolved = through;
    this.#progress.begin('waiting');
    logger.info('this host has moved its blocks', { to: to.number, blocks: this.#all.blocks, ms: Math.round(performance.now() - startedAt) });
  }

  /** Blocks of which this may be the last copy get a second one before anything else is done: the next host that is lost would be their end. */
  async #moveLast(from: readonly RosterView[], signal: AbortSignal): Promise<void> {
    const last = new LastCopies(this.#at, from);
    if (!last.any) return;
    for await (const { addresses } of pages(this.#at, copiesPart, signal)) {
      const urgent = await this.#at.pace.run(async () => addresses.filter((address) => last.has(address)));
      // Those that cannot be moved yet are met again with all others.
      if (urgent.length > 0) await this.#copies.move(urgent, from, 0, signal);
    }
  }

  get #all(): Amount {
    const { blocks, bytes } = this.#at.housekeeping;
    return { blocks, bytes };
  }

  /** Looks at everything once, mends what it can, and counts. */
  async #check(signal: AbortSignal): Promise<void> {
    this.#checkAt = performance.now() + this.#at.settings.checkIntervalMs;
    this.#progress.begin('checking', this.#all);
    this.#registers.beginCheck();
    // Hosts that may not be counted out keep a view from retiring, and what they held is wanted elsewhere all the same.
    await this.#moveLast(this.#at.views.inForce().slice(0, -1), signal);
    const counter = noCounts();
    let open = false;
    for (const part of allParts) {
      this.#progress.enter(part.name);
      for await (const { after, last, addresses, bytes } of pages(this.#at, part, signal)) {
        if (part.name === 'copies') await this.#copies.tend(addresses, counter, signal);
        else
          await this.#at.pace.each(
            addresses,
            async (address) => {
              await this.#at.pace.breathe();
              const tended = await this.#registers.tend(address, counter, signal).catch((error: unknown) => this.#failed(address, error, signal));
              if (tended === 'open') open = true;
            },
            registersInLane,
          );
        const { mended, short, isOpen } = await this.#comparison.page(after, last, addresses, signal);
        this.#progress.repaired += mended;
        for (const address of short) if (this.#isMineToCount(address)) counter.underReplicated++;
        if (short.size > 0 || isOpen) open = true;
        this.#progress.advance({ blocks: addresses.length, bytes });
      }
    }
    this.#progress.walked();
    this.#progress.checked(counter, open);
    this.#checkPauseMs = afterFailureMs;
    this.#open = false;
    if (open) this.#leftOpen();
    else this.#openPauseMs = openAgainMs;
  }

  /** It is looked at with everything else, later. */
  #leftOpen(): void {
    this.#open = true;
    this.#checkIn(this.#openPauseMs);
    this.#openPauseMs = Math.min(this.#openPauseMs * 2, Math.max(openAgainMs, this.#at.settings.checkIntervalMs));
  }

  /** All copies are in reach, and yet one is missing. Of the hosts the smallest compares with all others, so it knows of every such block. */
  #isMineToCount(address: Address): boolean {
    const up = this.#at.up(this.#at.home(address, this.#at.newest));
    return up.length >= this.#at.copiesWanted && up.every((peer) => peer >= this.#at.self);
  }

  async #tend(addresses: readonly Address[], signal: AbortSignal): Promise<void> {
    let open = false;
    await this.#at.pace.each(addresses, async (address) => {
      const tended = await this.#registers.tend(address, noCounts(), signal).catch((error: unknown) => this.#failed(address, error, signal));
      if (tended === 'open') open = true;
    });
    if (open) this.#leftOpen();
  }

  /** Brings what replicas refused to them. */
  async #complete(signal: AbortSignal): Promise<void> {
    const refused = [...this.#refused];
    this.#refused.clear();
    this.#refusedAt = Infinity;
    let open = false;
    await this.#at.pace.each(refused, async (address) => {
      const mend = await bringUp(this.#at, address, ({ record }) => this.#at.up(record.replicas), signal).catch(() => 'short');
      if (mend === 'short') open = true;
    });
    if (open) this.#leftOpen();
  }

  #failed(address: Address, error: unknown, signal: AbortSignal): 'open' {
    signal.throwIfAborted();
    this.#options.logger.debug('a block could not be tended', { address, error: messageOf(error) });
    return 'open';
  }

  #noteLost(address: Address): void {
    if (this.#urgent.size < maxUrgent) this.#urgent.add(address);
    else this.#checkIn(settleDownMs);
    this.#wake?.();
  }

  #noteRefused(address: Address): void {
    if (this.#refused.size >= maxUrgent) return this.#checkIn(settleDownMs);
    this.#refused.add(address);
    if (this.#refusedAt < Infinity) return;
    this.#refusedAt = performance.now() + settleDownMs;
    this.#wake?.();
  }

  /** What is under way may be about a roster that is no longer the one. A move goes on when a further view comes. */
  #viewsChanged(): void {
    this.#openPauseMs = openAgainMs;
    this.#checkIn(0);
    const from = this.#at.views.retiring()?.from;
    const retiring = from === undefined ? undefined : lastOf(from);
    if (retiring !== this.#retiring) {
      if (this.#retiring !== undefined) this.#begun++;
      this.#retiring = retiring;
      this.#moved = this.#resolved = -Infinity;
    }
    const job = this.#job;
    if (job !== undefined && job.about !== '' && job.about !== this.#about()) job.abort.abort();
  }

  #about(): string {
    const retiring = this.#at.views.retiring();
    if (retiring !== undefined && lastOf(retiring.from) !== this.#resolved) return `move ${lastOf(retiring.from)}`;
    return `check ${this.#at.views
      .inForce()
      .map(({ number }) => number)
      .join()}`;
  }

  #checkIn(ms: number): void {
    this.#checkAt = Math.min(this.#checkAt, performance.now() + ms);
    this.#wake?.();
  }

  /** Until the next thing is due, or for `ms` whatever is due, or until somebody calls. */
  async #sleep(ms?: number): Promise<void> {
    const due = ms ?? Math.min(this.#checkAt, this.#refusedAt, this.#registers.ripeAt ?? Infinity) - performance.now();
    if (this.#stop.signal.aborted) return;
    // It was told of while the last work was under way, when there was nobody to wake.
    if (ms === undefined && this.#urgent.size > 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.max(10, Math.min(due, 2 ** 30)));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }
}

function lastOf(views: readonly RosterView[]): number {
  return views.at(-1)!.number;
}
