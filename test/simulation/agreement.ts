import type { Address } from '../../src/block/index.ts';
import { type Accepted, isMember, type ProposalOutcome, type ReplicaSet, sameReplicas } from '../../src/consensus/index.ts';
import { Confirmations, expiryMs } from '../../src/membership/confirmations.ts';
import { type Neighbour, plan, type Report } from '../../src/membership/plan.ts';
import { countingHosts, isCountedOut, newestView, type RosterState } from '../../src/membership/roster-state.ts';
import { adopt } from '../../src/membership/standing.ts';
import { place, Roster as Hosts } from '../../src/placement/index.ts';
import type { Standpoint } from '../../src/repair/standpoint.ts';
import { forgetPromise, type ReportMessage } from './events.ts';
import type { Host } from './host.ts';
import { Part } from './part.ts';
import { SeededRandom } from './random.ts';
import { workloadMs } from './settings.ts';
import type { World } from './world.ts';

const tickMs = 50;
/** Tries after which it may be the turn of any host that holds a block: sets have five hosts at the most. */
const maxPatience = 7;

/**
 * Views that are agreed on as in production: the decisions are those of src/membership (what should be agreed on, what a host is by what it is told,
 * whether its acceptor has a say) and of src/repair (where a block goes). Hosts hear of views by messages that may be lost; hosts are counted out that
 * live and do not know it, and come back once they gave up what they held. What stands in is the roster block: a compare-and-set that happens at once.
 */
export class Agreement {
  readonly #world: World;
  readonly #chance: SeededRandom;
  readonly #parts: readonly Part[];
  #agreed: RosterState;
  /** Hosts that began to drain at some time. */
  readonly drained = new Set<string>();
  /** What hosts offer and whether they drain. */
  readonly #offers: { capacity: number; draining: boolean }[];
  readonly #busy = new Set<string>();

  constructor(world: World) {
    this.#world = world;
    this.#chance = new SeededRandom(world.settings.seed, 8);
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

  /** What this host looks at the cluster with. */
  standpoint(host: Host): Standpoint {
    return this.#parts[host.index]!.standpoint;
  }

  /** This host hears, and keeps, that these were expelled. */
  expel(host: Host, peers: readonly string[]): void {
    for (const peer of peers) host.barred.add(peer);
    this.#reckon(this.#parts[host.index]!);
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
    this.#checkAll(part);
    if (part.knowledge.standing === 'outcast') part.host.loseEverything();
    this.#reckon(part);
  }

  #placeNew(): void {
    const { rosters, blocks } = this.#world;
    const { number, roster, replicas } = newestView(this.#agreed);
    if (rosters.length < number) rosters.push(new Map(blocks.map((block) => [block, place(block as Address, roster, replicas)])));
  }

  /**
   * A host drains, or comes back, or offers another amount: blocks will have to move. One drains at a time, and only where a set bears the loss of one:
   * docs/consensus.md tells what may happen otherwise (“What is not promised”).
   */
  #changeOffer(): void {
    const { replicas } = this.#world.settings;
    const offer = this.#chance.pick(this.#offers);
    const others = this.#offers.filter((other) => other !== offer && !other.draining);
    if (this.#chance.chance(0.5))
      offer.draining = !offer.draining && replicas >= 3 && others.length === this.#offers.length - 1 && others.length >= replicas;
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
    this.#repair(part);
  }

  #send(part: Part, to: string, type: ReportMessage['type'], sentAt: number, serial: number, state?: RosterState): void {
    const { host, report } = part;
    this.#world.sendReport(host.index, this.#world.indexOf(to), { type, from: host.name, sentAt, serial, report, state });
  }

  #onReport(part: Part, { type, from, sentAt, serial, report, state }: ReportMessage): void {
    if (part.host.lost || part.host.barred.has(from)) return;
    if (!part.isConnected(from)) this.#checkAll(part);
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
    this.#checkAll(part);
    if (part.resolved !== state.retiring) part.resolved = 0;
    if (knowledge.state!.retiring !== state.retiring) part.done.clear();
    host.oldestView = state.views[0]!.number;
    host.newestView = newestView(state).number;
    host.retiredFloor = state.floor;
    if (next.standing === 'outcast' && knowledge.standing !== 'outcast') {
      this.#world.trace.say(`-- ${host.name} learns that it was counted out`);
      // What it resolved for a retirement is not yet given up.
      part.done.clear();
      host.loseEverything();
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
    const all = countingHosts(state).every(
      (peer) => peer === host.name || (part.isConnected(peer) && (part.reports.get(peer)?.serial ?? 0) >= state.serial),
    );
    if (all && part.allKnow?.serial !== state.serial) part.allKnow = { serial: state.serial, since: host.clock };
    return part.allKnow?.serial === state.serial && host.clock - part.allKnow.since >= expiryMs(this.#world.settings.confirmMs);
  }

  // --- what a host does with its blocks ----------------------------------------------------------------------------------------

  #repair(part: Part): void {
    const { state, host } = part;
    const { blocks } = this.#world;
    if (part.retirement !== undefined && part.resolved !== state.retiring) {
      for (const block of blocks) {
        if (part.done.has(block)) continue;
        if (host.stateOf(block) === undefined) part.done.add(block);
        else this.#move(part, block);
      }
      if (part.done.size === blocks.length) part.resolved = state.retiring;
    }
    const block = this.#chance.pick(blocks);
    if (host.stateOf(block)?.lost === true) this.#replaceLost(part, block);
    else if (part.unchecked.has(block)) this.#tend(part, block);
  }

  #checkAll(part: Part): void {
    for (const block of this.#world.blocks) part.unchecked.add(block);
  }

  /** As src/repair does between changes of the roster: where nothing is left to do the block is not looked at again before there is a reason. */
  #tend(part: Part, block: string): void {
    const { host, standpoint } = part;
    const accepted = host.stateOf(block)?.accepted ?? null;
    const done = (): void => void part.unchecked.delete(block);
    if (accepted === null) return done();
    const { record } = accepted;
    if (accepted.pointer) {
      const view = standpoint.onlyView;
      return view !== undefined && standpoint.home(block as Address, view).includes(host.name) ? this.#bringHome(part, block, done) : done();
    }
    // What is of others is listed, or brought through.
    if (!record.replicas.includes(host.name)) return this.#resolve(part, block, done);
    if (!standpoint.isMyTurn(record.replicas, 0)) return done();
    this.#bringHome(part, block, done);
  }

  /** Reads the block with this host's own acceptor answering, and goes on where nothing is here that the quorum does not know of. */
  #resolve(part: Part, block: string, then: (outcome: ProposalOutcome & { readonly status: 'committed' }) => void, inVain = (): void => {}): void {
    const { host } = part;
    const key = `${host.name}/${block}`;
    if (this.#busy.has(key)) return;
    this.#busy.add(key);
    const held = host.acceptedOf(block);
    host.run(
      block,
      { kind: 'read', own: held !== null && !held.pointer },
      {
        useHint: false,
        done: (outcome) => {
          this.#busy.delete(key);
          if (outcome?.status !== 'committed') return inVain();
          if (!host.isResolved(held, outcome)) return host.up ? host.dropForgotten(block, held, outcome) : undefined;
          const listed = outcome.accepted?.record.unsettled.includes(host.name) === true;
          if (host.isOutsider(held, outcome.accepted) && !listed) this.#settle(part, block);
          else then(outcome);
        },
      },
    );
  }

  #settle(part: Part, block: string): void {
    const key = settlingOf(part.host, block);
    if (this.#busy.has(key)) return;
    this.#busy.add(key);
    part.host.run(block, { kind: 'settle', revoked: part.gone, also: [part.host.name] }, { done: () => this.#busy.delete(key) });
  }

  #move(part: Part, block: string): void {
    const { retiring } = part.state;
    const moved = ({ accepted }: { readonly accepted: Accepted | null }): void => {
      const { host, state, standpoint, knowledge } = part;
      // A host that was counted out meanwhile counts what it gave up in `done`, not what it moved.
      if (knowledge.standing !== 'member' || state.retiring !== retiring || !host.up) return;
      if (accepted === null) return void part.done.add(block);
      const { record } = accepted;
      const to = part.retirement?.to;
      if (to === undefined) return;
      const wanted = standpoint.successors(block as Address, to);
      if (wanted.length === 0 || (record.previous.length === 0 && sameReplicas(record.replicas, wanted))) return void part.done.add(block);
      if (standpoint.mayMove(record, this.#chance.below(maxPatience)) && standpoint.canTake(wanted)) this.#change(part, block, record.epoch, wanted);
    };
    this.#resolve(part, block, moved, () => this.#leavePromise(part.host, block));
  }

  /** What was merely promised of a block whose majority is lost is left to the floor, as src/repair does it. */
  #leavePromise(host: Host, block: string): void {
    const state = host.up && host.barred.size > 0 ? host.stateOf(block) : undefined;
    if (state !== undefined && !state.lost && state.accepted === null) this.#world.send(host.index, forgetPromise(host.name, block, host.index));
  }

  /** Blocks move as soon as there is a newer view, whether the oldest retires or not; as `Standpoint.nextView` says, not past it. */
  #bringHome(part: Part, block: string, done: () => void): void {
    const { standpoint } = part;
    const wanted = standpoint.successors(block as Address, standpoint.nextView);
    if (wanted.length === 0 || !standpoint.canTake(wanted)) return done();
    this.#resolve(part, block, ({ accepted }) => {
      if (accepted === null || (accepted.record.previous.length === 0 && sameReplicas(accepted.record.replicas, wanted))) return done();
      const { record } = accepted;
      if (!standpoint.isAhead(block as Address, record)) this.#change(part, block, record.epoch, wanted, done);
      else if (record.previous.length > 0) this.#change(part, block, record.epoch - 1, record.replicas, done);
      else done();
    });
  }

  /** As `Housekeeping.change`. */
  #change(part: Part, block: string, fromEpoch: number, replicas: readonly string[], then = (): void => {}): void {
    if (!part.host.hasSay()) return;
    part.host.run(block, { kind: 'change', fromEpoch, replicas }, { done: (outcome) => outcome?.status === 'committed' && then() });
  }

  /** A damaged copy leaves the set, is told so, and is an ordinary newcomer then. */
  #replaceLost(part: Part, block: string): void {
    const { host } = part;
    this.#resolve(part, block, ({ accepted }) => {
      if (accepted === null) return;
      const { record } = accepted;
      const others = record.replicas.filter((peer) => peer !== host.name);
      // Then it has a pointer, and is to have a copy again.
      part.unchecked.add(block);
      if (!isMember(record, host.name)) this.#settle(part, block);
      else if (others.length > 0) this.#change(part, block, record.epoch, others, () => this.#settle(part, block));
    });
  }

  /** Counted out: each lost state is given up when the host is told where the block is, or when nobody has it and the floor covers what was promised; then its pointers. */
  #giveUp(part: Part): void {
    const { host } = part;
    let left = 0;
    for (const block of this.#world.blocks) {
      const kept = host.stateOf(block);
      // What is given up is gone from the disk before the host says so.
      if (!host.isDurable(block)) left++;
      // Nor may it be told anything afterwards by what it began itself.
      if (this.#busy.has(settlingOf(host, block))) left++;
      if (kept?.accepted?.pointer === true) {
        left++;
        host.dropPointer(block, kept.accepted.ballot);
      }
      if (kept?.lost !== true) continue;
      left++;
      if (part.done.has(block)) left--;
      this.#resolve(part, block, ({ accepted }) => {
        if (part.knowledge.standing !== 'outcast' || !host.up) return;
        if (accepted === null) {
          // What was damaged before, and is nowhere else, stays lost: its promise is not known, so no floor covers it.
          if (!host.dropLost(block) && kept.promised === null) part.done.add(block);
        } else if (!isMember(accepted.record, host.name)) this.#settle(part, block);
      });
    }
    if (left > 0) return;
    this.#world.trace.say(`-- ${host.name} has given up what it held`);
    part.done.clear();
    part.knowledge = { standing: 'fresh', state: part.state };
    this.#reckon(part);
  }
}

function settlingOf({ name }: Host, block: string): string {
  return `${name}/${block}/settle`;
}
