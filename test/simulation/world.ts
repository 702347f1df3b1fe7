import type { ReplicaSet, View } from '../../src/consensus/index.ts';
import { bearsRot } from './copies.ts';
import { EventHeap } from './event-heap.ts';
import { type HostEvent, type ReportMessage, reportEvent, type SimulationEvent } from './events.ts';
import { describeFault, type Fault } from './faults.ts';
import { Host } from './host.ts';
import { Judges } from './judges.ts';
import type { Mutant } from './mutants.ts';
import { Network } from './network.ts';
import { SeededRandom } from './random.ts';
import type { Settings } from './settings.ts';
import { Trace } from './trace.ts';

const firstLetter = 'A'.charCodeAt(0);

/** The simulated world: virtual time, hosts, the network between them, and one queue of everything that is to happen. */
export class World {
  readonly settings: Settings;
  readonly mutant: Mutant;
  readonly trace: Trace;
  readonly chance: SeededRandom;
  readonly network: Network;
  readonly judges: Judges;
  readonly names: readonly string[];
  readonly hosts: readonly Host[];
  readonly blocks: readonly string[];
  /** Views of the roster by number − 1: for every block where it belongs. */
  readonly rosters: ReadonlyMap<string, ReplicaSet>[] = [];
  #left: readonly Host[];
  readonly #events = new EventHeap<SimulationEvent>();
  readonly #indices: ReadonlyMap<string, number>;
  /** By oldest and newest number, then by block. */
  readonly #views = new Map<number, Map<string, readonly View[]>>();
  /** Whether the roster is about to take a damaged copy out of a block's set. */
  isReplacing: (block: string) => boolean = () => false;
  now = 0;
  /** Messages that reached a process. */
  deliveries = 0;

  constructor(settings: Settings, mutant: Mutant, trace: Trace) {
    this.settings = settings;
    this.mutant = mutant;
    this.trace = trace;
    this.chance = new SeededRandom(settings.seed, 3);
    this.network = new Network(settings, new SeededRandom(settings.seed, 4));
    this.judges = new Judges(this);
    this.names = Array.from(
      { length: settings.hosts },
      (_, index) => String.fromCharCode(65 + (index % 26)) + (index < 26 ? '' : String(Math.floor(index / 26))),
    );
    this.#indices = new Map(this.names.map((name, index) => [name, index]));
    this.blocks = Array.from({ length: settings.blocks }, (_, index) => `x${index}`);
    this.rosters.push(new Map(this.blocks.map((block) => [block, this.chance.sample(this.names, settings.replicas)])));
    this.hosts = this.names.map((_, index) => new Host(this, index));
    this.#left = this.hosts;
    for (const host of this.hosts) host.start();
  }

  /** Hosts that were not lost for good. */
  get left(): readonly Host[] {
    return this.#left;
  }

  /** The host dies, and whatever comes of it is no part of the cluster any longer. */
  lose(host: Host): void {
    host.lost = true;
    host.crash();
    this.#left = this.hosts.filter(({ lost }) => !lost);
  }

  indexOf(name: string): number {
    return name.length === 1 ? name.charCodeAt(0) - firstLetter : this.#indices.get(name)!;
  }

  at(delayMs: number, event: SimulationEvent): void {
    this.#events.push(this.now + delayMs, event);
  }

  push(time: number, event: SimulationEvent): void {
    this.#events.push(time, event);
  }

  /** Does something after a while, whatever happens to hosts meanwhile. */
  later(delayMs: number, act: () => void): void {
    this.#events.push(this.now + delayMs, { kind: 'world', act });
  }

  send(from: number, event: HostEvent): void {
    if (event.to === from) {
      this.#events.push(this.now, event);
      return;
    }
    if (this.#left !== this.hosts && this.#isBarred(from, event.to)) return;
    const delay = this.network.delay(from, event.to);
    if (delay >= 0) this.#events.push(this.now + delay, event);
    if (!this.network.doubles()) return;
    const again = this.network.delay(from, event.to);
    if (again >= 0) this.#events.push(this.now + again, event);
  }

  /** Neither has a connection with a host of which it knows that it was expelled. What was sent before may still arrive. */
  #isBarred(from: number, to: number): boolean {
    return this.hosts[to]!.barred.has(this.names[from]!) || this.hosts[from]!.barred.has(this.names[to]!);
  }

  sendReport(from: number, to: number, message: ReportMessage): void {
    this.send(from, reportEvent(to, message));
  }

  /** Where a block belongs by the views that a host takes into account. */
  viewsOf(block: string, { oldestView, newestView }: Host): readonly View[] {
    const key = oldestView * 2 ** 20 + newestView;
    let blocks = this.#views.get(key);
    if (blocks === undefined) this.#views.set(key, (blocks = new Map<string, readonly View[]>()));
    let views = blocks.get(block);
    if (views === undefined) {
      const numbers = Array.from({ length: newestView - oldestView + 1 }, (_, index) => oldestView + index);
      views = numbers.map((number) => ({ number, replicas: this.rosters[number - 1]!.get(block)! }));
      blocks.set(block, views);
    }
    return views;
  }

  /** The views in force among the others. */
  currentViews(except: Host): readonly [oldest: number, newest: number] {
    const others = this.hosts.filter((host) => host !== except && !host.evicted);
    return [Math.min(...others.map((host) => host.oldestView)), Math.max(...others.map((host) => host.newestView))];
  }

  /** Lets everything happen up to a time, or until `enough`. */
  runUntil(end: number, enough: () => boolean = () => false): void {
    const events = this.#events;
    const { trace, hosts } = this;
    while (events.nextTime <= end) {
      const time = events.nextTime;
      const event = events.pop();
      this.now = time;
      trace.now = time;
      if (event.kind === 'world') {
        event.act();
        if (enough()) return;
        continue;
      }
      const host = hosts[event.to]!;
      if (!host.up || (event.life >= 0 && event.life !== host.life)) continue;
      if (host.pausedUntil > time) {
        events.push(host.pausedUntil, event);
        continue;
      }
      if (event.kind === 'request' || event.kind === 'reply' || event.kind === 'lease' || event.kind === 'report') this.deliveries++;
      host.handle(event);
    }
    this.now = end;
  }

  // --- faults ----------------------------------------------------------------------------------------------------------------

  schedule(faults: readonly Fault[]): void {
    for (const fault of faults) this.later(fault.at - this.now, () => this.#strike(fault));
  }

  /** Ends every fault: hosts run, links are whole, disks write. */
  heal(): void {
    this.trace.say('-- everything heals');
    this.network.heal();
    for (const host of this.left) {
      host.full = false;
      host.unreadable = false;
      host.syncMs = this.settings.syncMs;
      if (host.failed) host.crash();
      if (!host.up) host.start();
    }
  }

  #strike(fault: Fault): void {
    this.trace.say(`-- ${describeFault(fault)}`);
    const until = (undo: () => void): void => this.later(fault.forMs, undo);
    switch (fault.kind) {
      case 'crash': {
        const host = this.hosts[fault.host]!;
        host.crash();
        return until(() => host.up || host.lost || host.start());
      }
      case 'disk-error': {
        const host = this.hosts[fault.host]!;
        host.failDisk();
        // A person looks at it and starts the process again.
        return until(() => {
          if (!host.failed || host.lost) return;
          host.crash();
          host.start();
        });
      }
      case 'read-error':
        this.hosts[fault.host]!.failReads();
        return until(() => (this.hosts[fault.host]!.unreadable = false));
      case 'pause':
        this.hosts[fault.host]!.pausedUntil = this.now + fault.forMs;
        return;
      case 'partition': {
        const links = this.hosts
          .flatMap(({ index: from }) => this.hosts.map(({ index: to }) => [from, to] as const))
          .filter(([from, to]) => fault.side.includes(from) && !fault.side.includes(to));
        const set = (count: 1 | -1): void => {
          for (const [from, to] of links) {
            this.network.cut(from, to, count);
            if (fault.both) this.network.cut(to, from, count);
          }
        };
        set(1);
        return until(() => set(-1));
      }
      case 'cut':
        this.network.cut(fault.from, fault.to, 1);
        return until(() => this.network.cut(fault.from, fault.to, -1));
      case 'slow-link':
        this.network.slow(fault.host, fault.delayMs);
        return until(() => this.network.slow(fault.host, -fault.delayMs));
      case 'slow-disk':
        this.hosts[fault.host]!.syncMs = fault.syncMs;
        return until(() => (this.hosts[fault.host]!.syncMs = this.settings.syncMs));
      case 'disk-full':
        this.hosts[fault.host]!.full = true;
        return until(() => (this.hosts[fault.host]!.full = false));
      case 'bit-rot': {
        const host = this.hosts[fault.host]!;
        const block = this.blocks[fault.block]!;
        if (bearsRot(this, host, block)) host.rot(block);
      }
    }
  }
}
