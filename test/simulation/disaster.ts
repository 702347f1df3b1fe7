import { type Address, givenUpPayload, isGivenUp } from '../../src/block/index.ts';
import {
  type Accepted,
  type BlockRecord,
  compareBallots,
  givenUpRounds,
  isMember,
  maxClockDrift,
  type Operation as Proposal,
  productionRules,
  type Reply,
  update,
} from '../../src/consensus/index.ts';
import { type GivingUp, givingUp, look, type Remains, whyRefused } from '../../src/repair/remains.ts';
import type { Agreement } from './agreement.ts';
import { hasMajority, newestRecord } from './copies.ts';
import { requestEvent } from './events.ts';
import type { Host } from './host.ts';
import { Violation } from './judges.ts';
import type { Operation } from './linearizability.ts';
import { SeededRandom } from './random.ts';
import { workloadMs } from './settings.ts';
import type { World } from './world.ts';

/** How long what hosts have of a block is waited for, and a salvage of one block tried. */
const askMs = 500;
/** Between two looks of the person whether anything is left to salvage, and how often there are some at the most. */
const roundMs = 1000;
const maxRounds = 120;
/** How long it takes at the most until a host has heard who was expelled. */
const spreadMs = 200;
/** What a person leaves in the place of a block that is given up. */
const lostValue = givenUpPayload({ by: 'a person', at: 'some time' });

/**
 * A majority of some block's hosts is lost for good in the middle of the work. A person expels them and has what is left salvaged: by several hosts at once, again and again, while clients go on,
 * messages of before arrive and hosts that salvage die. Some of the lost come back, and nobody hears them. Where nothing is left of a block, it is given up. What may be salvaged or given up, and
 * who decides about it, is reckoned by the code of src/repair.
 */
export class Disaster {
  readonly #world: World;
  readonly #agreement: Agreement;
  readonly #chance: SeededRandom;
  readonly #lost: string[] = [];
  #lostAt = Infinity;
  /** Blocks that lost their majority. */
  readonly #hit = new Map<string, Hit>();
  /** Blocks that were given up though a host of the cluster had a record of them just before. */
  readonly #wronged = new Set<string>();
  /** Blocks that a person declared lost. */
  readonly #declared = new Set<string>();
  /** Salvages that were carried out, and blocks that were given up. */
  salvaged = 0;
  givenUp = 0;

  constructor(world: World, agreement: Agreement) {
    this.#world = world;
    this.#agreement = agreement;
    this.#chance = new SeededRandom(world.settings.seed, 9);
    world.judges.onAbsent = (block, beganAt, host) => this.#onAbsent(block, beganAt, host);
    world.judges.onPointerForgotten = (block, host, record) => this.#onPointerForgotten(block, host, record);
    world.later(this.#chance.between(0.2, 0.7) * workloadMs(world.settings), () => this.#strike());
  }

  #strike(): void {
    const world = this.#world;
    const block = this.#pick();
    if (block === undefined) return world.later(20, () => this.#strike());
    const set = newestRecord(world, block)?.record.replicas ?? this.#agreement.setsInForce(block).at(-1)!;
    const count = world.settings.wiped ? set.length : Math.ceil(set.length / 2);
    // A host that was counted out has lost its copies as well: more than one disaster at a time is not asked for.
    if (set.length < 2 || count >= world.hosts.length || !this.#agreement.areAllMembers || world.hosts.some(({ up }) => !up))
      return world.now > workloadMs(world.settings) ? undefined : world.later(50, () => this.#strike());
    this.#lost.push(...this.#chance.sample(set, count));
    world.trace.say(`-- ${this.#lost.join(' and ')} are lost for good`);
    const sets = new Map(
      world.blocks.map((block) => {
        const newest = newestRecord(world, block);
        return [block, [...this.#agreement.setsInForce(block), ...(newest === null ? [] : productionRules.setsOf(newest.record))]];
      }),
    );
    for (const name of this.#lost) {
      const host = world.hosts[world.indexOf(name)]!;
      world.lose(host);
    }
    this.#lostAt = world.now;
    for (const block of world.blocks) {
      if (sets.get(block)!.every((set) => hasMajority(world, set, ({ lost }) => !lost))) continue;
      this.#hit.set(block, { known: this.#whoKnows(block), released: new Set(), chosen: world.judges.chosenOf(block) });
    }
    const declaredIn = this.#chance.between(0, 500);
    for (const host of world.left) world.later(declaredIn + this.#chance.between(0, spreadMs), () => this.#agreement.expel(host, this.#lost));
    for (const name of this.#lost) {
      const host = world.hosts[world.indexOf(name)]!;
      if (this.#chance.chance(0.5)) world.later(declaredIn + spreadMs + this.#chance.between(0, 2000), () => host.up || host.start());
    }
    for (let runs = 1 + this.#chance.below(4); runs > 0; runs--)
      world.later(declaredIn + spreadMs + this.#chance.between(0, 1500), () => this.#salvage(this.#chance.pick(world.left)));
  }

  /** Where all hosts of a block are to be lost: one that others know of by a pointer. undefined: there is none, and there is time to wait for one. */
  #pick(): string | undefined {
    const world = this.#world;
    if (!world.settings.wiped || world.now > 0.9 * workloadMs(world.settings)) return this.#chance.pick(world.blocks);
    const moved = world.blocks.filter((block) => {
      const set = newestRecord(world, block)?.record.replicas;
      return world.left.some((host) => host.up && host.acceptedOf(block)?.pointer === true && set?.includes(host.name) === false);
    });
    return moved.length === 0 ? undefined : this.#chance.pick(moved);
  }

  /** What a disk has not taken yet was acknowledged to nobody. */
  #whoKnows(block: string): readonly Known[] {
    const { left, judges } = this.#world;
    return left.flatMap((host) => {
      const held = host.up && host.isDurable(block) ? host.acceptedOf(block) : null;
      const version = held === null || held.pointer ? undefined : judges.chosenUpTo(block, held.ballot)?.record.version;
      return version === undefined ? [] : [{ host, version }];
    });
  }

  /**
   * Nobody is told that there never was a block, while a host of the cluster knows of it from before the loss, nor after a person declared it lost; and where nobody is left who knows of it, not
   * before a person has accepted that.
   */
  #onAbsent(block: string, beganAt: number, host: Host | undefined): void {
    const chosen = this.#hit.get(block)?.chosen;
    if (chosen === undefined || beganAt < this.#lostAt) return;
    if (this.#declared.has(block)) throw new Violation('salvage', `${block} was declared lost, and is told to be absent`);
    for (const other of this.#world.left) {
      const accepted = other.up && this.#agreement.isMember(other) ? other.acceptedOf(block) : null;
      if (accepted === null || compareBallots(accepted.ballot, chosen.ballot) > 0) continue;
      throw new Violation('salvage', `${block} is told to be absent, of which ${other.name} has ${accepted.pointer ? 'a pointer' : 'a record'}`);
    }
    if (host !== undefined && !this.#agreement.hasForgiven(host))
      throw new Violation('salvage', `${block}, lost with all that had it, is told to be absent`);
  }

  /** Where hosts that are lost had the block, these had agreed that it is let forget. */
  #onPointerForgotten(block: string, host: Host, record: BlockRecord): void {
    const isLost = productionRules.setsOf(record).some((set) => !hasMajority(this.#world, set, ({ lost }) => !lost));
    if (isLost) this.#hit.get(block)?.released.add(host);
  }

  /** The person goes on until no block is left that could be salvaged, and the views of the lost hosts are gone. */
  mend(): void {
    if (this.#lostAt === Infinity) return;
    const world = this.#world;
    for (let rounds = 0; this.#agreement.unrest !== undefined || rounds < 2; rounds++) {
      if (rounds === maxRounds) throw new Violation('liveness', `${this.#agreement.unrest} after ${rounds} salvages of all that is left`);
      for (const host of world.left) this.#salvage(host);
      world.runUntil(world.now + roundMs + this.#outlastMs);
    }
    // Then he looks what is there, on every host, before he accepts what is not.
    for (const host of world.left) for (const block of world.blocks) host.run(block, { kind: 'read' }, { done: () => {} });
    world.runUntil(world.now + roundMs);
    this.#agreement.forgive(this.#lost);
    world.runUntil(world.now + roundMs);
    for (const [block, { chosen }] of this.#hit) if (chosen !== undefined && !this.#declared.has(block)) this.#makeAnew(block, chosen);
    world.runUntil(world.now + roundMs);
  }

  /** What is made anew where all is lost is at a version that this never had: who remembers it would write over it on a condition. */
  #makeAnew(block: string, { record }: Accepted): void {
    const host = this.#chance.pick(this.#world.left);
    const founds = update((current) => (current === null ? Buffer.from(`anew ${block}`) : undefined));
    host.run(block, founds, {
      done: (outcome) => {
        const version = outcome?.status === 'committed' ? outcome.accepted!.record.version : Infinity;
        if (version <= record.version)
          throw new Violation('salvage', `${block}, lost with all that had version ${record.version}, is made anew at version ${version}`);
      },
    });
  }

  /** What may be judged as if nothing had been lost: all of what kept its majority; of other blocks what was answered before. */
  before(history: readonly Operation[]): readonly Operation[] {
    return history.flatMap((operation): readonly Operation[] => {
      if (!this.#hit.has(operation.register) || operation.end < this.#lostAt) return [operation];
      if (operation.action.kind === 'read' || operation.start >= this.#lostAt) return [];
      return [{ ...operation, end: Infinity, outcome: { status: 'unknown' } }];
    });
  }

  /**
   * What was told of a block that lost its majority once nobody could answer from memory by leases of before: no version has two values, nobody who begins later is told less, and
   * nobody is told less than what a host that is left held when it was acknowledged, unless that host has left the cluster since, and gave up what it held, or was told that the block went on with the lost hosts
   * and was let forget it, by a settling of before. Nor that somebody removed it, where nobody did; nor that it is lost, where such a host
   * had it, or once somebody was told otherwise.
   */
  judge(history: readonly Operation[]): void {
    const from = this.#lostAt + this.#outlastMs;
    for (const [block, { known, released }] of this.#hit) {
      const counts = ({ host }: Known): boolean => !this.#agreement.outcasts.has(host.name) && !released.has(host);
      const kept = Math.max(0, ...known.filter(counts).map(({ version }) => version));
      const told = history.flatMap((operation) => (operation.register === block && operation.start > from ? toldOf(operation) : []));
      const removals = history.filter(({ register, action }) => register === block && action.kind === 'write' && action.value === null);
      const isRemoval = ({ start, outcome }: Operation, version: number): boolean =>
        outcome.status === 'committed'
          ? outcome.version === version
          : outcome.status === 'unknown' && (start > this.#lostAt || version < givenUpRounds);
      const values = new Map<number, string | null>();
      told.sort((a, b) => a.end - b.end);
      let before = 0;
      let most = kept;
      let alive = false;
      let heard = 0;
      for (const { start, version, value } of told.toSorted((a, b) => a.start - b.start)) {
        for (; before < told.length && told[before]!.end < start; before++) most = Math.max(most, told[before]!.version);
        if (version < most) throw new Violation('salvage', `version ${version} of ${block} is told after version ${most}`);
        for (; heard < told.length && told[heard]!.end < start; heard++) alive ||= told[heard]!.version > 0 && !saysLost(told[heard]!.value);
        if (alive && saysLost(value)) throw new Violation('salvage', `${block} is told to be lost after it was there`);
        if (this.#wronged.has(block) && saysLost(value))
          throw new Violation('salvage', `${block} is told to be lost, of which a host that is left had a record`);
        if (version > 0 && value === null && !removals.some((removal) => isRemoval(removal, version)))
          throw new Violation('salvage', `${block} is told to be removed, and nobody did`);
        if (version > 0 && (values.get(version) ?? value) !== value) throw new Violation('salvage', `version ${version} of ${block} has two values`);
        values.set(version, value);
      }
    }
  }

  get #outlastMs(): number {
    return this.#world.settings.leaseTermMs * (1 + 3 * maxClockDrift);
  }

  // --- salvage, as src/repair has it carried out --------------------------------------------------------------------------------

  /** `infinit salvage --force` with the lost hosts named, on one host. */
  #salvage(host: Host): void {
    if (!host.up || host.pausedUntil > this.#world.now) return;
    for (const block of this.#world.blocks) this.#look(host, block);
  }

  #look(host: Host, block: string): void {
    const state = host.stateOf(block);
    const local = state?.lost === true ? 'damaged' : (state?.accepted ?? null);
    if (local === null) return;
    const { life } = host;
    const isGone = (peer: string): boolean => this.#agreement.isGone(host, peer);
    const steps = look(this.#agreement.standpoint(host), block as Address, local, isGone);
    const go = (step: IteratorResult<readonly string[], Remains | undefined>): void => {
      if (step.done === true) return step.value === undefined ? undefined : this.#handle(host, block, step.value);
      host.ask(block, step.value, askMs, (replies: readonly Reply[]) => host.up && host.life === life && go(steps.next(replies)));
    };
    go(steps.next());
  }

  #handle(host: Host, block: string, remains: Remains): void {
    const { mutant, trace } = this.#world;
    const { newest, pointer, survivors, missing, unsettled } = remains;
    if (newest === null || mutant.givesUpWhatIsLeft === true) return this.#giveUp(host, block, remains);
    const own = host.acceptedOf(block);
    if (own === null || own.pointer) return;
    const refused = whyRefused(remains, this.#lost, (peer) => this.#agreement.isGone(host, peer));
    if (refused !== undefined && mutant.salvagesWhatIsAway !== true) return;
    const { life } = host;
    const waitMs = missing.length > 0 ? this.#outlastMs : 0;
    this.#world.later(waitMs, () => {
      if (!host.up || host.life !== life || host.pausedUntil > this.#world.now) return;
      trace.say(`${host.name}  ${block}  salvages version ${newest.record.version} with ${survivors.join('')}`);
      if (!this.#hit.has(block)) this.#hit.set(block, { known: [], released: new Set(), chosen: this.#world.judges.chosenOf(block) });
      if (mutant.salvagesUnasked === true) return this.#teach(host, block, newest, remains);
      this.#carryOut(host, block, { kind: 'salvage', from: newest.ballot, pointer, survivors, unsettled }, () => this.salvaged++);
    });
  }

  /** `infinit salvage --give-up --force` of one block. */
  #giveUp(host: Host, block: string, remains: Remains): void {
    const { mutant, trace } = this.#world;
    const believed = mutant.givesUpWhatIsLeft === true ? { ...remains, newest: null } : remains;
    const how = givingUp(believed, this.#lost, (peer) => this.#agreement.isGone(host, peer));
    if (typeof how === 'string') return;
    const { life } = host;
    this.#world.later(this.#outlastMs, () => {
      if (!host.up || host.life !== life || host.pausedUntil > this.#world.now) return;
      trace.say(`${host.name}  ${block}  gives it up, with ${how.asked.join('')}`);
      if (!this.#hit.has(block)) this.#hit.set(block, { known: [], released: new Set(), chosen: this.#world.judges.chosenOf(block) });
      this.#declared.add(block);
      if (mutant.forgetsGivenUp === true) return this.#forget(host, block, how);
      const value = mutant.givesUpAsRemoved === true ? null! : lostValue;
      const isKept = this.#hit.get(block)!.known.some(({ host: other }) => other.up && other.acceptedOf(block)?.pointer === false);
      this.#carryOut(host, block, { kind: 'give-up', ...how, value }, () => {
        this.givenUp++;
        if (isKept) this.#wronged.add(block);
      });
    });
  }

  #carryOut(host: Host, block: string, operation: Proposal & { readonly kind: 'salvage' | 'give-up' }, done: () => void): void {
    host.run(block, operation, {
      useHint: false,
      done: (outcome) => {
        this.#world.trace.say(`${host.name}  ${block}  ${operation.kind}: ${outcome?.status ?? 'died'}`);
        if (outcome?.status !== 'committed' || outcome.accepted === null) return;
        done();
        this.#tell(host, block, outcome.accepted, operation.unsettled);
      },
    });
  }

  #forget(host: Host, block: string, { pointer, asked }: GivingUp): void {
    if (pointer === null) return;
    const { ballot } = pointer;
    const message = { type: 'forget', from: host.name, block, tag: 0, attempt: 1, ballot, floor: ballot.round } as const;
    for (const peer of asked) this.#world.send(host.index, requestEvent(this.#world.indexOf(peer), -1, message));
  }

  #teach(host: Host, block: string, newest: Accepted, { survivors, unsettled }: Remains): void {
    const ballot = { ...newest.ballot, round: Math.ceil(this.#world.now * 1000), peer: host.name };
    const record = { ...newest.record, epoch: newest.record.epoch + 1, replicas: survivors, previous: [], unsettled };
    const message = { type: 'learn', from: host.name, block, tag: 0, attempt: 1, ballot, record } as const;
    for (const peer of survivors) this.#world.send(host.index, requestEvent(this.#world.indexOf(peer), -1, message));
    this.salvaged++;
  }

  #tell(host: Host, block: string, { ballot, record }: Accepted, peers: readonly string[]): void {
    const message = { type: 'learn', from: host.name, block, tag: 0, attempt: 1, ballot, record } as const;
    for (const peer of peers) if (!isMember(record, peer)) this.#world.send(host.index, requestEvent(this.#world.indexOf(peer), -1, message));
  }
}

interface Hit {
  /** What hosts that are left had of it, of what was acknowledged. */
  readonly known: readonly Known[];
  /** Hosts that were let forget since that the block went on elsewhere. */
  readonly released: Set<Host>;
  /** The newest record of before that somebody knew to be chosen. */
  readonly chosen: Accepted | undefined;
}

interface Known {
  readonly host: Host;
  readonly version: number;
}

function saysLost(value: string | null): boolean {
  return value !== null && isGivenUp(Buffer.from(value, 'latin1'));
}

interface Told {
  readonly start: number;
  readonly end: number;
  /** 0: nothing is there. */
  readonly version: number;
  readonly value: string | null;
}

function toldOf({ start, end, action, outcome }: Operation): readonly Told[] {
  switch (outcome.status) {
    case 'committed':
      return [{ start, end, version: outcome.version!, value: action.kind === 'write' ? action.value : null }];
    case 'value':
      return [{ start, end, version: outcome.version ?? 0, value: outcome.value }];
    case 'conflict':
      return outcome.current === undefined ? [] : [{ start, end, version: outcome.current.version ?? 0, value: outcome.current.value }];
    default:
      return [];
  }
}
