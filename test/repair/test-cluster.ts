import type { RosterView, Views } from '../../src/membership/index.ts';
import { silentLogger } from '../../src/base/index.ts';
import { type Address, kindOf } from '../../src/block/index.ts';
import type { AcceptorState } from '../../src/consensus/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { MemoryNetwork, type MemoryTransport } from '../../src/overlay/index.ts';
import { type PeerId, place, Roster } from '../../src/placement/index.ts';
import { Repair, type RepairSettings } from '../../src/repair/index.ts';
import { Store } from '../../src/store/index.ts';

/** What the membership layer agrees on, known to all hosts at once: numbered views, whom they leave out, who has done his part. */
export class SharedViews {
  readonly replicas: number;
  list: RosterView[] = [];
  readonly countedOut = new Set<PeerId>();
  readonly #listeners = new Set<() => void>();
  readonly #done = new Set<PeerId>();
  #next = 1;
  /** Views up to this one retire. */
  #retiring = 0;

  constructor(replicas: number) {
    this.replicas = replicas;
  }

  /** A new roster: all of these hosts, each as large as the others. */
  append(members: readonly PeerId[]): void {
    this.list = [
      ...this.list,
      { number: this.#next++, roster: Roster.of(members.map((peer) => ({ peer, zone: '', capacity: 1 }))), replicas: this.replicas },
    ];
    this.#beginToRetire();
    this.#tell();
  }

  /** The host's states count as lost from now on: it is not waited for. */
  countOut(peer: PeerId): void {
    this.countedOut.add(peer);
    this.#retire();
    this.#tell();
  }

  resolved(peer: PeerId, through: number): void {
    if (this.#retiring === 0 || this.#retiring !== through) return;
    this.#done.add(peer);
    this.#retire();
  }

  of(peer: PeerId): Views {
    return {
      whenKnown: () => Promise.resolve(),
      inForce: () => this.list,
      retiring: () => this.#retirement(),
      resolved: async (through) => this.resolved(peer, through),
      countedOut: () => this.countedOut,
      onChange: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
    };
  }

  #retirement(): ReturnType<Views['retiring']> {
    const from = this.list.filter(({ number }) => number <= this.#retiring);
    return from.length === 0 ? undefined : { from, to: this.list[from.length]! };
  }

  /** All but the newest, at once. */
  #beginToRetire(): void {
    if (this.#retiring === 0) this.#retiring = this.list.at(-2)?.number ?? 0;
  }

  /** The views that retire count no longer once every storing host that counts has resolved all that it holds. */
  #retire(): void {
    const waiting = new Set(this.list.flatMap(({ roster }) => roster.eligible.map(({ peer }) => peer)));
    for (const peer of [...this.#done, ...this.countedOut]) waiting.delete(peer);
    if (this.#retiring === 0 || waiting.size > 0) return;
    this.list = this.list.filter(({ number }) => number > this.#retiring);
    this.#retiring = 0;
    this.#done.clear();
    this.#beginToRetire();
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** Salvage waits for as long. */
const leaseTermMs = 500;

export interface TestHost {
  readonly name: PeerId;
  readonly disk: MemoryDisk;
  readonly transport: MemoryTransport;
  readonly store: Store;
  readonly repair: Repair;
}

/** Stores with repair over a network in memory. */
export class TestCluster implements AsyncDisposable {
  readonly network = new MemoryNetwork();
  readonly views: SharedViews;
  readonly hosts = new Map<PeerId, TestHost>();
  readonly replicas: number;
  readonly #settings: Partial<RepairSettings>;
  readonly #disks = new Map<PeerId, MemoryDisk>();
  #incarnation = 0;

  constructor(replicas = 3, settings: Partial<RepairSettings> = {}) {
    this.replicas = replicas;
    this.views = new SharedViews(replicas);
    this.#settings = { checkIntervalMs: 1000, tombstoneMs: 200, ...settings };
  }

  /** A cluster whose first view has these hosts, all open. */
  static async of(names: readonly PeerId[], replicas = 3, settings: Partial<RepairSettings> = {}): Promise<TestCluster> {
    const cluster = new TestCluster(replicas, settings);
    cluster.views.append(names);
    for (const name of names) await cluster.open(name);
    return cluster;
  }

  /** Starts a host: on the disk that it had, if it was there before. */
  async open(name: PeerId, disk: MemoryDisk = this.#disks.get(name) ?? new MemoryDisk()): Promise<TestHost> {
    const transport = this.network.open(name);
    this.#disks.set(name, disk);
    const { views, replicas } = this;
    const placement = {
      alone: false,
      replicas,
      rank: (address: Address) => [...new Set(views.list.toReversed().flatMap(({ roster }) => place(address, roster, roster.size)))],
      views: (address: Address) => views.list.map(({ number, roster }) => ({ number, replicas: place(address, roster, replicas) })),
    };
    const store = await Store.open({
      self: name,
      incarnation: ++this.#incarnation,
      disk,
      logger: silentLogger,
      leaseTermMs,
      cluster: { transport, placement },
    });
    const repair = Repair.start({ store, transport, views: views.of(name), settings: this.#settings, logger: silentLogger });
    const host = { name, disk, transport, store, repair };
    this.hosts.set(name, host);
    return host;
  }

  /** kill -9. */
  async crash(name: PeerId): Promise<void> {
    const host = this.hosts.get(name)!;
    this.hosts.delete(name);
    this.network.crash(name);
    await host.repair[Symbol.asyncDispose]();
  }

  /** SIGSTOP, and the others notice it, as their failure detectors do. The host is not among {@link hosts} until {@link thaw}. */
  freeze(name: PeerId): TestHost {
    const host = this.host(name);
    this.hosts.delete(name);
    this.network.freeze(name);
    for (const { transport } of this.hosts.values()) transport.drop(name, 'it does not answer');
    return host;
  }

  thaw(host: TestHost): void {
    this.network.thaw(host.name);
    this.hosts.set(host.name, host);
  }

  host(name: PeerId): TestHost {
    return this.hosts.get(name)!;
  }

  /** The disk of a host that may be down. */
  disk(name: PeerId): MemoryDisk {
    return this.#disks.get(name)!;
  }

  /** Hosts whose disk has something under the address. */
  async holders(address: Address): Promise<PeerId[]> {
    const found: PeerId[] = [];
    for (const [name, disk] of this.#disks) if (await disk.has(address)) found.push(name);
    return found.sort();
  }

  /** Whether the block is where the newest view has it and nowhere else: of a register all hosts at the same record. */
  async isHome(address: Address): Promise<boolean> {
    const home = place(address, this.views.list.at(-1)!.roster, this.replicas).toSorted();
    if (kindOf(address) === 'immutable') return (await this.holders(address)).filter((name) => this.hosts.has(name)).join() === home.join();
    const states = new Map<PeerId, AcceptorState>();
    for (const { name, store } of this.hosts.values()) {
      const state = await store.housekeeping.inspect(address);
      // A late prepare may leave a bare promise anywhere.
      if (state !== undefined && (state.lost || state.accepted !== null)) states.set(name, state);
    }
    if ([...states.keys()].sort().join() !== home.join()) return false;
    const accepted = [...states.values()].map((state) => (state.lost ? null : state.accepted));
    const record = accepted[0]?.record;
    const same = new Set(accepted.map((one) => JSON.stringify([one?.ballot, one?.pointer]))).size === 1;
    return same && record !== undefined && record.unsettled.length === 0 && record.previous.length === 0;
  }

  /** Resolves when one view is in force and all blocks are where they belong. */
  async settled(addresses: readonly Address[], timeoutMs = 60_000): Promise<void> {
    await eventually(async () => this.views.list.length === 1, timeoutMs, 'a view was not retired');
    for (const address of addresses) {
      await eventually(
        async () => {
          if (await this.isHome(address)) return true;
          for (const { repair } of this.hosts.values()) repair.check();
          return false;
        },
        timeoutMs,
        `block ${address} is not where it belongs`,
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.hosts.keys()) await this.crash(name);
  }
}

export async function eventually(check: () => Promise<boolean>, timeoutMs: number, failure: string): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(failure);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
