import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Address, mutableAddress } from '../../src/block/index.ts';
import type { SalvageEntry } from '../../src/repair/index.ts';
import { SeededRandom } from '../simulation/random.ts';
import { TestCluster } from './test-cluster.ts';

const hosts = ['a', 'b', 'c', 'd', 'e'];
const blocks = 8;

/** What a client was told of a block: the version that it read or wrote, 0: nothing is there. */
interface Told {
  readonly address: Address;
  readonly start: number;
  readonly end: number;
  readonly version: number;
  readonly value: string;
}

/** Clients at whatever hosts are up, from now on: each is told a version and a value, or an error, of which nothing is held against anybody. */
class Clients {
  readonly told: Told[] = [];
  readonly #cluster: TestCluster;
  readonly #addresses: readonly Address[];
  readonly #random: SeededRandom;
  readonly #running: Promise<void>[];
  #stopped = false;

  constructor(cluster: TestCluster, addresses: readonly Address[], random: SeededRandom, count: number) {
    this.#cluster = cluster;
    this.#addresses = addresses;
    this.#random = random;
    this.#running = Array.from({ length: count }, () => this.#run());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  async #run(): Promise<void> {
    for (let turn = 0; !this.#stopped; turn++) {
      const { name, store } = this.#random.pick([...this.#cluster.hosts.values()]);
      const address = this.#random.pick(this.#addresses);
      const value = `${name} ${turn} ${this.#random.unit()}`;
      const start = performance.now();
      const reads = this.#random.chance(0.6);
      const call = { deadlineMs: this.#random.pick([50, 300, 1000]) };
      const found = await (
        reads
          ? store
              .fetch(address, call)
              .then((block) =>
                block === undefined ? { version: 0, value: '' } : { version: block.version, value: Buffer.from(block.payload).toString() },
              )
          : store
              .commit([{ update: [{ address, expect: 'any', payload: Buffer.from(value) }] }], call)
              .then((result) => (result.done ? { version: result.versions[0]![0]!, value } : undefined))
      ).catch(() => undefined);
      // What a host that was killed goes on to say to itself here, nobody would have heard.
      if (found !== undefined && this.#cluster.hosts.get(name)?.store === store) this.told.push({ address, start, end: performance.now(), ...found });
      await new Promise((resolve) => setTimeout(resolve, this.#random.between(0, 5)));
    }
  }
}

/** Nobody who begins after another was told something is told less, and a version has one value. */
function judge(told: readonly Told[]): void {
  for (const address of new Set(told.map((one) => one.address))) {
    const here = told.filter((one) => one.address === address).toSorted((one, other) => one.end - other.end);
    const values = new Map<number, string>();
    for (const one of here) {
      assert.equal(values.get(one.version) ?? one.value, one.value, `${address}: version ${one.version} has two values`);
      values.set(one.version, one.value);
    }
    for (const one of here.toSorted((x, y) => x.start - y.start)) {
      const before = here.filter(({ end }) => end < one.start);
      const most = before.reduce((most, { version }) => Math.max(most, version), 0);
      assert.ok(one.version >= most, `${address}: version ${one.version} was told after version ${most}`);
    }
  }
}

/**
 * The majority of some blocks is lost at once, under clients that go on. Salvage is forced on several hosts at the same time, and one of those is killed in the middle and begins again. From the loss on
 * nobody may be told less than the newest that a host that is left holds, nor that there is nothing.
 */
async function story(seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const replicas = random.pick([3, 5]);
  await using cluster = await TestCluster.of(hosts, replicas);
  const addresses = Array.from({ length: blocks }, () => mutableAddress());
  for (const address of addresses) await cluster.host('a').store.commit([{ update: [{ address, expect: 'absent', payload: Buffer.from('first') }] }]);
  await cluster.settled(addresses);
  const clients = new Clients(cluster, addresses, random, 4);
  await new Promise((resolve) => setTimeout(resolve, random.between(20, 300)));
  const lost = hosts.toSorted(() => random.unit() - 0.5).slice(0, replicas === 3 ? 2 : 3);
  for (const name of lost) await cluster.crash(name);
  const lostAt = performance.now();
  const left = new Map<Address, number>();
  for (const { store } of cluster.hosts.values())
    for (const address of addresses) {
      const accepted = (await store.housekeeping.inspect(address))?.accepted ?? null;
      if (accepted !== null && !accepted.pointer) left.set(address, Math.max(left.get(address) ?? 0, accepted.record.version));
    }
  const survivors = hosts.filter((name) => !lost.includes(name));
  const appendAt = random.below(4);
  for (const name of lost) cluster.views.countOut(name);
  const done: SalvageEntry[] = [];
  const salvage = async (name: string): Promise<void> => {
    const host = cluster.hosts.get(name);
    const report = await host?.repair.salvage({ force: true, lost }, async () => {}).catch(() => undefined);
    for (const entry of report?.blocks ?? []) done.push(entry);
  };
  for (let round = 0; round < 4; round++) {
    if (round === appendAt) cluster.views.append(survivors);
    const salvages = survivors.map((name) => salvage(name));
    if (random.chance(0.5)) {
      const name = random.pick(survivors);
      await new Promise((resolve) => setTimeout(resolve, random.between(0, 60)));
      await cluster.crash(name);
      await cluster.open(name);
    }
    await Promise.all(salvages);
  }
  if (cluster.views.list.at(-1)!.roster.size !== survivors.length) cluster.views.append(survivors);
  await new Promise((resolve) => setTimeout(resolve, 200));
  await clients.stop();
  await cluster.settled(addresses.filter((address) => left.has(address)));
  const after = clients.told.filter(({ start }) => start > lostAt);
  for (const { address, version } of after)
    assert.ok(version >= (left.get(address) ?? 0), `${address}: version ${version}, where a host that is left has version ${left.get(address)}`);
  judge(after);
  for (const address of left.keys()) assert.ok((await cluster.host(survivors[0]!).store.fetch(address)) !== undefined);
}

const seeds = process.env['SEEDS']?.split(',').map(Number) ?? [1, Date.now() % 1e6];
for (const seed of seeds)
  test(`a majority is lost under clients, and salvaged by several at once: story ${seed}`, { timeout: 300_000 }, () => story(seed));
