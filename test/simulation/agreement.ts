import type { Address } from '../../src/block/index.ts';
import { givenUpRounds, type ReplicaSet } from '../../src/consensus/index.ts';
import { Confirmations, expiryMs } from '../../src/membership/confirmations.ts';
import { type Neighbour, plan, type Report } from '../../src/membership/plan.ts';
import { forgive, mayBeLost } from '../../src/membership/losses.ts';
import { countingHosts, isCountedOut, lossesOf, newestView, type RosterState } from '../../src/membership/roster-state.ts';
import { adopt } from '../../src/membership/standing.ts';
import { place, Roster as Hosts } from '../../src/placement/index.ts';
import type { Standpoint } from '../../src/repair/standpoint.ts';
import type { ReportMessage } from './events.ts';
import type { Host } from './host.ts';
import { Part } from './part.ts';
import { SeededRandom } from './random.ts';
import { workloadMs } from './settings.ts';
import { Tending } from './tending.ts';
import type { World } from './world.ts';

const tickMs = 50;

/**
 * Views that are agreed on as in production: the decisions are those of src/membership (what should be agreed on, what a host is by what it is told,
 * whether its acceptor has a say) and of src/repair (where a block goes: see {@link Tending}). Hosts hear of views by messages that may be lost; hosts are counted out that
 * live and do not know it, and come back once they gave up what they held. What stands in is the roster block: a compare-and-set that happens at once.
 */
export class Agreement {
  readonly #world: World;
  readonly #chance: SeededRandom;
  readonly #parts: readonly Part[];
  #agreed: RosterState;
  /** Hosts that began to drain at some time. */
  readonly drained = new Set<string>();
  /** Hosts that some time learnt that no view has them, and so gave up what they held. */
  readonly outcasts = new Set<string>();
  /** What hosts offer and whether they drain. */
  readonly #offers: { capacity: number; draining: boolean }[];
  readonly #tending: Tending;

  constructor(world: World) {
    this.#world = world;
    this.#chance = new SeededRandom(world.settings.seed, 8);
    this.#tending = new Tending(world, this.#chance);
    const { replicas, rosterChanges } = world.settings;
    this.#offers = world.hosts.map(() => ({ capacity: 1, draining: false }));
    const roster = Hosts.of(world.names.map((peer) => ({ peer, zone: peer, capacity: 1 })));
    this.#agreed = { serial: 1, views: [{ number: 1, roster, replicas }], retiring: 0, countedOut: [], floor: 0 };
    world.rosters.length = 0;
    this.#placeNew();
    this.#parts = world.hosts.map((host) => new Part(host, this.#agreed));
    for (const part of this.#parts) this.#attach(part);
    for (let count = 0; count < rosterChanges; count++) world.later(this.#chance.unit() * workloadMs(world.settings), () => this.#changeOffer());
  }

  /** Nobody drains any longer. */
  calm(): void {
    for (const offer of this.#offers) offer.draining = false;
  }

  /** What is not at its end yet; undefined: all hosts are members of the one view, and know it. */
  get unrest(): string | undefined {
    const { serial, views } = this.#agreed;
    const outside = this.#parts.find(({ host, knowledge, state }) => !host.lost && (knowledge.standing !== 'member' || state.serial !== serial));
    if (outside !== undefined) return `${outside.host.name} is ${outside.knowledge.standing} and knows state ${outside.state.serial} of ${serial}`;
    if (views.length > 1) return `view ${views[0]!.number} of ${views.at(-1)!.number} is not retired`;
    return undefined;
  }

  /** All hosts are members as far as they know, and none was counted out. */
  get areAllMembers(): boolean {
    return this.#agreed.countedOut.length === 0 && this.#parts.every(({ knowledge }) => knowledge.standing === 'member');
  }

  /** Whether the host is a member as far as it knows. */
  isMember(host: Host): boolean {
    return this.#parts[host.index]!.knowledge.standing === 'member';
  }

  /** What this host looks at the cluster with. */
  standpoint(host: Host): Standpoint {
    return this.#parts[host.index]!.standpoint;
  }

  /** This host hears, and keeps, that these were expelled. */
  expel(host: Host, peers: readonly string[]): void {
    for (const peer of peers) host.barred.add(peer);
    this.#reckon(this.#parts[host.index]!);
  }

  /** A person accepts what was lost with these hosts, and what nobody is left to know of. */
  forgive(peers: readonly string[]): void {
    const losses = forgive(lossesOf(this.#agreed), peers);
    if (!('list' in losses) || lossesOf(this.#agreed).list.length === 0) return;
    const floor = this.#agreed.floor + (this.#world.mutant.acceptsWithoutFloor === true ? 0 : givenUpRounds);
    this.#agreed = { ...this.#agreed, serial: this.#agreed.serial + 1, losses, floor };
    this.#world.trace.say(`-- a person accepts what is lost: state ${this.#agreed.serial}`);
    for (const part of this.#parts) if (!part.host.lost && part.host.up) this.#learn(part, this.#agreed);
  }

  /** Whether this host knows that a person has accepted what is lost. */
  hasForgiven(host: Host): boolean {
    const losses = lossesOf(this.#parts[host.index]!.state);
    return losses.list.length === 0 && losses.forgiven > 0;
  }

  /** Whether this host knows that another was expelled, or that nobody relies on it any longer. */
  isGone(host: Host, peer: string): boolean {
    return host.barred.has(peer) || this.#parts[host.index]!.gone.includes(peer);
  }

  /** Whether a settled tombstone may be forgotten by this host, as src/repair decides it. */
  mayForget(host: Host): boolean {
    const part = this.#parts[host.index]!;
    return part.knowledge.standing === 'member' && part.standpoint.onlyView !== undefined;
  }

  /** Hosts that are left out of what settling waits for, as this host knows. */
  revoked(host: Host): readonly string[] {
    return this.#parts[host.index]!.gone;
  }

  isCountedOut(peer: string): boolean {
    return isCountedOut(this.#agreed, peer);
  }

  setsInForce(block: string): readonly ReplicaSet[] {
    return this.#agreed.views.map(({ number }) => this.#world.rosters[number - 1]!.get(block)!);
  }

  #attach(part: Part): void {
    const { host } = part;
    host.hasSay = () => part.sayUntil === Infinity || host.clock < part.sayUntil || this.#world.mutant.answersUnconfirmed === true;
    host.isMember = () => part.knowledge.standing === 'member';
    host.mayBeLost = (block) => mayBeLost(lossesOf(part.state), block as Address);
    host.onReport = (message) => this.#onReport(part, message);
    host.onStart = () => this.#begin(part);
    this.#begin(part);
    const again = (): void =>
      this.#world.later(tickMs * this.#chance.between(0.7, 1.3), () => {
        again();
        if (host.up && !host.lost && host.pausedUntil <= this.#world.now) this.#tick(part);
      });
    again();
  }

  /** A process starts. */
  #begin(part: Part): void {
    part.confirmations = new Confirmations(part.host.name, this.#world.settings.confirmMs);
    part.reports.clear();
    part.heardAt.clear();
    part.resolved = 0;
    part.done.clear();
    part.allKnow = undefined;
    part.lastTick = part.host.clock;
    this.#tending.checkAll(part);
    if (part.knowledge.standing === 'outcast' && this.#world.mutant.keepsEverything !== true) part.host.loseEverything();
    this.#reckon(part);
  }

  #placeNew(): void {
    const { rosters, blocks } = this.#world;
    const { number, roster, replicas } = newestView(this.#agreed);
    if (rosters.length < number) rosters.push(new Map(blocks.map((block) => [block, place(block as Address, roster, replicas)])));
  }

  /**
   * A host drains, or comes back, or offers another amount: blocks will have to move. One drains at a time, and only where a set bears the loss of one, unless that is asked for:
   * docs/consensus.md tells what may happen otherwise (“What is not promised”).
   */
  #changeOffer(): void {
    const { replicas, drainsTogether } = this.#world.settings;
    const offer = this.#chance.pick(this.#offers);
    const others = this.#offers.filter((other) => other !== offer && !other.draining);
    if (this.#chance.chance(0.5))
      offer.draining =
        !offer.draining &&
        (drainsTogether ? others.length > 0 : replicas >= 3 && others.length === this.#offers.length - 1 && others.length >= replicas);
    else offer.capacity = this.#chance.pick([1, 3, 9]);
    if (offer.draining) this.drained.add(this.#world.names[this.#offers.indexOf(offer)]!);
  }

  // --- what hosts tell each other ----------------------------------------------------------------------------------------------

  #tick(part: Part): void {
    const { host, knowledge } = part;
    const now = host.clock;
    const elapsed = Math.min(now - part.lastTick, 2 * tickMs);
    part.lastTick = now;
    for (const name of this.#world.names) if (name !== host.name) this.#send(part, name, 'ask', now, part.state.serial);
    if (knowledge.standing === 'outcast') return this.#giveUp(part);
    if (knowledge.standing !== 'member') return;
    const hearsMost = part.hearsMost();
    if (hearsMost) part.countSilence(elapsed);
    if (hearsMost || host.barred.size > 0) this.#look(part);
    this.#tending.tick(part);
  }

  /** Counted out: it comes back once it has given up what it held. */
  #giveUp(part: Part): void {
    if (this.#world.mutant.keepsEverything !== true && !this.#tending.hasGivenUp(part)) return;
    this.#world.trace.say(`-- ${part.host.name} has given up what it held`);
    part.done.clear();
    part.knowledge = { standing: 'fresh', state: part.state };
    this.#reckon(part);
  }

  #send(part: Part, to: string, type: ReportMessage['type'], sentAt: number, serial: number, state?: RosterState): void {
    const { host, report } = part;
    this.#world.sendReport(host.index, this.#world.indexOf(to), { type, from: host.name, sentAt, serial, report, state });
  }

  #onReport(part: Part, { type, from, sentAt, serial, report, state }: ReportMessage): void {
    if (part.host.lost || part.host.barred.has(from)) return;
    if (!part.isConnected(from)) this.#tending.checkAll(part);
    part.heardAt.set(from, part.host.clock);
    part.reports.set(from, report);
    if (type === 'ask') {
      const news = part.state.serial > report.serial ? part.state : undefined;
      return this.#send(part, from, 'answer', sentAt, serial, news);
    }
    if (type === 'answer' && report.serial <= serial && report.standing === 'member') {
      part.confirmations.note(from, sentAt);
      this.#reckon(part);
    }
    if (state !== undefined) this.#learn(part, state);
  }

  #learn(part: Part, state: RosterState): void {
    const { host, knowledge } = part;
    const next = adopt(knowledge, state, host.name);
    if (next === knowledge) return;
    part.knowledge = next;
    this.#tending.checkAll(part);
    if (part.resolved !== state.retiring) part.resolved = 0;
    if (knowledge.state!.retiring !== state.retiring) part.done.clear();
    host.oldestView = state.views[0]!.number;
    host.newestView = newestView(state).number;
    host.retiredFloor = this.#world.mutant.forgetsRetiredFloors === true ? 0 : state.floor;
    if (next.standing === 'outcast' && knowledge.standing !== 'outcast') {
      this.#world.trace.say(`-- ${host.name} learns that it was counted out`);
      this.outcasts.add(host.name);
      // What it resolved for a retirement is not yet given up.
      part.done.clear();
      if (this.#world.mutant.keepsEverything !== true) host.loseEverything();
    }
    this.#reckon(part);
  }

  #reckon(part: Part): void {
    part.sayUntil = part.knowledge.standing === 'member' ? part.confirmations.until(part.state, part.host.barred) : -Infinity;
  }

  // --- what is agreed on -------------------------------------------------------------------------------------------------------

  #look(part: Part): void {
    const reports = new Map<string, Report>();
    for (const [peer, report] of part.reports) if (part.isConnected(peer)) reports.set(peer, report);
    reports.set(part.host.name, part.report);
    const { next, reasons } = plan({
      state: part.state,
      neighbours: this.#neighbours(part),
      revoked: part.host.barred,
      reports,
      expired: this.#expired(part),
    });
    if (next === undefined || this.#chance.chance(0.5)) return;
    if (this.#agreed.serial !== part.state.serial) return this.#learn(part, this.#agreed);
    this.#agreed = next;
    this.#placeNew();
    this.#world.trace.say(`-- ${part.host.name} has it agreed on: state ${next.serial}, ${reasons.join('; ')}`);
    this.#learn(part, next);
    for (const name of this.#world.names) if (name !== part.host.name) this.#send(part, name, 'news', 0, 0, next);
  }

  #neighbours(part: Part): Neighbour[] {
    return this.#world.names.map((peer, index) => {
      const { capacity, draining } = this.#offers[index]!;
      return { peer, name: peer, zone: peer, capacity, state: draining ? 'draining' : 'up', alive: part.isConnected(peer) };
    });
  }

  /** Since all that count know the state, what was confirmed before has expired: as src/membership's keeper reckons it. */
  #expired(part: Part): boolean {
    const { state, host } = part;
    if (this.#world.mutant.reliesAtOnce === true) return true;
    const all = countingHosts(state).every(
      (peer) => peer === host.name || (part.isConnected(peer) && (part.reports.get(peer)?.serial ?? 0) >= state.serial),
    );
    if (all && part.allKnow?.serial !== state.serial) part.allKnow = { serial: state.serial, since: host.clock };
    return part.allKnow?.serial === state.serial && host.clock - part.allKnow.since >= expiryMs(this.#world.settings.confirmMs);
  }
}
