import assert from 'node:assert/strict';
import { type Clock, silentLogger, systemClock } from '../../src/base/index.ts';
import { kindOf } from '../../src/block/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { Membership, type Neighbour } from '../../src/membership/index.ts';
import { MemoryNetwork, type MemoryTransport, type PeerId } from '../../src/overlay/index.ts';
import { place } from '../../src/placement/index.ts';
import { Store } from '../../src/store/index.ts';
import { ViewPlacement } from '../../src/node/members/view-placement.ts';

type Record = Omit<Neighbour, 'alive'>;

export interface ClusterOptions {
  readonly replicas?: number;
  readonly evictionDelayMs?: number;
  readonly tickMs?: number;
  readonly clockOf?: (self: PeerId) => Clock;
}

/** A cluster's members as the overlay's signed records would tell of them; known to all hosts at once. */
export class Hosts implements AsyncDisposable {
  readonly network = new MemoryNetwork();
  readonly records = new Map<PeerId, Record>();
  readonly revoked = new Set<PeerId>();
  /** Hosts without the right to store. */
  readonly readers = new Set<PeerId>();
  readonly hosts = new Map<PeerId, Host>();
  readonly options: Required<ClusterOptions>;
  clusterId: string | undefined;

  constructor(options: ClusterOptions = {}) {
    this.options = { replicas: 3, evictionDelayMs: 600_000, tickMs: 25, clockOf: () => systemClock, ...options };
  }

  /** Starts a host, for the first time or again with the disk that it has. */
  async start(self: PeerId, change: Partial<Record> = {}): Promise<Host> {
    const disk = this.hosts.get(self)?.disk ?? new MemoryDisk();
    this.records.set(self, { peer: self, name: self, zone: 'z', capacity: 1_000_000, state: 'up', ...change });
    const host = await Host.open(this, self, disk);
    this.hosts.set(self, host);
    if (this.clusterId !== undefined) await host.membership.enter();
    return host;
  }

  /** The first host of a cluster. */
  async found(self: PeerId): Promise<Host> {
    const host = await this.start(self);
    await host.membership.intendToFound();
    this.clusterId = 'cluster';
    await host.membership.found();
    return host;
  }

  /** A cluster of so many hosts, all in one view. */
  static async of(count: number, options: ClusterOptions = {}): Promise<{ readonly cluster: Hosts; readonly hosts: Host[] }> {
    const cluster = new Hosts(options);
    const hosts = [await cluster.found('h0')];
    for (let index = 1; index < count; index++) hosts.push(await cluster.start(`h${index}`));
    await cluster.settled(count);
    return { cluster, hosts };
  }

  /** Cuts hosts off from others, until the network heals; as the failure detector would, connections that are cut are dropped. */
  separate(side: readonly PeerId[], others: readonly PeerId[]): void {
    this.network.partition(side, others);
    for (const one of side) for (const other of others) this.hosts.get(one)?.transport.drop(other, 'cut');
  }

  get running(): Host[] {
    return [...this.hosts.values()].filter(({ closed }) => !closed);
  }

  /** Waits until all running hosts know one view, of so many hosts that store. */
  async settled(size: number, timeoutMs = 20_000): Promise<void> {
    await until(
      () =>
        this.running.every(({ membership }) => {
          const { views, standing } = membership.status();
          return views.length === 1 && standing !== 'outcast' && membership.inForce()[0]!.roster.size === size;
        }),
      timeoutMs,
      () => JSON.stringify(this.running.map(({ self, membership }) => [self, membership.status()])),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.running.map((host) => host.stop()));
  }
}

/** One host of the cluster: its views, its store, and a plain mover of registers in the place of src/repair. */
export class Host {
  readonly self: PeerId;
  readonly disk: MemoryDisk;
  readonly transport: MemoryTransport;
  readonly membership: Membership;
  readonly store: Store;
  /** Set to false: it resolves nothing, as if it had a great deal to move. */
  moves = true;
  closed = false;
  #moving = false;

  private constructor(self: PeerId, disk: MemoryDisk, transport: MemoryTransport, membership: Membership, store: Store) {
    this.self = self;
    this.disk = disk;
    this.transport = transport;
    this.membership = membership;
    this.store = store;
    membership.onChange(() => void this.#move());
  }

  static async open(cluster: Hosts, self: PeerId, disk: MemoryDisk): Promise<Host> {
    const transport = cluster.network.open(self);
    await transport.start();
    const incarnation = Number(Buffer.from((await disk.readMeta('incarnation')) ?? Buffer.from('0')).toString()) + 1;
    await disk.write([{ type: 'put-meta', key: 'incarnation', bytes: Buffer.from(String(incarnation)) }]);
    const { replicas, evictionDelayMs, tickMs, clockOf } = cluster.options;
    const membership = await Membership.open({
      disk,
      neighbourhood: {
        self,
        transport,
        get clusterId() {
          return cluster.clusterId;
        },
        neighbours: () =>
          [...cluster.records.values()].map((record) => ({ ...record, alive: record.peer === self || transport.isConnected(record.peer) })),
        mayStore: (peer) => !cluster.readers.has(peer),
        revoked: () => cluster.revoked,
        wentBack: (peer, missing) => assert.fail(`${peer} is said to have lost ${missing} records`),
      },
      own: { zone: 'z', capacity: 1_000_000 },
      replicas,
      evictionDelayMs,
      clock: clockOf(self),
      logger: silentLogger,
      tickMs,
    });
    const placement = new ViewPlacement({ self, views: membership, check: () => {} });
    const store = await Store.open({ self, incarnation, disk, logger: silentLogger, cluster: { transport, placement } });
    membership.start(store);
    return new Host(self, disk, transport, membership, store);
  }

  async stop(): Promise<void> {
    this.closed = true;
    await this.membership[Symbol.asyncDispose]();
    await this.transport[Symbol.asyncDispose]();
  }

  async #move(): Promise<void> {
    if (this.#moving) return;
    this.#moving = true;
    try {
      for (;;) {
        const retiring = this.membership.retiring();
        if (retiring === undefined || !this.moves || this.closed) return;
        const entries = (await this.disk.list(undefined, 1000)).filter(({ address }) => kindOf(address) !== 'immutable');
        let done = true;
        for (const { address } of entries) {
          const resolution = await this.store.housekeeping.resolve(address, { deadlineMs: 2000 });
          if (resolution.status === 'unlisted') await this.store.housekeeping.settle(address, [], [this.self]);
          if (resolution.status !== 'resolved') {
            done = (await this.store.housekeeping.inspect(address))?.lost === true && done;
            continue;
          }
          const record = resolution.outcome.accepted?.record;
          const wanted = place(address, retiring.to.roster, retiring.to.replicas);
          if (
            record === undefined ||
            (record.previous.length === 0 && wanted.every((peer) => record.replicas.includes(peer)) && wanted.length === record.replicas.length)
          )
            continue;
          const moved = await this.store.housekeeping.change(address, record.epoch, wanted, { deadlineMs: 2000 });
          if (moved.status !== 'committed') done = false;
        }
        if (done) {
          await this.membership.resolved(retiring.from.at(-1)!.number);
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    } catch {
      // Tried again at the next change.
    } finally {
      this.#moving = false;
    }
  }
}

export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 20_000, describe: () => string = () => ''): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`it did not come to pass in ${timeoutMs} ms: ${describe()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
