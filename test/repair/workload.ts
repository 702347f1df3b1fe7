import assert from 'node:assert/strict';

import { codeOf } from '../../src/base/index.ts';
import { type Address, immutableAddress, mutableAddress } from '../../src/block/index.ts';
import type { Store } from '../../src/store/index.ts';
import { checkLinearizable, type Operation, type Outcome } from '../simulation/linearizability.ts';
import type { TestCluster } from './test-cluster.ts';

const text = (payload: Uint8Array): string => Buffer.from(payload).toString();

/** Blocks that were written and what was acknowledged of them, by writers that run while the cluster changes. */
export class Workload {
  readonly registers: readonly Address[];
  readonly copies: Address[] = [];
  readonly history: Operation[] = [];
  readonly #cluster: TestCluster;
  #stopped = false;
  #writers: Promise<void>[] = [];
  #operations = 0;

  constructor(cluster: TestCluster, registers = 8) {
    this.#cluster = cluster;
    this.registers = Array.from({ length: registers }, () => mutableAddress());
  }

  /** Writes every register once, and some immutable blocks. */
  async fill(copies = 8): Promise<void> {
    const [host] = this.#cluster.hosts.values();
    for (const address of this.registers) await this.#write(host!.store, address);
    for (let count = 0; count < copies; count++) await this.put(host!.store);
  }

  async put(store: Store): Promise<void> {
    const sealed = Buffer.from(`block ${this.copies.length} ${mutableAddress()}`);
    const block = { address: immutableAddress(sealed), sealed };
    await store.commit([{ put: [block] }]).then(
      () => this.copies.push(block.address),
      () => {},
    );
  }

  /** Writers and readers on hosts that are up, until {@link stop}. */
  start(count = 3): void {
    this.#writers = Array.from({ length: count }, async (_, index) => {
      for (let turn = index; !this.#stopped; turn++) {
        const hosts = [...this.#cluster.hosts.values()];
        const host = hosts[turn % hosts.length]!;
        const address = this.registers[Math.floor(Math.random() * this.registers.length)]!;
        if (turn % 3 === 0) await this.#read(host.store, address);
        else await this.#write(host.store, address);
        if (turn % 7 === 0) await this.put(host.store);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#writers);
  }

  /** Nothing acknowledged is lost and no read went back. */
  async verify(): Promise<void> {
    const [host] = this.#cluster.hosts.values();
    for (const address of this.registers) await this.#read(host!.store, address, 20_000);
    const verdict = checkLinearizable(this.history);
    assert.equal(verdict.status, 'linearizable', JSON.stringify(verdict));
    for (const address of this.copies) assert.equal(immutableAddress(await host!.store.get(address)), address);
  }

  async #read(store: Store, address: Address, deadlineMs = 3000): Promise<void> {
    await this.#record(store, address, { kind: 'read' }, async () => {
      const found = await store.fetch(address, { deadlineMs });
      return found === undefined ? { status: 'value', value: null } : { status: 'value', version: found.version, value: text(found.payload) };
    });
  }

  async #write(store: Store, address: Address): Promise<void> {
    const value = `value ${this.#operations}`;
    await this.#record(store, address, { kind: 'write', expect: 'any', value }, async () => {
      const result = await store.commit([{ update: [{ address, expect: 'any', payload: Buffer.from(value) }] }], { deadlineMs: 3000 });
      if (result.done) return { status: 'committed', version: result.versions[0]![0]! };
      const [outcome] = result.outcomes;
      return outcome!.status === 'failed' ? { status: 'failed' } : { status: 'unknown' };
    });
  }

  async #record(store: Store, register: Address, action: Operation['action'], run: () => Promise<Outcome>): Promise<void> {
    const id = this.#operations++;
    const start = performance.now();
    let outcome: Outcome;
    try {
      outcome = await run();
    } catch (error) {
      outcome = action.kind === 'read' || codeOf(error) === 'unavailable' ? { status: 'failed' } : { status: 'unknown' };
    }
    // What a host that was killed goes on to say to itself here, nobody would have heard.
    const lives = this.#cluster.hosts.values().some((host) => host.store === store);
    if (!lives && outcome.status !== 'failed') outcome = { status: action.kind === 'read' ? 'failed' : 'unknown' };
    this.history.push({ id, register, start, end: outcome.status === 'unknown' ? Infinity : performance.now(), action, outcome });
  }
}
