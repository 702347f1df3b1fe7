import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Clock, codeOf, silentLogger, LeaseClock } from '../../src/base/index.ts';
import { type Address, mutableAddress } from '../../src/block/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { MemoryNetwork, type MemoryTransport } from '../../src/overlay/index.ts';
import { Store } from '../../src/store/index.ts';
import { checkLinearizable, type Operation, type Outcome } from '../simulation/linearizability.ts';

const names = ['a', 'b', 'c'];
const placement = { alone: false, replicas: 3, rank: () => names, views: () => [{ number: 0, replicas: names }] };
const termMs = 400;
const bytes = (text: string): Uint8Array => Buffer.from(text);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Runs at another rate than the true one, and began at another time. */
function clockOf(rate: number): Clock {
  const origin = performance.now();
  return { monotonicMs: () => 1e6 * rate + (performance.now() - origin) * rate, wallMs: () => 1e9 + (performance.now() - origin) * rate };
}

/** A host that can be restarted. */
class Host {
  readonly name: string;
  readonly #network: MemoryNetwork;
  readonly #disk = new MemoryDisk();
  readonly #clock: Clock;
  #incarnation = 0;
  transport!: MemoryTransport;
  store!: Store;

  readonly #termMs: number;

  constructor(network: MemoryNetwork, name: string, rate = 1, ms = termMs) {
    this.#termMs = ms;
    this.#network = network;
    this.name = name;
    this.#clock = clockOf(rate);
  }

  async start(): Promise<void> {
    this.transport = this.#network.open(this.name);
    const options = { self: this.name, incarnation: ++this.#incarnation, disk: this.#disk, logger: silentLogger, clock: this.#clock };
    this.store = await Store.open({ ...options, leaseTermMs: this.#termMs, cluster: { transport: this.transport, placement } });
  }

  async restart(): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    this.#network.crash(this.name);
    await this.start();
  }

  async write(address: Address, value: string, deadlineMs = 5000): Promise<number> {
    const result = await this.store.commit([{ update: [{ address, expect: 'any', payload: bytes(value) }] }], { deadlineMs });
    assert.ok(result.done, JSON.stringify(result));
    return result.versions[0]![0]!;
  }

  async read(address: Address, deadlineMs = 5000): Promise<string | undefined> {
    const block = await this.store.fetch(address, { deadlineMs });
    return block === undefined ? undefined : Buffer.from(block.payload).toString();
  }

  /** Reads until it needs nobody for it. */
  async readUntilLeased(address: Address): Promise<void> {
    for (let turn = 0; turn < 200; turn++) {
      const { operations } = this.store.meter;
      await this.read(address);
      if (this.store.meter.operations === operations) return;
      await sleep(5);
    }
    assert.fail('no lease was granted');
  }
}

async function three(rates: readonly number[] = [1, 1, 1], ms = termMs): Promise<{ network: MemoryNetwork; hosts: [Host, Host, Host] }> {
  const network = new MemoryNetwork();
  const hosts = names.map((name, index) => new Host(network, name, rates[index], ms)) as [Host, Host, Host];
  for (const host of hosts) await host.start();
  return { network, hosts };
}

test('a block that is read again and again is read from memory, and a write elsewhere is seen by the very next read', async () => {
  const { hosts } = await three();
  const [a, b] = hosts;
  const address = mutableAddress();
  await b.write(address, 'one');
  await a.readUntilLeased(address);
  const { operations } = a.store.meter;
  for (let turn = 0; turn < 1000; turn++) assert.equal(await a.read(address), 'one');
  assert.equal(a.store.meter.operations, operations);
  for (let turn = 0; turn < 20; turn++) {
    await b.write(address, `two ${turn}`);
    assert.equal(await a.read(address), `two ${turn}`);
  }
});

test('a read that is to hold up no writer brings no lease', async () => {
  const { hosts } = await three();
  const [a, b] = hosts;
  const address = mutableAddress();
  await b.write(address, 'one');
  for (let turn = 0; turn < 50; turn++) {
    const { operations } = a.store.meter;
    assert.equal((await a.store.fetch(address, { unleased: true }))?.version, 1);
    assert.equal(a.store.meter.operations, operations + 1);
  }
});

test('what a host writes itself it reads from memory afterwards', async () => {
  const { hosts } = await three();
  const [a] = hosts;
  const address = mutableAddress();
  await a.write(address, 'one');
  await a.readUntilLeased(address);
  await a.write(address, 'two');
  const { operations } = a.store.meter;
  assert.equal(await a.read(address), 'two');
  assert.equal(a.store.meter.operations, operations);
});

test('two hosts hold a lease on one block at once, and a third one’s write ends both', async () => {
  const { hosts } = await three();
  const [a, b, c] = hosts;
  const address = mutableAddress();
  await c.write(address, 'one');
  await a.readUntilLeased(address);
  await b.readUntilLeased(address);
  await c.write(address, 'two');
  assert.deepEqual(await Promise.all([a.read(address), b.read(address)]), ['two', 'two']);
});

test('a holder that is cut off holds writers up for a term at the most, and then knows that it must ask', async () => {
  const { network, hosts } = await three();
  const [a, b] = hosts;
  const address = mutableAddress();
  await b.write(address, 'one');
  await a.readUntilLeased(address);
  network.partition(['a'], ['b', 'c']);
  // It reads what was before as long as nobody could have written, and not longer.
  assert.equal(await a.read(address, 100), 'one');
  await b.write(address, 'two', 5 * termMs);
  await assert.rejects(a.read(address, 100), { code: 'unavailable' });
  network.heal();
  assert.equal(await a.read(address), 'two');
});

test('an acceptor that was restarted lets nobody write until leases of before are over', async () => {
  const { hosts } = await three();
  const [a, b, c] = hosts;
  const address = mutableAddress();
  await b.write(address, 'one');
  await a.readUntilLeased(address);
  // Both acceptors other than the holder's own forget what they promised.
  await Promise.all([b.restart(), c.restart()]);
  const written = b.write(address, 'two', 10 * termMs);
  let done = false;
  void written.then(() => (done = true));
  for (let turn = 0; turn < 20 && !done; turn++) {
    const before = done;
    const value = await a.read(address, 10 * termMs);
    // A write that had ended before the read began is seen by it.
    if (before) assert.equal(value, 'two');
    await sleep(10);
  }
  await written;
  assert.equal(await a.read(address, 10 * termMs), 'two');
});

test('acceptors that were restarted let others write as soon as whoever holds leases of before was asked', async () => {
  const long = 60_000;
  const { hosts } = await three([1, 1, 1], long);
  const [a, b, c] = hosts;
  const address = mutableAddress();
  await b.write(address, 'one');
  await a.readUntilLeased(address);
  await Promise.all([b.restart(), c.restart()]);
  // The term is not waited for.
  await b.write(address, 'two', long / 2);
  assert.equal(await a.read(address), 'two');
});

test('acceptors that were restarted let others write after the term where a host is gone that may hold leases of before', async () => {
  const long = 3000;
  const { network, hosts } = await three([1, 1, 1], long);
  const [a, b, c] = hosts;
  const address = mutableAddress();
  await b.write(address, 'one');
  await a.readUntilLeased(address);
  const began = performance.now();
  network.crash('a');
  await Promise.all([b.restart(), c.restart()]);
  await b.write(address, 'two', 20 * long);
  assert.ok(performance.now() - began > long / 2, 'a may have it still');
});

test('the clock of leases goes on where the machine slept', () => {
  let [monotonic, wall] = [1000, 5000];
  const clock = new LeaseClock({ monotonicMs: () => monotonic, wallMs: () => wall });
  const start = clock.now();
  [monotonic, wall] = [1010, 5010];
  assert.equal(clock.now() - start, 10);
  [monotonic, wall] = [1020, 65_010];
  assert.equal(clock.now() - start, 60_010, 'the wall clock went on while the monotonic one stood still');
  [monotonic, wall] = [1050, 1];
  assert.equal(clock.now() - start, 60_040, 'a wall clock that is set back is not followed');
});

test('histories stay linearizable while hosts that hold leases are cut off, frozen and restarted, with clocks at the edge of what is allowed', async () => {
  const { network, hosts } = await three([0.98, 1, 1.02]);
  const addresses = Array.from({ length: 12 }, () => mutableAddress());
  const history: Operation[] = [];
  const end = performance.now() + 6000;
  let ids = 0;
  let fromMemory = 0;
  const client = async (host: Host, writer: boolean): Promise<void> => {
    for (let turn = 0; performance.now() < end; turn++) {
      const id = ids++;
      const address = addresses[(turn >> 6) % addresses.length]!;
      const register = address;
      const start = performance.now();
      if (writer && turn % 40 === 0) {
        const value = `w${id}`;
        const result = await host.store.commit([{ update: [{ address, expect: 'any', payload: bytes(value) }] }], { deadlineMs: 1000 });
        const status = result.done ? 'committed' : result.outcomes[0]!.status;
        const action = { kind: 'write', expect: 'any', value } as const;
        const outcome: Outcome = status === 'committed' ? { status } : status === 'failed' ? { status } : { status: 'unknown' };
        history.push({ id, register, start, end: outcome.status === 'unknown' ? Infinity : performance.now(), action, outcome });
      } else {
        try {
          const { operations } = host.store.meter;
          const block = await host.store.fetch(address, { deadlineMs: 1000 });
          if (host.store.meter.operations === operations) fromMemory++;
          const value = block === undefined ? null : Buffer.from(block.payload).toString();
          const outcome: Outcome = block === undefined ? { status: 'value', value } : { status: 'value', value, version: block.version };
          history.push({ id, register, start, end: performance.now(), action: { kind: 'read' }, outcome });
        } catch (error) {
          assert.ok(['unavailable', 'unknown-outcome'].includes(codeOf(error)), String(error));
        }
      }
      await sleep(turn % 3);
    }
  };
  const trouble = async (): Promise<void> => {
    for (let turn = 0; performance.now() < end - 1000; turn++) {
      const host = hosts[turn % 3]!;
      const others = names.filter((name) => name !== host.name);
      await sleep(500);
      const kind = turn % 4;
      if (kind === 0) network.partition([host.name], others);
      else if (kind === 1) network.cut(others[0]!, host.name);
      else if (kind === 2) network.freeze(host.name);
      else await host.restart();
      await sleep(termMs * 1.2);
      network.thaw(host.name);
      network.heal();
    }
  };
  await Promise.all([...hosts.flatMap((host) => [client(host, true), client(host, false), client(host, false)]), trouble()]);
  const verdict = checkLinearizable(history);
  assert.equal(verdict.status, 'linearizable', JSON.stringify(verdict).slice(0, 3000));
  assert.ok(fromMemory > 100, `${fromMemory} of ${history.length} operations were answered from memory`);
});
