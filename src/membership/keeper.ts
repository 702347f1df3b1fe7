import { InfinitError, type LeaseClock, type Logger, messageOf } from '../base/index.ts';
import type { PeerId } from '../overlay/index.ts';
import { candidates } from '../placement/index.ts';
import type { BlockStore } from '../store/index.ts';
import { expiryMs } from './confirmations.ts';
import { type Neighbourhood, termMsOf } from './options.ts';
import { isOtherOffer, type Plan, plan, type Report, type Situation } from './plan.ts';
import { countingHosts, decodeRosterState, encodeRosterState, newestView, rosterAddress, type RosterState } from './roster-state.ts';

/** Hosts that look after the roster at once, and how long each lets the one before try, in ms: rivals only cost each other time. */
const maxKeepers = 3;
const turnMs = 5000;
/** Hosts that come together go into one view: so long they are gathered at most, and until no further one came for a while, in ms. */
const gatherMs = 5000;
const quietMs = 400;
const deadlineMs = 5000;

export interface KeeperOptions {
  readonly store: BlockStore;
  readonly neighbourhood: Neighbourhood;
  readonly evictionDelayMs: number;
  /** What was agreed on was so at a time by this one. */
  readonly sayClock: LeaseClock;
  readonly logger: Logger;
  /** The last reports of hosts that answer, this host's own included. */
  readonly reports: () => ReadonlyMap<PeerId, Report>;
  readonly learn: (state: RosterState) => Promise<void>;
  readonly tell: (state: RosterState) => void;
  /** What this host knows turned out to be what all agreed on at this time (by `sayClock`). */
  readonly onAgreed: (sinceMs: number) => void;
}

/** The hosts that look after the roster: the first few that live, of those that would hold the roster block. */
export function keepersOf(state: RosterState, { self, transport, clusterId }: Neighbourhood): PeerId[] {
  if (clusterId === undefined) return [];
  const all = candidates(rosterAddress(clusterId), newestView(state).roster);
  return all.filter((peer) => peer === self || transport.isConnected(peer)).slice(0, maxKeepers);
}

/** This host's part in changing the roster: it looks what should change, waits for its turn, and has it agreed on in the roster block. */
export class Keeper {
  readonly #options: KeeperOptions;
  /** Since when all hosts that count are known to know a state. */
  #allKnow: { readonly serial: number; readonly sinceMs: number } | undefined;
  /** A change that this host would make, and since when. */
  #wanted: { readonly what: string; readonly sinceMs: number; readonly firstMs: number } | undefined;
  #acting = false;
  #planned: readonly string[] = [];
  #hindrance: string | undefined;
  /** The roster block is known to be there. */
  #written = false;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** What waits and why, for people. */
  get troubles(): readonly string[] {
    return this.#hindrance === undefined ? this.#planned : [...this.#planned, this.#hindrance];
  }

  /** Does this host's part, if it is one of the keepers. True where there is something to change. */
  look(state: RosterState, now: number): boolean {
    const turn = keepersOf(state, this.#options.neighbourhood).indexOf(this.#options.neighbourhood.self);
    if (turn >= 0 && this.#hasWork(state)) {
      void this.#act(state, turn, now);
      return true;
    }
    this.#wanted = undefined;
    this.#planned = [];
    this.#hindrance = undefined;
    return false;
  }

  /** Cheap: whether anything at all could have to change. */
  #hasWork(state: RosterState): boolean {
    const { neighbourhood, reports } = this.#options;
    const { roster } = newestView(state);
    if (state.views.length > 1 || state.countedOut.some(({ settled }) => !settled)) return true;
    // The founder's first view is to be written down.
    if (state.serial === 1 && !this.#written) return true;
    if ((reports().get(neighbourhood.self)?.silent.length ?? 0) > 0) return true;
    for (const peer of neighbourhood.revoked()) if (roster.get(peer) !== undefined) return true;
    return neighbourhood.neighbours().some((neighbour) => {
      const member = roster.get(neighbour.peer);
      if (member === undefined) return neighbour.state === 'up' && neighbour.alive && neighbour.capacity > 0;
      return neighbour.state !== 'up' || isOtherOffer(member, neighbour);
    });
  }

  #situation(state: RosterState, now: number): Situation {
    const { neighbourhood, evictionDelayMs } = this.#options;
    const reports = this.#options.reports();
    const all = countingHosts(state).every((peer) => (reports.get(peer)?.serial ?? 0) >= state.serial);
    if (all && this.#allKnow?.serial !== state.serial) this.#allKnow = { serial: state.serial, sinceMs: now };
    const expired = this.#allKnow?.serial === state.serial && now - this.#allKnow.sinceMs >= expiryMs(termMsOf(evictionDelayMs));
    return { state, neighbours: neighbourhood.neighbours(), revoked: neighbourhood.revoked(), reports, expired };
  }

  async #act(state: RosterState, turn: number, now: number): Promise<void> {
    if (this.#acting) return;
    const found = plan(this.#situation(state, now));
    this.#planned = found.troubles;
    const unwritten = state.serial === 1 && !this.#written;
    if (!unwritten && !this.#isTime(found, turn, now)) return;
    this.#acting = true;
    try {
      await this.#agree(state, found, now);
      this.#hindrance = undefined;
    } catch (error) {
      this.#hindrance = `the roster of storing hosts cannot be changed: ${messageOf(error)}`;
    } finally {
      this.#acting = false;
    }
  }

  /** Hosts that come together go into one view; and each keeper lets those before it try first. */
  #isTime({ next, joining, reasons }: Plan, turn: number, now: number): boolean {
    if (next === undefined) {
      this.#wanted = undefined;
      return false;
    }
    const what = reasons.join('; ');
    const first = this.#wanted?.firstMs ?? now;
    if (this.#wanted?.what !== what) {
      this.#wanted = { what, sinceMs: now, firstMs: first };
      if (joining && now - first < gatherMs) return false;
    } else if (joining && now - this.#wanted.sinceMs < quietMs && now - first < gatherMs) return false;
    return now - first >= turn * turnMs;
  }

  async #agree(state: RosterState, { next, reasons }: Plan, now: number): Promise<void> {
    const began = performance.now();
    const { store, neighbourhood, logger, sayClock, learn, tell, onAgreed } = this.#options;
    const address = rosterAddress(neighbourhood.clusterId!);
    const startedAt = sayClock.now();
    const block = await store.fetch(address, { deadlineMs });
    if (block === undefined) {
      if (state.serial !== 1) throw new InfinitError('damaged', 'the block in which the views of the roster are agreed on is not there');
      await store.commit([{ update: [{ address, expect: 'absent', payload: encodeRosterState(state) }] }], { deadlineMs });
      return;
    }
    this.#written = true;
    const agreed = decodeRosterState(block.payload, state);
    if (agreed.serial < state.serial)
      throw new InfinitError('damaged', `the block says state ${agreed.serial} of the roster, and this host knows state ${state.serial} already`);
    // With a floor that this host did not know the next look plans anew.
    if (agreed.serial > state.serial || agreed.floor > state.floor) return learn(agreed);
    onAgreed(startedAt);
    // What was planned before the block could be read, for which it may have taken a silent host that came back, need not be what is to change now.
    if (next === undefined || plan(this.#situation(state, now + performance.now() - began)).reasons.join() !== reasons.join()) return;
    const payload = encodeRosterState(next);
    const result = await store.commit([{ update: [{ address, expect: block.version, payload }] }], { deadlineMs });
    // What was agreed on instead, or whether this was, shows at the next look.
    if (!result.done) {
      const [outcome] = result.outcomes;
      if (outcome?.status === 'failed') throw new InfinitError(outcome.code, outcome.message);
      return;
    }
    this.#wanted = undefined;
    logger.info('the roster of storing hosts changes', { serial: next.serial, reasons });
    await learn(next);
    tell(next);
  }
}
