import type { Address } from '../../src/block/index.ts';
import { type Accepted, isMember, maxClockDrift, productionRules, type Reply } from '../../src/consensus/index.ts';
import { look, type Remains, whyRefused } from '../../src/repair/remains.ts';
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

/**
 * A majority of some block's hosts is lost for good in the middle of the work. A person expels them and has what is left salvaged: by several hosts at once, again and again, while clients go on,
 * messages of before arrive and hosts that salvage die. Some of the lost come back, and nobody hears them. What may be salvaged, and who decides about it, is reckoned by the code of src/repair.
 */
export class Disaster {
  readonly #world: World;
  readonly #agreement: Agreement;
  readonly #chance: SeededRandom;
  readonly #lost: string[] = [];
  #lostAt = Infinity;
  /** Blocks that lost their majority, and the newest version of each that was acknowledged and that some host which is left held. */
  readonly #hit = new Map<string, number | undefined>();
  /** Salvages that were carried out. */
  salvaged = 0;

  constructor(world: World, agreement: Agreement) {
    this.#world = world;
    this.#agreement = agreement;
    this.#chance = new SeededRandom(world.settings.seed, 9);
    world.later(this.#chance.between(0.2, 0.7) * workloadMs(world.settings), () => this.#strike());
  }

  #strike(): void {
    const world = this.#world;
    const block = this.#chance.pick(world.blocks);
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
      // What a disk has not taken yet was acknowledged to nobody.
      const held = newestRecord(world, block, (host) => host.isDurable(block));
      this.#hit.set(block, held === null ? undefined : world.judges.chosenUpTo(block, held.ballot)?.record.version);
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

  /** The person goes on until no block is left that could be salvaged, and the views of the lost hosts are gone. */
  mend(): void {
    if (this.#lostAt === Infinity) return;
    const world = this.#world;
    for (let rounds = 0; this.#agreement.unrest !== undefined || rounds < 2; rounds++) {
      if (rounds === maxRounds) throw new Violation('liveness', `${this.#agreement.unrest} after ${rounds} salvages of all that is left`);
      for (const host of world.left) this.#salvage(host);
      world.runUntil(world.now + roundMs + this.#outlastMs);
    }
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
   * nobody is told less than what a host that is left held when it was acknowledged.
   */
  judge(history: readonly Operation[]): void {
    const from = this.#lostAt + this.#outlastMs;
    for (const [block, kept] of this.#hit) {
      const told = history.flatMap((operation) => (operation.register === block && operation.start > from ? toldOf(operation) : []));
      const values = new Map<number, string | null>();
      told.sort((a, b) => a.end - b.end);
      let before = 0;
      let most = kept ?? 0;
      for (const { start, version, value } of told.toSorted((a, b) => a.start - b.start)) {
        for (; before < told.length && told[before]!.end < start; before++) most = Math.max(most, told[before]!.version);
        if (version < most) throw new Violation('salvage', `version ${version} of ${block} is told after version ${most}`);
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
    const local = host.acceptedOf(block);
    if (local === null || local.pointer) return;
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
    const { newest, survivors, missing, unsettled } = remains;
    const refused = whyRefused(remains, this.#lost, (peer) => this.#agreement.isGone(host, peer));
    if (refused !== undefined && mutant.salvagesWhatIsAway !== true) return;
    const { life } = host;
    const waitMs = missing.length > 0 ? this.#outlastMs : 0;
    this.#world.later(waitMs, () => {
      if (!host.up || host.life !== life || host.pausedUntil > this.#world.now) return;
      trace.say(`${host.name}  ${block}  salvages version ${newest.record.version} with ${survivors.join('')}`);
      if (!this.#hit.has(block)) this.#hit.set(block, undefined);
      if (mutant.salvagesUnasked === true) return this.#teach(host, block, remains);
      const operation = { kind: 'salvage', from: newest.ballot, survivors, unsettled } as const;
      host.run(block, operation, {
        useHint: false,
        done: (outcome) => {
          trace.say(`${host.name}  ${block}  salvage: ${outcome?.status ?? 'died'}`);
          if (outcome?.status !== 'committed' || outcome.accepted === null) return;
          this.salvaged++;
          this.#tell(host, block, outcome.accepted, unsettled);
        },
      });
    });
  }

  #teach(host: Host, block: string, { newest, survivors, unsettled }: Remains): void {
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
