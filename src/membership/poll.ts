import { type Clock, InfinitError, type LeaseClock, type Logger, messageOf, systemRandom } from '../base/index.ts';
import type { PeerId, Transport } from '../overlay/index.ts';
import type { Confirmations } from './confirmations.ts';
import type { HighWaterMarks } from './high-water-marks.ts';
import { decodeReport, encodeReport, kinds } from './messages.ts';
import type { Report } from './plan.ts';
import { decodeRosterState, encodeRosterState, type RosterState } from './roster-state.ts';

/** A host that has not answered after so long is asked again, in ms. */
const deadlineMs = 2000;
/** A host that only wants to stay up to date, or to have a say, asks so many others at once: more than a majority of any set. */
const askedAtOnce = 8;

export interface PollOptions {
  readonly transport: Transport;
  /** Who may say what the views are: a storing host. Others only ask. */
  readonly mayTell: (peer: PeerId) => boolean;
  readonly clock: Clock;
  /** What confirms something did so at a time by this one. */
  readonly sayClock: LeaseClock;
  readonly logger: Logger;
  readonly confirmations: Confirmations;
  readonly marks: HighWaterMarks;
  /** What this host knows, durably. */
  readonly state: () => RosterState | undefined;
  readonly report: () => Report;
  readonly learn: (state: RosterState) => Promise<unknown>;
  /** Told after an answer came. */
  readonly onReport: () => void;
}

/** What hosts tell each other of the views: each asks others now and then, and what changes is told to all at once. */
export class Poll implements Disposable {
  /** The last answer of each host that is connected. */
  readonly reports = new Map<PeerId, Report>();
  readonly #options: PollOptions;
  readonly #stops: (() => void)[];
  readonly #asking = new Set<PeerId>();
  /** To be asked once more when the answer is there: what this host has to say changed since it asked. */
  readonly #again = new Set<PeerId>();
  readonly #askedAt = new Map<PeerId, number>();
  #someAskedAt = -Infinity;

  constructor(options: PollOptions) {
    this.#options = options;
    const { transport, logger } = options;
    this.#stops = [
      transport.handle(kinds.report, (peer, body) => this.#answer(peer, decodeReport(body, undefined))),
      transport.handle(kinds.news, async (peer, body) => {
        if (!options.mayTell(peer)) throw new InfinitError('denied', `host ${peer} may not store, so it says nothing about who does`);
        await options
          .learn(decodeRosterState(body, options.state()))
          .catch((error: unknown) => logger.warn('news of the roster could not be kept', { error }));
        return undefined;
      }),
      transport.onPeerDown((peer) => {
        this.reports.delete(peer);
        this.#askedAt.delete(peer);
      }),
    ];
  }

  [Symbol.dispose](): void {
    for (const stop of this.#stops) stop();
  }

  /** Asks each of these that was not asked for so long. */
  askAll(peers: Iterable<PeerId>, unlessWithinMs: number): void {
    const now = this.#options.clock.monotonicMs();
    for (const peer of peers) if (now - (this.#askedAt.get(peer) ?? -Infinity) >= unlessWithinMs) void this.ask(peer);
  }

  /** Asks a few of these, however many there are. */
  askSome(peers: Iterable<PeerId>): void {
    const { transport } = this.#options;
    const connected = [...new Set(peers)].filter((peer) => transport.isConnected(peer));
    const start = Math.floor(systemRandom.unit() * connected.length);
    for (let index = 0; index < Math.min(askedAtOnce, connected.length); index++) void this.ask(connected[(start + index) % connected.length]!);
  }

  /** As {@link askSome}, once in so long. */
  askNowAndThen(peers: Iterable<PeerId>, everyMs: number): void {
    const now = this.#options.clock.monotonicMs();
    if (now - this.#someAskedAt < everyMs) return;
    this.#someAskedAt = now;
    this.askSome(peers);
  }

  async ask(peer: PeerId): Promise<void> {
    const { transport, mayTell, clock, sayClock, confirmations, marks, state, report, learn, onReport, logger } = this.#options;
    if (!transport.isConnected(peer)) return;
    if (this.#asking.has(peer)) {
      this.#again.add(peer);
      return;
    }
    this.#asking.add(peer);
    const sentAt = sayClock.now();
    this.#askedAt.set(peer, clock.monotonicMs());
    try {
      const serial = state()?.serial ?? 0;
      const question = encodeReport(report(), undefined, marks.toTell(peer));
      const answer = decodeReport(await transport.request(peer, kinds.report, question, { deadlineMs }), state());
      // Before it is confirmed: from then on this host's acceptor has a say.
      marks.hear(peer, answer.marks);
      // Its connection may have broken since.
      if (transport.isConnected(peer)) this.reports.set(peer, answer.report);
      if (answer.report.serial <= serial && answer.report.standing === 'member') confirmations.note(peer, sentAt);
      if (answer.state !== undefined && mayTell(peer)) await learn(answer.state);
      onReport();
    } catch (error) {
      logger.debug('no report about the roster', { peer, reason: messageOf(error) });
    } finally {
      this.#asking.delete(peer);
      if (this.#again.delete(peer)) void this.ask(peer);
    }
  }

  /** Tells all hosts of a state that they may not know. */
  tell(state: RosterState): void {
    const { transport } = this.#options;
    const body = encodeRosterState(state);
    for (const peer of transport.connected()) transport.notify(peer, kinds.news, body);
  }

  #answer(peer: PeerId, { report: told, marks: theirs }: ReturnType<typeof decodeReport>): Uint8Array {
    const { transport, marks, state, report, onReport } = this.#options;
    marks.hear(peer, theirs);
    const own = state();
    const { serial } = told;
    if (transport.isConnected(peer)) this.reports.set(peer, told);
    onReport();
    // Who asks knows more: so will this host when it asks back.
    if (serial > (own?.serial ?? 0)) void this.ask(peer);
    return encodeReport(report(), own !== undefined && own.serial > serial ? own : undefined, marks.toTell(peer));
  }
}
