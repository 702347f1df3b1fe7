import type { Operation, ProposalOutcome, ReplicaSet } from '../../src/consensus/index.ts';
import { Agreement } from './agreement.ts';
import type { Clients } from './clients.ts';
import { forgetPromise } from './events.ts';
import { isOutsider, isResolved } from './held.ts';
import type { Host } from './host.ts';
import { SeededRandom } from './random.ts';
import { workloadMs } from './settings.ts';
import type { World } from './world.ts';

const tickMs = 40;
/** Views in force at once. */
const maxViews = 3;

/**
 * What the membership and repair layers do in production, by the rules that docs/consensus.md sets them: new views of the roster that hosts learn of one
 * by one, blocks that move after them, views that are retired, damaged copies that are replaced, removed blocks that are forgotten.
 */
export class Roster {
  readonly #world: World;
  readonly #clients: Clients;
  readonly #chance: SeededRandom;
  readonly #mending: SeededRandom;
  /** Housekeeping under way, by what it is about. */
  readonly #busy = new Set<string>();
  /** What is done for the retirement of the oldest view: `host/block` resolved, `block` moved. */
  readonly #ready = new Set<string>();
  /** Blocks that were removed for good, and those forgotten. */
  readonly #removed = new Set<string>();
  readonly forgotten = new Set<string>();
  /** Blocks that are where the newest view has them, since there are no rivals any longer. */
  readonly #home = new Set<string>();
  readonly #agreement: Agreement | undefined;
  #restless = true;

  constructor(world: World, clients: Clients) {
    this.#world = world;
    this.#clients = clients;
    this.#chance = new SeededRandom(world.settings.seed, 6);
    this.#mending = new SeededRandom(world.settings.seed, 7);
    this.#agreement = world.settings.agreed ? new Agreement(world) : undefined;
    world.isReplacing = (block) => this.#busy.has(`replace look/${block}/`) || this.#busy.has(`replace change/${block}/`);
    const end = workloadMs(world.settings);
    const changes = world.settings.agreed ? 0 : world.settings.rosterChanges;
    for (let count = 0; count < changes; count++) world.later(this.#chance.unit() * end, () => this.#newView());
    this.#tick();
  }

  /** Absent: views are not agreed on. */
  get agreement(): Agreement | undefined {
    return this.#agreement;
  }

  /** Hosts that settling leaves out, as a host knows. */
  revoked(host: Host): readonly string[] {
    return this.#agreement?.revoked(host) ?? [];
  }

  /** No more rivals and removals: only what brings everything to rest. */
  calm(): void {
    this.#restless = false;
    this.#agreement?.calm();
  }

  /** What of the roster is not at its end yet, though nothing disturbs it; undefined: all is. */
  get unrest(): string | undefined {
    const open = [...this.#clients.closing].filter((block) => !this.forgotten.has(block));
    if (open.length > 0 && !this.#world.settings.recreated) return `${open.join(' and ')}, removed for good, is not forgotten`;
    if (this.#agreement !== undefined) return this.#agreement.unrest;
    if (this.#oldest !== this.#newest) return `view ${this.#oldest} of ${this.#newest} is not retired`;
    const away = this.#world.blocks.find((block) => !this.#home.has(block));
    return away === undefined ? undefined : `${away} is not where it belongs`;
  }

  /** Where a block may be moved just so, at last to where it belongs; nowhere, where the views are agreed on. */
  tour(block: string): readonly (readonly string[])[] {
    if (this.#agreement !== undefined) return [];
    const { names, rosters } = this.#world;
    const home = rosters.at(-1)!.get(block)!;
    return [names.toSorted((a, b) => Number(home.includes(a)) - Number(home.includes(b))).slice(0, home.length), home];
  }

  hasDrained(peer: string): boolean {
    return this.#agreement?.drained.has(peer) === true;
  }

  /** Its states count as lost, and no view that leads to it is gone yet. */
  isCountedOut(peer: string): boolean {
    return this.#agreement?.isCountedOut(peer) === true;
  }

  /** Where the block belongs by the views in force. */
  setsInForce(block: string): readonly ReplicaSet[] {
    return this.#agreement?.setsInForce(block) ?? [];
  }

  get #oldest(): number {
    return Math.min(...this.#members.map((host) => host.oldestView));
  }

  /** Hosts that count: not those that were counted out. */
  get #members(): readonly Host[] {
    return this.#world.hosts.filter(({ evicted }) => !evicted);
  }

  get #newest(): number {
    return this.#world.rosters.length;
  }

  #newView(): void {
    const { rosters, blocks, hosts } = this.#world;
    const names = this.#members.map(({ name }) => name);
    if (this.#newest - this.#oldest + 1 >= maxViews) return;
    const chance = this.#chance;
    const last = rosters.at(-1)!;
    rosters.push(
      new Map(
        blocks.map((block) => {
          const set = last.get(block)!;
          const staying = set.filter((name) => names.includes(name));
          const kept = chance.sample(staying, chance.below(staying.length + 1));
          const size = chance.chance(0.3) ? this.#anySize() : set.length;
          const others = names.filter((name) => !kept.includes(name));
          return [block, [...kept, ...chance.sample(others, Math.max(0, size - kept.length))].slice(0, Math.max(size, 1))];
        }),
      ),
    );
    this.#world.trace.say(`-- view ${this.#newest}: ${[...rosters.at(-1)!].map(([block, set]) => `${block} at ${set.join('')}`).join(', ')}`);
    const number = this.#newest;
    for (const host of hosts) this.#world.later(chance.between(0, 300), () => this.#learn(host, number));
  }

  /** A host's roster is durable, so it may learn while it is down: at its next start it will know. */
  #learn(host: Host, number: number): void {
    host.newestView = Math.max(host.newestView, number);
  }

  #tick(): void {
    this.#world.later(tickMs * this.#chance.between(0.5, 1.5), () => {
      this.#tick();
      if (this.#agreement === undefined) {
        this.#evict();
        this.#retire();
        this.#replaceLost();
        this.#bringHome();
      }
      if (this.#restless) {
        if (this.#agreement === undefined && this.#chance.chance(this.#world.settings.rivals)) this.#rival();
        if (this.#chance.chance(this.#world.settings.removals)) this.#remove();
        if (this.#chance.chance(0.05)) this.#settle(this.#chance.pick(this.#world.blocks));
        this.#mend();
      }
      this.#forget();
    });
  }

  /** One host at a time may be counted out; the roster changes without it. */
  #evict(): void {
    const { hosts, settings, now } = this.#world;
    const gone = hosts.find((host) => !host.up && !host.evicted && now - host.downSince > settings.evictionMs);
    if (gone === undefined || hosts.some((host) => host !== gone && (host.evicted || !host.up))) return;
    gone.evicted = true;
    this.#world.trace.say(`-- ${gone.name} is counted out`);
    this.#newView();
  }

  /** Runs housekeeping once at a time, on some host that is up. */
  #run(what: string, block: string, operation: Operation, done?: (outcome: ProposalOutcome) => void, at?: Host, useHint = true): void {
    const key = `${what}/${block}/${at?.name ?? ''}`;
    const hosts = this.#world.left.filter((host) => host.up && host.pausedUntil < this.#world.now);
    if (this.#busy.has(key) || hosts.length === 0 || (at !== undefined && !hosts.includes(at))) return;
    this.#busy.add(key);
    const host = at ?? this.#chance.pick(hosts);
    host.run(block, operation, {
      useHint,
      done: (outcome) => {
        this.#busy.delete(key);
        if (this.#world.trace.on) this.#world.trace.say(`${host.name}  ${block}  ${what}: ${outcome?.status ?? 'died'}`);
        if (outcome !== undefined) done?.(outcome);
      },
    });
  }

  /** Reads the block and then moves it to a set that depends on where it is. */
  #change(what: string, block: string, wanted: (now: readonly string[]) => readonly string[], done?: () => void): void {
    this.#run(`${what} look`, block, { kind: 'read' }, (found) => {
      if (found.status !== 'committed') return;
      if (found.accepted === null) return done?.();
      const { record } = found.accepted;
      const replicas = wanted(record.replicas);
      if (record.previous.length === 0 && replicas.length === record.replicas.length && replicas.every((peer) => record.replicas.includes(peer)))
        return done?.();
      this.#run(`${what} change`, block, { kind: 'change', fromEpoch: record.epoch, replicas }, () => this.#home.delete(block));
    });
  }

  /** Step by step: all know a newer view; every host resolved what it has; every block moved; then the oldest view counts no longer. */
  #retire(): void {
    const { blocks, rosters } = this.#world;
    const hosts = this.#members;
    const oldest = this.#oldest;
    if (oldest === this.#newest || !hosts.every((host) => host.newestView > oldest)) return;
    let ready = true;
    for (const host of hosts) {
      for (const block of blocks) {
        const key = `${oldest}/${host.name}/${block}`;
        if (this.#ready.has(key)) continue;
        ready = false;
        if (!host.up) continue;
        const held = host.acceptedOf(block);
        const check = (outcome: ProposalOutcome): void => {
          if (!host.up || outcome.status !== 'committed') return;
          if (!isResolved(held, outcome)) return host.dropForgotten(block, held, outcome);
          // What a host holds of a block of others must be known to the record.
          if (isOutsider(host.name, held, outcome.accepted)) this.#run('list', block, { kind: 'settle', revoked: [], also: [host.name] });
          else this.#ready.add(key);
        };
        this.#run('resolve', block, { kind: 'read', own: held !== null && !held.pointer }, check, host, false);
      }
    }
    if (!ready) return;
    for (const block of blocks) {
      const key = `${oldest}/${block}`;
      if (this.#ready.has(key)) continue;
      ready = false;
      this.#change(
        'move',
        block,
        () => rosters[oldest]!.get(block)!,
        () => this.#ready.add(key),
      );
    }
    if (!ready) return;
    this.#world.trace.say(`-- view ${oldest} is retired`);
    const floor = Math.max(...this.#world.hosts.map((host) => host.floor));
    for (const host of hosts) host.oldestView = oldest + 1;
    for (const host of this.#world.hosts) host.retiredFloor = floor;
  }

  /** A damaged copy is one failure, which a set of two or less does not survive. */
  #anySize(): number {
    const { hosts, faults } = this.#world.settings;
    const least = faults > 0 ? Math.min(3, hosts) : 1;
    return least + this.#chance.below(Math.min(5, hosts) - least + 1);
  }

  /** Somebody wants the block elsewhere. */
  #rival(): void {
    const { blocks, names, settings } = this.#world;
    const replicas = this.#chance.sample(names, this.#anySize());
    if (settings.rosterChanges > 0) this.#change('rival', this.#chance.pick(blocks), () => replicas);
  }

  /** Once nobody moves blocks elsewhere they go to where the only view has them: while a view leads to a host, its pointer cannot be forgotten. */
  #bringHome(): void {
    if (this.#restless || this.#oldest !== this.#newest) return;
    const home = this.#world.rosters.at(-1)!;
    for (const block of this.#world.blocks) {
      if (!this.#home.has(block))
        this.#change(
          'home',
          block,
          () => home.get(block)!,
          () => this.#home.add(block),
        );
    }
  }

  /** A copy that turned out damaged is replaced: out of the set, told so, and free to come back. */
  #replaceLost(): void {
    for (const host of this.#world.hosts) {
      if (!host.up) continue;
      for (const block of this.#world.blocks) {
        if (host.stateOf(block)?.lost !== true) continue;
        const without = (now: readonly string[]): readonly string[] => (now.length > 1 ? now.filter((peer) => peer !== host.name) : now);
        this.#change('replace', block, without, () => this.#run('tell', block, { kind: 'settle', revoked: [], also: [host.name] }));
      }
    }
  }

  /** Removes a block for good, as only its owner would. */
  #remove(): void {
    const { blocks } = this.#world;
    const block = this.#chance.pick(blocks);
    if (blocks.length < 3 || this.#clients.closing.size * 2 >= blocks.length) return;
    this.#clients.closing.add(block);
  }

  /**
   * What may be done at any time: renewing a record, and leaving a bare promise to the floor. Not by mutants, since it also mends what they break, and
   * drawn from a stream of its own, so that the seeds without it stay what they are.
   */
  #mend(): void {
    const { left: hosts, blocks, settings } = this.#world;
    if (settings.mending === 0) return;
    const chance = this.#mending;
    if (chance.chance(settings.mending)) this.#run('renew', chance.pick(blocks), { kind: 'renew' }, undefined, chance.pick(hosts));
    if (!chance.chance(settings.mending)) return;
    const { name, index } = chance.pick(hosts);
    this.#world.send(index, forgetPromise(name, chance.pick(blocks), index));
  }

  #settle(block: string, done?: () => void): void {
    const at = this.#keeper();
    const settle: Operation = { kind: 'settle', revoked: at === undefined ? [] : this.#agreement!.revoked(at) };
    // Where nothing is left, all is told.
    const isTold = ({ status, ...rest }: ProposalOutcome): boolean =>
      status === 'committed' || (status === 'conflict' && 'accepted' in rest && rest.accepted === null);
    this.#run('settle', block, settle, (outcome) => isTold(outcome) && done?.(), at);
  }

  /** The host that settles or forgets, by what it knows; undefined: any, where all know the same. */
  #keeper(): Host | undefined {
    if (this.#agreement === undefined) return undefined;
    const hosts = this.#world.left.filter((host) => host.up && this.#agreement!.mayForget(host));
    return this.#chance.pick(hosts.length > 0 ? hosts : this.#world.left);
  }

  #isOneView(): boolean {
    if (this.#agreement === undefined) return this.#oldest === this.#newest;
    return this.#world.left.some((host) => host.up && this.#agreement!.mayForget(host));
  }

  #forget(): void {
    // What is written again is removed again as long as there are clients.
    if (!this.#restless && this.#world.settings.recreated) return;
    for (const block of this.#clients.closing) {
      if (this.#forgettable(block)) this.#forgetNow(block);
    }
  }

  #forgetNow(block: string): void {
    this.#run('forget', block, { kind: 'forget' }, (outcome) => this.#forgot(block, outcome), this.#keeper());
  }

  #forgot(block: string, { status }: ProposalOutcome): void {
    // One that is written again is removed again.
    if (this.#world.settings.recreated) this.#removed.delete(block);
    else if (status === 'committed') this.forgotten.add(block);
  }

  #forgettable(block: string): boolean {
    // Founders by differing views may have left something where only the retirement of the older view finds it.
    if (this.forgotten.has(block) || !this.#isOneView()) return false;
    if (!this.#world.settings.recreated && (this.#clients.pending.get(block) ?? 0) > 0) return false;
    if (this.#removed.has(block)) {
      // Where all is to come to its end, one after the other: a forgetting that is too early takes the ballots of the settling, again and again.
      this.#settle(block, this.#restless ? undefined : () => this.#forgetNow(block));
      return this.#restless;
    }
    const host = this.#chance.pick(this.#world.left);
    if (host.up && host.pausedUntil < this.#world.now) this.#clients.remove(host, block, () => this.#removed.add(block));
    return false;
  }
}
