import { type Accepted, compareBallots, isMember, type Operation, productionRules, type ProposalOutcome } from '../../src/consensus/index.ts';
import type { Clients } from './clients.ts';
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
      for (const host of world.hosts) {
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
    const { hosts } = this.#world;
    const host = hosts[this.#world.blocks.indexOf(block) % hosts.length]!;
    this.#write(host, block, false);
    for (const replicas of this.#roster.tour(block)) this.#move(host, block, replicas);
    const settled = this.#demand('settle', host, block, { kind: 'settle', revoked: [] })!;
    for (const other of hosts) {
      if (!isMember(settled.record, other.name) && other.stateOf(block)?.accepted != null)
        throw new Violation('residue', `${other.name} holds something of ${block} that is settled at ${settled.record.replicas.join('')}`);
    }
    this.#write(host, block, true);
    this.#demand('forget', host, block, { kind: 'forget' });
    const left = hosts.find((other) => other.stateOf(block)?.accepted != null);
    if (left !== undefined) throw new Violation('residue', `${left.name} holds something of ${block}, which is forgotten`);
    this.#write(host, block, false);
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
 * The one way to be out of reach that is not a violation: the block was founded while a view retired, its record is joint with a set of that view, and
 * so many hosts of this set have left since (they have no say any longer) that it has no majority. Some of them drained: being counted out alone leads there never.
 */
function isLeftBehind(world: World, roster: Roster, block: string): boolean {
  let newest: Accepted | null = null;
  for (const host of world.hosts) {
    const accepted = host.stateOf(block)?.accepted ?? null;
    if (accepted !== null && !accepted.pointer && (newest === null || compareBallots(accepted.ballot, newest.ballot) > 0)) newest = accepted;
  }
  if (newest === null || newest.record.epoch !== 1) return false;
  const speaks = (peer: string): boolean => world.hosts.some((host) => host.name === peer && host.up && host.hasSay());
  return newest.record.previous.some(
    (set) => set.filter(speaks).length < productionRules.majority(set.length) && set.some((peer) => !speaks(peer) && roster.hasDrained(peer)),
  );
}
