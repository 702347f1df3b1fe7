import { InfinitError } from '../base/index.ts';
import { type Address, namedAddress } from '../block/index.ts';
import { Roster } from '../placement/index.ts';
import type { BlockStore } from '../store/index.ts';
import type { PeerId } from '../overlay/index.ts';
import { agreeToForgive } from './forgiving.ts';
import { HighWaterMarks } from './high-water-marks.ts';
import { Keeper, keepersOf } from './keeper.ts';
import { KeptSilence } from './kept-silence.ts';
import { DurableKnowledge } from './knowledge.ts';
import { mayBeLost, percentLost, saysLosses } from './losses.ts';
import { type MembershipOptions, type MembershipStatus, termMsOf } from './options.ts';
import { type Report, whyItMustStay } from './plan.ts';
import { Poll } from './poll.ts';
import { foundingState, isOnNotice, lossesOf, newestView, retirement, type RosterState } from './roster-state.ts';
import { Say } from './say.ts';
import { Surrender } from './surrender.ts';
import type { RosterView, Views } from './views.ts';

/** A host that has something to find out asks each other this often, in ms; longer where there are many. */
const quickAskMs = 400;
const quickAskMsAHost = 20;
const defaultTickMs = 250;
/** Reports that come together are looked at together, in ms. */
const soonMs = 20;
const nobody: ReadonlySet<PeerId> = new Set();

/** What membership does with the store besides the roster block. */
export interface MembershipStore extends BlockStore {
  readonly housekeeping: {
    /** No register that was forgotten here had a version above it. */
    readonly floor: number;
    /** No block that was lost with all its hosts had a version as high. */
    readonly aboveLost: number;
    loseEverything(revoked: readonly PeerId[], signal: AbortSignal): Promise<void>;
  };
}

/**
 * The views of the roster on this host: what it knows of them, durably; what it tells others and hears from them; and its part in changing them.
 * The decisions are pure functions: plan.ts (what should be agreed on next), standing.ts (what a host is by what it is told).
 */
export class Membership implements Views, AsyncDisposable {
  readonly #options: MembershipOptions;
  readonly #self: PeerId;
  readonly #knowledge: DurableKnowledge;
  readonly #say: Say;
  readonly #silence: KeptSilence;
  readonly #marks: HighWaterMarks;
  readonly #poll: Poll;
  readonly #listeners = new Set<() => void>();
  readonly #stops: (() => void)[];
  #timer: NodeJS.Timeout | undefined;
  readonly #alone: readonly RosterView[];
  #store: MembershipStore | undefined;
  #keeper: Keeper | undefined;
  #surrender: Surrender | undefined;
  #resolved = 0;
  #countedOut: ReadonlySet<PeerId> = new Set();
  #lastTick: number;
  readonly #stop = new AbortController();
  #closed = false;
  #soon: NodeJS.Timeout | undefined;

  static async open(options: MembershipOptions): Promise<Membership> {
    const knowledge = await DurableKnowledge.open(options.disk, options.neighbourhood.self);
    const { evictionDelayMs, clock, logger } = options;
    const silence = await KeptSilence.open({ knowledge, evictionDelayMs, now: clock.monotonicMs(), logger });
    const marks = await HighWaterMarks.open({
      self: options.neighbourhood.self,
      disk: options.disk,
      mayTell: (peer) => options.neighbourhood.mayStore(peer),
      onWentBack: (peer, missing) => options.neighbourhood.wentBack(peer, missing),
      logger,
    });
    const membership = new Membership(options, knowledge, silence, marks);
    // A founder that crashed before it knew its own first view.
    if (options.neighbourhood.clusterId !== undefined && (await knowledge.intendsToFound())) await membership.#found();
    return membership;
  }

  private constructor(options: MembershipOptions, knowledge: DurableKnowledge, silence: KeptSilence, marks: HighWaterMarks) {
    const { neighbourhood, own, replicas, evictionDelayMs, clock, logger } = options;
    this.#options = options;
    this.#self = neighbourhood.self;
    this.#knowledge = knowledge;
    this.#silence = silence;
    this.#marks = marks;
    this.#alone = [{ number: 0, roster: Roster.of([{ peer: this.#self, ...own }]), replicas }];
    this.#lastTick = clock.monotonicMs();
    this.#say = new Say({ neighbourhood, knowledge, evictionDelayMs, clock });
    this.#poll = new Poll({
      transport: neighbourhood.transport,
      mayTell: (peer) => neighbourhood.mayStore(peer),
      clock,
      sayClock: this.#say.clock,
      logger,
      confirmations: this.#say.confirmations,
      marks,
      state: () => this.#state,
      report: () => this.#report(),
      learn: (state) => this.#learn(state),
      onReport: () => {
        this.#say.reckon();
        this.#lookSoon();
      },
    });
    this.#stops = [neighbourhood.transport.onPeerUp((peer) => void this.#poll.ask(peer))];
    this.#say.reckon();
    if (neighbourhood.clusterId !== undefined) this.#begin();
  }

  /** A host alone has nothing to look after. */
  #begin(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#lastTick = this.#options.clock.monotonicMs();
    this.#timer = setInterval(() => this.#tick(), this.#options.tickMs ?? defaultTickMs);
    this.#timer.unref();
  }

  /** From now on this host also changes the roster. */
  start(store: MembershipStore): void {
    this.#store = store;
    const { neighbourhood, evictionDelayMs, logger } = this.#options;
    this.#keeper = new Keeper({
      store,
      neighbourhood,
      evictionDelayMs,
      sayClock: this.#say.clock,
      logger,
      reports: () => new Map(this.#poll.reports).set(this.#self, this.#report()),
      learn: (state) => this.#learn(state),
      tell: (state) => this.#poll.tell(state),
      onAgreed: (sinceMs) => {
        this.#say.confirmations.noteAgreed(sinceMs);
        this.#say.reckon();
      },
    });
    this.#surrender = new Surrender({
      store,
      clusterId: () => neighbourhood.clusterId,
      state: () => this.#state!,
      countedOut: () => this.#countedOut,
      learn: (state) => this.#learn(state),
      onDone: async () => {
        await this.#knowledge.becomeFresh();
        this.#changed();
      },
      logger,
      signal: this.#stop.signal,
    });
    if (this.#knowledge.current.standing === 'outcast') void this.#surrender.begin();
  }

  /** @throws InfinitError `unavailable` while this host belongs to a cluster and does not know its views yet. */
  inForce(): readonly RosterView[] {
    const state = this.#state;
    if (state !== undefined) return state.views;
    if (this.#options.neighbourhood.clusterId === undefined) return this.#alone;
    throw new InfinitError('unavailable', 'this host is still joining its cluster: see `infinit status`');
  }

  retiring(): { readonly from: readonly RosterView[]; readonly to: RosterView } | undefined {
    const { standing, state } = this.#knowledge.current;
    return state === undefined || standing !== 'member' || isOnNotice(state, this.#self) ? undefined : retirement(state);
  }

  resolved(through: number): Promise<void> {
    if (this.#state?.retiring === through && through !== 0) {
      this.#resolved = through;
      this.#tellKeepers();
    }
    return Promise.resolve();
  }

  countedOut(): ReadonlySet<PeerId> {
    return this.#countedOut;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Whether this host's acceptor may answer: a host alone always, a member while others confirm that it was not counted out. */
  get hasSay(): boolean {
    return this.#say.isHad;
  }

  /** Whether a view that this host knows has it, or it is alone: else it is replica of nothing. */
  get isMember(): boolean {
    return this.#knowledge.current.standing === 'member' || this.#options.neighbourhood.clusterId === undefined;
  }

  /** No block that was forgotten in a view that is retired had a version above it. */
  get floor(): number {
    return this.#state?.floor ?? 0;
  }

  /** Whether a block of which nobody has anything may have been lost with all that had it. */
  mayBeLost(address: Address): boolean {
    const losses = this.#state?.losses;
    return losses !== undefined && mayBeLost(losses, address);
  }

  /** A person accepts what was lost with these hosts. True where there was anything to accept. @throws InfinitError `bad-argument` where more are to be named, `conflict`, `unavailable`. */
  async forgive(hosts: readonly PeerId[]): Promise<boolean> {
    const state = this.#state;
    if (state === undefined || lossesOf(state).list.length === 0) return false;
    const next = await agreeToForgive(this.#store!, this.#options.neighbourhood.clusterId!, state, hosts);
    await this.#learn(next);
    this.#poll.tell(next);
    return true;
  }

  /** Of how many in a hundred addresses what was there may be lost, as long as nobody accepts it. */
  get percentLost(): number {
    const state = this.#state;
    return state === undefined || lossesOf(state).list.length === 0 ? 0 : percentLost(lossesOf(state), (index) => namedAddress('any', String(index)));
  }

  /** What may be lost, and nobody accepted yet: a sentence. undefined: nothing. */
  get unaccepted(): string | undefined {
    const state = this.#state;
    return state === undefined || lossesOf(state).list.length === 0 ? undefined : saysLosses(lossesOf(state));
  }

  /** This host has entered a cluster, and keeps nothing of the time before: it may be taken into the next view. */
  async enter(): Promise<void> {
    this.#begin();
    if (this.#knowledge.current.standing === 'stranger' && (await this.#knowledge.becomeFresh())) this.#changed();
  }

  /** To be called before a cluster is made, and {@link found} after: a crash between the two leaves no cluster without a view. */
  intendToFound(): Promise<void> {
    return this.#knowledge.intendToFound(true);
  }

  /** No cluster was made after all. */
  abandonFounding(): Promise<void> {
    return this.#knowledge.intendToFound(false);
  }

  /** This host has taken back its wish to join a cluster. */
  standAlone(): void {
    this.#say.reckon();
  }

  /** This host is the first of a new cluster: what it stores is the cluster's. */
  async found(): Promise<void> {
    await this.#found();
    this.#begin();
    this.#tick();
  }

  /** Whether {@link inForce} has an answer. */
  get isKnown(): boolean {
    return this.#state !== undefined || this.#options.neighbourhood.clusterId === undefined;
  }

  async whenKnown(signal?: AbortSignal): Promise<void> {
    if (this.isKnown) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => reject(new InfinitError('cancelled', 'the wait for the views of the roster was cancelled'));
    signal?.addEventListener('abort', onAbort, { once: true });
    const stop = this.onChange(() => this.#state !== undefined && resolve());
    if (signal?.aborted === true) onAbort();
    try {
      await promise;
    } finally {
      stop();
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Why a host should not be expelled now; undefined: it may. @param gone Hosts that count as gone already. */
  whyItMustStay(peer: PeerId, gone: ReadonlySet<PeerId> = nobody): string | undefined {
    const state = this.#state;
    if (state === undefined) return undefined;
    const neighbours = this.#options.neighbourhood.neighbours().map((one) => (gone.has(one.peer) ? { ...one, alive: false } : one));
    return whyItMustStay({ state, neighbours }, peer);
  }

  status(): MembershipStatus {
    const { standing, state } = this.#knowledge.current;
    const troubles = [...(this.#keeper?.troubles ?? [])];
    if (this.unaccepted !== undefined) troubles.push(this.unaccepted);
    if (standing === 'outcast')
      troubles.push(
        'the cluster counts on this host no longer (drained, or replaced while it was away): it lets go of its blocks, each once the others are sure to have it',
        ...(this.#surrender?.trouble === undefined ? [] : [this.#surrender.trouble]),
      );
    else if (standing === 'member' && !this.hasSay)
      troubles.push('this host is cut off from the others: it keeps its blocks, and has no say about them until it hears from them');
    return {
      views: state?.views.map(({ number }) => number) ?? [],
      hosts: state === undefined ? 0 : newestView(state).roster.size,
      retiring: state?.retiring ?? 0,
      standing,
      countedOut: state?.countedOut.map(({ peer }) => peer) ?? [],
      troubles,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#stop.abort();
    clearInterval(this.#timer);
    clearTimeout(this.#soon);
    for (const stop of this.#stops) stop();
    this.#poll[Symbol.dispose]();
    await Promise.all([this.#silence.save(), this.#marks.close()]);
  }

  get #state(): RosterState | undefined {
    return this.#knowledge.current.state;
  }

  async #found(): Promise<void> {
    const { own, replicas } = this.#options;
    await this.#knowledge.found(foundingState({ peer: this.#self, ...own }, replicas));
    this.#changed();
  }

  async #learn(state: RosterState): Promise<void> {
    if (!(await this.#knowledge.learn(state))) return;
    if (this.#resolved !== state.retiring) this.#resolved = 0;
    this.#changed();
    if (this.#knowledge.current.standing === 'outcast') void this.#surrender?.begin();
    else if (!this.hasSay) this.#poll.askSome(this.#others());
    this.#tellKeepers();
  }

  /** Those who look after the roster wait for what this host has to say. */
  #tellKeepers(): void {
    if (this.#state !== undefined) this.#poll.askAll(keepersOf(this.#state, this.#options.neighbourhood), 0);
    this.#lookSoon();
  }

  /** What was reported may be the last that a change waits for. */
  #lookSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      if (!this.#closed) this.#look(this.#options.clock.monotonicMs());
    }, soonMs);
    this.#soon.unref();
  }

  #changed(): void {
    const state = this.#state;
    this.#countedOut = new Set(state?.countedOut.flatMap(({ peer, settled }) => (settled ? [peer] : [])));
    this.#say.reckon();
    // Before it is told of a view there is nothing to look at.
    if (state !== undefined) for (const listener of this.#listeners) listener();
  }

  #report(): Report {
    const { standing, state } = this.#knowledge.current;
    return {
      serial: state?.serial ?? 0,
      newest: state === undefined ? 0 : newestView(state).number,
      standing,
      resolved: this.#resolved,
      floor: this.#store?.housekeeping.floor ?? 0,
      silent: this.#silence.tooLong(),
    };
  }

  /** Other hosts of the views in force. */
  #others(): Set<PeerId> {
    const peers = new Set(this.#state?.views.flatMap(({ roster }) => [...roster.members].map(({ peer }) => peer)));
    peers.delete(this.#self);
    return peers;
  }

  #tick(): void {
    if (this.#closed || this.#options.neighbourhood.clusterId === undefined) return;
    const now = this.#options.clock.monotonicMs();
    const elapsed = Math.min(now - this.#lastTick, 2 * (this.#options.tickMs ?? defaultTickMs));
    this.#lastTick = now;
    this.#marks.keep(now);
    // Hosts may have been expelled, of which no report tells.
    this.#say.reckon();
    const { standing, state } = this.#knowledge.current;
    const others = this.#others();
    const connected = this.#options.neighbourhood.transport.connected();
    if (state !== undefined && standing === 'member') {
      this.#silence.listen(others, (peer) => this.#options.neighbourhood.transport.isConnected(peer), elapsed, now);
      const work = this.#look(now);
      const quick = Math.max(quickAskMs, others.size * quickAskMsAHost);
      const relaxed = termMsOf(this.#options.evictionDelayMs) / 4;
      if (work) this.#poll.askAll(connected, quick);
      else this.#poll.askNowAndThen([...others, ...keepersOf(state, this.#options.neighbourhood)], this.hasSay ? relaxed : quickAskMs);
    } else {
      if (standing === 'outcast') void this.#surrender?.begin();
      this.#poll.askNowAndThen(connected, state === undefined ? quickAskMs : termMsOf(this.#options.evictionDelayMs) / 4);
    }
  }

  /** Does its part in changing the roster. True where there is something to change. */
  #look(now: number): boolean {
    const { standing, state } = this.#knowledge.current;
    return state !== undefined && standing === 'member' && this.#keeper?.look(state, now) === true;
  }
}
