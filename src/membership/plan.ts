import type { PeerId } from '../overlay/index.ts';
import { type Member, Roster } from '../placement/index.ts';
import { joinLosses, type Loss, lossOf, shortened } from './losses.ts';
import {
  bearableLosses,
  countingHosts,
  encodeRosterState,
  hostsInForce,
  isCountedOut,
  isInForce,
  isOnNotice,
  isSettledOut,
  lossesOf,
  maxCountedOut,
  maxViewsInForce,
  newestView,
  type RosterState,
  spareCopies,
} from './roster-state.ts';
import type { Standing } from './standing.ts';
import type { RosterView } from './views.ts';

/** A host whose offer grew or shrank less than this keeps its old capacity in the views: each new view moves blocks. */
const capacityRatio = 1.25;

/** A member of the cluster as its own signed record and the failure detector show it. */
export interface Neighbour extends Member {
  readonly name: string;
  /** Bytes that it offers; 0 where it may not or does not want to store. */
  readonly capacity: number;
  readonly state: 'up' | 'draining' | 'left';
  /** It can be asked now. This host itself is alive. */
  readonly alive: boolean;
}

/** What a host said last, when it was asked. */
export interface Report {
  /** The newest state that it knows, durably, and the newest view of that. */
  readonly serial: number;
  readonly newest: number;
  readonly standing: Standing;
  /** The last of the retiring views for which it resolved everything; 0: none. */
  readonly resolved: number;
  /** The floor of its acceptor: of no block that it forgot was the version above it. */
  readonly floor: number;
  /** Hosts that it has not heard for as long as it takes to be counted out. */
  readonly silent: readonly PeerId[];
}

/** All that a decision depends on. */
export interface Situation {
  readonly state: RosterState;
  /** The members of the cluster, this host included. */
  readonly neighbours: readonly Neighbour[];
  readonly revoked: ReadonlySet<PeerId>;
  /** The last reports of hosts that answer, this host's own included. */
  readonly reports: ReadonlyMap<PeerId, Report>;
  /** Since all hosts that count know this state, a term has passed: whoever it counted out has no say any longer. */
  readonly expired: boolean;
}

/** What should be agreed on next. */
export interface Plan {
  /** The state that follows; undefined: all is as it should be, or waits. */
  readonly next: RosterState | undefined;
  /** Hosts join: others may be about to. */
  readonly joining: boolean;
  /** Why, for the log. */
  readonly reasons: readonly string[];
  /** What waits and for what, for people. */
  readonly troubles: readonly string[];
}

/**
 * What the roster block should say next (docs/consensus.md, Genesis): a view is retired, begins to retire, is followed by one with other hosts; hosts are counted out.
 * Any host may decide so and several may at once: what they decide is agreed on by compare-and-set.
 */
export function plan(situation: Situation): Plan {
  const planner = new Planner(situation);
  // At once, before anybody relies on its being gone: what else is to change may have to wait for others.
  if (planner.takeBack()) return planner.result();
  planner.retire();
  planner.beginToRetire();
  planner.changeHosts();
  return planner.result();
}

/**
 * Why a host should not be expelled now: some block may be left without a majority. undefined: it may.
 * @param situation What is known; reports are not needed.
 */
export function whyItMustStay(situation: Pick<Situation, 'state' | 'neighbours'>, peer: PeerId): string | undefined {
  return new Planner({ ...situation, revoked: new Set(), reports: new Map(), expired: false }).whyItMustStay(peer);
}

class Planner {
  readonly #situation: Situation;
  readonly #neighbours: ReadonlyMap<PeerId, Neighbour>;
  readonly #reasons: string[] = [];
  readonly #troubles: string[] = [];
  #state: RosterState;
  #isJoining = false;

  constructor(situation: Situation) {
    this.#situation = situation;
    this.#state = situation.state;
    this.#neighbours = new Map(situation.neighbours.map((neighbour) => [neighbour.peer, neighbour]));
  }

  result(): Plan {
    const { state } = this.#situation;
    const changed = this.#reasons.length > 0;
    const next = changed ? fitting({ ...this.#state, serial: state.serial + 1 }) : undefined;
    return { next, joining: this.#isJoining, reasons: this.#reasons, troubles: this.#troubles };
  }

  /** Hosts that were counted out, on which others may rely still, and which are there again with all that they had. True where there are such. */
  takeBack(): boolean {
    const { state, reports, revoked } = this.#situation;
    const isBack = (peer: PeerId): boolean => {
      if (!isOnNotice(state, peer) || !isInForce(state, peer) || revoked.has(peer) || this.#isSilent(peer)) return false;
      const now = this.#neighbours.get(peer);
      const report = reports.get(peer);
      return now?.alive === true && now.state !== 'left' && report?.standing === 'member' && report.serial === state.serial;
    };
    const back = state.countedOut.filter(({ peer }) => isBack(peer));
    if (back.length === 0) return false;
    this.#change(
      { countedOut: state.countedOut.filter((host) => !back.includes(host)) },
      `${this.#named(back)} back before anybody relied on the contrary`,
    );
    return true;
  }

  /** Views go once every host that counts resolved all that it holds since all knew the one after them. */
  retire(): void {
    const { retiring, views } = this.#state;
    // A host of before resolves them one by one.
    const resolved = Math.min(
      retiring,
      this.#least(({ resolved }) => resolved),
    );
    const left = views.filter(({ number }) => number > resolved);
    if (left.length === views.length) return;
    // Whatever was forgotten by hosts of these views is covered by the floor of one that counts, for of each set most do.
    const floors = this.#awaited().map((peer) => this.#situation.reports.get(peer)!.floor);
    const floor = Math.max(this.#state.floor, ...floors);
    const losses = views.flatMap((view): Loss[] => {
      const loss = view.number > resolved ? undefined : lossOf(view, (peer) => isSettledOut(this.#state, peer));
      return loss === undefined ? [] : [loss];
    });
    const lost = losses.length === 0 ? {} : { losses: joinLosses(lossesOf(this.#state), { list: losses, forgiven: 0 }) };
    this.#change(
      { views: left, retiring: resolved === retiring ? 0 : retiring, floor, ...lost },
      `${span(views[0]!.number, resolved, 'is', 'are')} retired`,
    );
  }

  beginToRetire(): void {
    const { retiring, views, countedOut } = this.#state;
    // Whoever was counted out may still be confirmed by a host that has not heard of it.
    const unsettled = countedOut.some(({ settled }) => !settled);
    const mayRely = !unsettled || (this.#situation.expired && this.#state.countedOut === this.#situation.state.countedOut);
    if (!mayRely) return;
    if (unsettled) this.#change({ countedOut: countedOut.map(({ peer }) => ({ peer, settled: true })) }, 'hosts that were counted out have no say');
    if (retiring !== 0) return;
    // All of them at once: what would move from one to the next moves once, or not at all where the newest is as the oldest was.
    const known = this.#least(({ newest }) => newest);
    const last = views.slice(0, -1).findLast(({ number }) => number < known);
    if (last !== undefined) this.#change({ retiring: last.number }, `${span(views[0]!.number, last.number, 'begins', 'begin')} to retire`);
  }

  changeHosts(): void {
    const staying = this.#staying();
    const joining = this.#joining();
    const members = [...staying, ...joining];
    this.#newView(members);
    this.#countOut();
  }

  /** Hosts without which no view is retired: those that count, and those that may count again, as they are. */
  #awaited(): PeerId[] {
    return [...hostsInForce(this.#state)].filter((peer) => !isSettledOut(this.#state, peer));
  }

  /** The least of what those hosts have reported; 0 where one of them has not. */
  #least(number: (report: Report) => number): number {
    const reports = this.#awaited().map((peer) => this.#situation.reports.get(peer));
    return Math.min(...reports.map((report) => (report === undefined ? 0 : number(report))));
  }

  /** The hosts of the newest view that go on, as they should be in the next. */
  #staying(): Member[] {
    const { roster, replicas } = newestView(this.#state);
    const kept: Member[] = [];
    const silent: Member[] = [];
    const mayEmpty = this.#mayEmpty();
    for (const member of roster.members) {
      if (this.#situation.revoked.has(member.peer)) continue;
      const now = this.#neighbours.get(member.peer);
      if (now?.state === 'left') continue;
      // What it had to give away is elsewhere, and all views that led to it are gone.
      if (now?.state === 'draining' && this.#isEmptied(member.peer)) continue;
      if (this.#isSilent(member.peer)) silent.push(member);
      else kept.push(now === undefined || (now.state === 'draining' && !mayEmpty) ? member : offer(member, now));
    }
    // Without a host to take its place it would come back to fewer copies than it left.
    const mayGo = kept.filter(({ capacity }) => capacity > 0).length >= replicas;
    if (!mayGo && silent.length > 0)
      this.#troubles.push(
        `${this.#named(silent)} silent for long and would be replaced, but without ${silent.length === 1 ? 'it' : 'them'} there are too few hosts for ${replicas} copies`,
      );
    return mayGo ? kept : [...kept, ...silent];
  }

  /**
   * Whether hosts that drain may lose their room now: of those that are left enough must be there to make new blocks. Once the view is agreed on it stays in
   * force until the missing come back, whatever is taken back then.
   */
  #mayEmpty(): boolean {
    const { roster, replicas } = newestView(this.#state);
    const stores = ({ peer, capacity }: Member): boolean => capacity > 0 && !this.#situation.revoked.has(peer);
    const members = [...roster.members];
    const draining = members.filter((member) => stores(member) && this.#neighbours.get(member.peer)?.state === 'draining');
    if (draining.length === 0) return true;
    const left = members.filter((member) => stores(member) && !draining.includes(member));
    const missing = left.filter(({ peer }) => this.#neighbours.get(peer)?.alive !== true);
    if (missing.length <= spareCopies(left.length, replicas)) return true;
    this.#troubles.push(
      `${this.#named(draining)} to give its blocks away, and waits while ${this.#named(missing)} missing: without both no new blocks could be made`,
    );
    return false;
  }

  /** All hosts that wait to store, as far as they know the present state. */
  #joining(): Member[] {
    const { roster } = newestView(this.#state);
    return this.#situation.neighbours.flatMap((neighbour): Member[] => {
      const { peer, zone, capacity, state, alive } = neighbour;
      if (roster.get(peer) !== undefined || state !== 'up' || !alive || capacity <= 0 || this.#situation.revoked.has(peer)) return [];
      const report = this.#situation.reports.get(peer);
      if (report === undefined || report.serial !== this.#situation.state.serial || !['fresh', 'member'].includes(report.standing)) return [];
      // One that was counted out comes back only when all that it may remember is past.
      if (isCountedOut(this.#state, peer) && (report.standing !== 'fresh' || isInForce(this.#state, peer))) {
        this.#troubles.push(`${this.#called(peer)} was counted out and comes back once the blocks that it held are elsewhere`);
        return [];
      }
      return [{ peer, zone, capacity: Math.floor(capacity) }];
    });
  }

  #newView(members: readonly Member[]): void {
    const newest = newestView(this.#state);
    const difference = differences(newest, members);
    if (difference.length === 0) return;
    if (!members.some(({ capacity }) => capacity > 0)) {
      this.#troubles.push('the last hosts that store blocks cannot leave: nobody is there to take them');
      return;
    }
    if (this.#state.views.length >= maxViewsInForce) {
      this.#troubles.push(`${this.#state.views.length} views of the roster are in force: further hosts wait until blocks have moved`);
      return;
    }
    const number = newest.number + 1;
    this.#isJoining = difference.some(([sign]) => sign === '+');
    const here = new Set(members.map(({ peer }) => peer));
    this.#change(
      {
        views: [...this.#state.views, { number, roster: Roster.of(members), replicas: newest.replicas }],
        countedOut: this.#state.countedOut.filter(({ peer }) => !here.has(peer)),
      },
      `view ${number}: ${difference.map(([sign, peer]) => `${sign}${this.#called(peer)}`).join(' ')}`,
    );
  }

  /** Hosts that are in older views only and will not speak again, or not for long, must not be waited for. */
  #countOut(): void {
    const newest = newestView(this.#state).roster;
    for (const peer of countingHosts(this.#state)) {
      const revoked = this.#situation.revoked.has(peer);
      // Where no further view has room it stays in the newest until older ones are retired, and they would wait for it for ever.
      const stays = newest.get(peer) !== undefined;
      if (stays && !(revoked && this.#state.views.length >= maxViewsInForce)) continue;
      const left = this.#neighbours.get(peer)?.state === 'left';
      if (!revoked && !left && !this.#isSilent(peer)) continue;
      // Who was expelled never comes back, whatever is lost with it. Of others the copies count while they may return.
      const why = revoked ? undefined : this.whyItMustStay(peer);
      if (why !== undefined) {
        this.#troubles.push(`${this.#called(peer)} is ${left ? 'gone' : 'silent for long'} and is not counted out: ${why}`);
        continue;
      }
      if (this.#state.countedOut.length >= maxCountedOut) this.#change({ countedOut: this.#state.countedOut.slice(1) }, 'the list of hosts is full');
      this.#change({ countedOut: [...this.#state.countedOut, { peer, settled: false }] }, `${this.#called(peer)} is counted out`);
    }
  }

  whyItMustStay(peer: PeerId): string | undefined {
    const missing = this.#missingBeside(peer);
    if (missing.length + 1 <= this.#bearable(peer)) return undefined;
    if (missing.length === 0) return 'some blocks have no majority without it';
    return `while ${this.#named(missing.map((host) => ({ peer: host })))} missing too, some blocks may have no majority without it`;
  }

  /** Other hosts of the views in force whose copies cannot be relied on now. */
  #missingBeside(peer: PeerId): PeerId[] {
    const all = new Set(this.#state.views.flatMap(({ roster }) => roster.eligible.map((member) => member.peer)));
    all.delete(peer);
    return [...all].filter((other) => {
      const now = this.#neighbours.get(other);
      // One that leaves is still connected while it says goodbye.
      return isCountedOut(this.#state, other) || now?.alive !== true || now.state === 'left';
    });
  }

  /** How many copies of a block may be missing so that a majority is left, in the worst of the views that lead to the host; ∞: none does. */
  #bearable(peer: PeerId): number {
    return Math.min(...this.#state.views.filter(({ roster }) => (roster.get(peer)?.capacity ?? 0) > 0).map(bearableLosses));
  }

  /** Nobody hears it: a majority of the newest view says so, each by its own count. */
  #isSilent(peer: PeerId): boolean {
    const { roster } = newestView(this.#state);
    let saying = 0;
    for (const [by, { silent }] of this.#situation.reports) if (silent.includes(peer) && roster.get(by) !== undefined) saying++;
    return saying * 2 > roster.memberCount;
  }

  /** No view in force leads to it any longer. */
  #isEmptied(peer: PeerId): boolean {
    return this.#state.views.every(({ roster }) => (roster.get(peer)?.capacity ?? 0) === 0);
  }

  #change(change: Partial<RosterState>, reason: string): void {
    this.#state = { ...this.#state, ...change };
    this.#reasons.push(reason);
  }

  #called(peer: PeerId): string {
    return this.#neighbours.get(peer)?.name ?? peer;
  }

  #named(hosts: readonly { readonly peer: PeerId }[]): string {
    const names = hosts.map(({ peer }) => this.#called(peer)).sort();
    return `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'}`;
  }
}

/** The roster block holds so much: which blocks may be lost goes before hosts do. */
function fitting(state: RosterState): RosterState {
  if (state.losses === undefined || state.losses.list.length === 0) return state;
  try {
    encodeRosterState(state);
    return state;
  } catch {
    return { ...state, losses: shortened(state.losses) };
  }
}

function span(first: number, last: number, one: string, several: string): string {
  return first === last ? `view ${first} ${one}` : `views ${first} to ${last} ${several}`;
}

/** Whether a host offers something so different from what the view says that blocks should move for it. */
export function isOtherOffer(member: Member, now: Neighbour): boolean {
  const capacity = now.state === 'draining' ? 0 : Math.floor(now.capacity);
  return (capacity === 0) !== (member.capacity === 0) || ratio(capacity, member.capacity) >= capacityRatio || now.zone !== member.zone;
}

/** A member with what it offers now, where that differs enough to move blocks for. */
function offer(member: Member, now: Neighbour): Member {
  const capacity = now.state === 'draining' ? 0 : Math.floor(now.capacity);
  return isOtherOffer(member, now) ? { peer: member.peer, zone: now.zone, capacity } : member;
}

function ratio(one: number, other: number): number {
  return one === other ? 1 : Math.max(one, other) / Math.min(one, other);
}

/** How the members of a view differ from these: + new, − gone, ~ another capacity or zone. */
function differences(view: RosterView, members: readonly Member[]): [sign: string, peer: PeerId][] {
  // Nearly always there are none: unchanged members are the view's own.
  const { roster } = view;
  if (members.length === roster.memberCount && members.every((member) => roster.get(member.peer) === member)) return [];
  const found: [string, PeerId][] = [];
  const here = new Map(members.map((member) => [member.peer, member]));
  for (const { peer, zone, capacity } of roster.members) {
    const now = here.get(peer);
    if (now === undefined) found.push(['-', peer]);
    else if (now.capacity !== capacity || now.zone !== zone) found.push(['~', peer]);
  }
  for (const { peer } of members) if (roster.get(peer) === undefined) found.push(['+', peer]);
  return found;
}
