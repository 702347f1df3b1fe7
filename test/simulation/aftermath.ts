import {
  type Accepted,
  compareBallots,
  isMember,
  type Operation,
  productionRules,
  type ProposalOutcome,
  sameBallot,
} from '../../src/consensus/index.ts';
import type { Clients } from './clients.ts';
import { hasMajority, newestRecord } from './copies.ts';
import type { Host } from './host.ts';
import { Violation } from './judges.ts';
import type { Roster } from './roster.ts';
import type { World } from './world.ts';

/** Time in which all must be answered again once faults stop, beside leases that must run out. */
export const recoveryMs = 20_000;

/** Time in which all that hosts do by themselves must come to its end: a retirement of views takes several rounds of reports. */
const restMs = 60_000;

/** What comes after the last fault, when everything that was promised to come about must come about, and soon: the judge of liveness. */
export class Aftermath {
  readonly #world: World;
  readonly #clients: Clients;
  readonly #roster: Roster;
  /** Blocks that cannot be reached, in the way that docs/consensus.md tells of (“What is not promised”). */
  readonly outOfReach = new Set<string>();

  constructor(world: World, clients: Clients, roster: Roster) {
    this.#world = world;
    this.#clients = clients;
    this.#roster = roster;
  }

  /** Every host can read every block again; views retire, what was removed is forgotten, and then each block can be written, moved, settled, removed and forgotten. */
  judge(): void {
    this.#readAll();
    // A block that waits for hosts that wait for it holds up all that needs every host.
    if (this.outOfReach.size > 0) return;
    this.#comeToRest();
    for (const block of this.#world.blocks) this.#use(block);
  }

  #readAll(): void {
    const world = this.#world;
    const { agreed, leaseTermMs } = world.settings;
    let until = world.now + recoveryMs + 3 * leaseTermMs;
    // Faults that began before the end run out first.
    world.runUntil(world.now + 2 * leaseTermMs + 5000);
    for (const block of world.blocks) {
      if (agreed) until = Math.max(until, world.now + recoveryMs);
      for (const host of world.left) {
        if (this.outOfReach.has(block)) break;
        let answered = false;
        const ask = (): void => this.#clients.read(host, block, undefined, (done) => (done ? (answered = true) : world.now < until && ask()));
        ask();
        this.#wait(until, () => answered);
        if (!answered && agreed && isLeftBehind(world, this.#roster, block)) this.outOfReach.add(block);
        else if (!answered) throw new Violation('liveness', `${host.name} cannot read ${block} ${Math.round(recoveryMs)} ms after the last fault`);
      }
    }
  }

  /** One view is left, and what was removed for good is forgotten. */
  #comeToRest(): void {
    const until = this.#world.now + restMs;
    this.#wait(until, () => this.#roster.unrest === undefined);
    const { unrest } = this.#roster;
    if (unrest !== undefined) throw new Violation('liveness', `${unrest} ${restMs} ms after the last fault`);
  }

  #use(block: string): void {
    const { left: hosts } = this.#world;
    const host = hosts[this.#world.blocks.indexOf(block) % hosts.length]!;
    this.#write(host, block, false);
    for (const replicas of this.#roster.tour(block)) this.#move(host, block, replicas);
    const settled = this.#demand('settle', host, block, { kind: 'settle', revoked: this.#roster.revoked(host) })!;
    const unlisted = hosts.filter((other) => !isMember(settled.record, other.name) && other.stateOf(block)?.accepted != null);
    for (const other of unlisted) {
      if (!this.#isBuried(block, other.stateOf(block)!.accepted!, settled))
        throw new Violation('residue', `${other.name} holds something of ${block} that is settled at ${settled.record.replicas.join('')}`);
    }
    // As the keeper of each of them would have it.
    if (unlisted.length > 0)
      this.#demand('settle', host, block, { kind: 'settle', revoked: this.#roster.revoked(host), also: unlisted.map(({ name }) => name) });
    this.#write(host, block, true);
    this.#forget(host, block);
    this.#write(host, block, false);
  }

  /**
   * A tombstone that crossed with its forgetting: accepted by a host that had forgotten the one before, and refused for good by a majority that forgot it later. It is below
   * all that came since, and nobody but its host knows of it.
   */
  #isBuried(block: string, { ballot, record }: Accepted, settled: Accepted): boolean {
    const refuses = (host: Host): boolean => {
      const state = host.stateOf(block);
      return state !== undefined && compareBallots(ballot, state.promised) < 0 && !sameBallot(state.accepted?.ballot ?? null, ballot);
    };
    if (record.value !== null || compareBallots(ballot, settled.ballot) >= 0) return false;
    return productionRules.setsOf(record).every((set) => hasMajority(this.#world, set, refuses));
  }

  /** Settles and forgets, again where a repair came between: in the end nobody holds anything of the block. */
  #forget(host: Host, block: string): void {
    const until = this.#world.now + recoveryMs;
    const left = (): Host | undefined => this.#world.left.find((other) => other.stateOf(block)?.accepted != null);
    let told = '';
    const ask = (): void =>
      host.run(
        block,
        { kind: 'settle', revoked: this.#roster.revoked(host) },
        {
          done: (settled) => {
            if (settled?.status !== 'committed') return again(settled);
            host.run(block, { kind: 'forget' }, { done: again });
          },
        },
      );
    const again = (outcome: ProposalOutcome | undefined): void => {
      told = outcome?.status ?? 'no answer';
      if (this.#world.now < until) this.#world.later(100, () => left() !== undefined && ask());
    };
    ask();
    this.#wait(until, () => left() === undefined);
    const holder = left();
    if (holder !== undefined)
      throw new Violation(
        'liveness',
        `${holder.name} holds something of ${block} ${recoveryMs} ms after it was removed and all came to rest: ${told}`,
      );
  }

  /** A change is from an epoch: where others changed it meanwhile, it is tried again from there. */
  #move(host: Host, block: string, replicas: readonly string[]): void {
    const until = this.#world.now + recoveryMs;
    let done = false;
    const ask = (): void =>
      host.run(
        block,
        { kind: 'read' },
        {
          done: (found) => {
            if (found?.status !== 'committed') return again();
            const change: Operation = { kind: 'change', fromEpoch: found.accepted!.record.epoch, replicas };
            host.run(block, change, { done: (outcome) => (outcome?.status === 'committed' ? (done = true) : again()) });
          },
        },
      );
    const again = (): void => {
      if (this.#world.now < until) this.#world.later(100, ask);
    };
    ask();
    this.#wait(until, () => done);
    if (!done) throw new Violation('liveness', `${host.name} cannot move ${block} to ${replicas.join('')} ${recoveryMs} ms after all came to rest`);
  }

  #write(host: Host, block: string, remove: boolean): void {
    const until = this.#world.now + recoveryMs;
    let answered = false;
    const ask = (): void => this.#clients.writeAny(host, block, remove, (done) => (done ? (answered = true) : this.#world.now < until && ask()));
    ask();
    this.#wait(until, () => answered);
    if (!answered)
      throw new Violation('liveness', `${host.name} cannot ${remove ? 'remove' : 'write'} ${block} ${recoveryMs} ms after all came to rest`);
  }

  /** The operation must commit, at the latest when it is tried again: housekeeping may be about the same block. */
  #demand(what: string, host: Host, block: string, operation: Operation): Accepted | null {
    const until = this.#world.now + recoveryMs;
    let last: ProposalOutcome | undefined;
    const committed = (): boolean => last?.status === 'committed';
    const ask = (): void =>
      host.run(block, operation, {
        done: (outcome) => {
          last = outcome;
          if (!committed() && this.#world.now < until) this.#world.later(100, ask);
        },
      });
    ask();
    this.#wait(until, committed);
    if (last?.status !== 'committed')
      throw new Violation('liveness', `${host.name} cannot ${what} ${block} ${recoveryMs} ms after all came to rest: ${last?.status ?? 'no answer'}`);
    return last.accepted;
  }

  #wait(until: number, enough: () => boolean): void {
    const world = this.#world;
    while (!enough() && world.now < until) world.runUntil(Math.min(until, world.now + 100), enough);
  }
}

/**
 * The two ways to be out of reach that are not violations. Of a set that must be asked about the block no majority of the copies is left: some rotted, the others were
 * given up by hosts that were counted out. Or the block was founded while a view retired, its record is joint with a set of that view, and
 * so many hosts of this set have left since (they have no say any longer) that it has no majority, some of which drained.
 */
function isLeftBehind(world: World, roster: Roster, block: string): boolean {
  const newest = newestRecord(world, block);
  const isRotten = (host: Host): boolean => host.isDamaged(block) && !roster.isCountedOut(host.name);
  const isLeft = (host: Host): boolean => !host.isDamaged(block) && !roster.isCountedOut(host.name);
  // Where no host has a record, there may have been one all the same: views say where.
  const sets = newest === null ? roster.setsInForce(block) : productionRules.setsOf(newest.record);
  if (sets.some((set) => !hasMajority(world, set, isLeft) && set.some((peer) => isRotten(world.hosts[world.indexOf(peer)]!)))) return true;
  if (newest === null) return false;
  const { epoch, version, previous } = newest.record;
  return (
    epoch === version && previous.some((set) => !hasMajority(world, set, (host) => host.hasSay()) && set.some((peer) => roster.hasDrained(peer)))
  );
}
