/** Three real daemons on this machine, and programs that use them through the client as any program would: one connection a daemon. */
import { randomFillSync } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { type Blocks, committed, connect } from '../../src/api/index.ts';
import type { Address } from '../../src/block/index.ts';
import { ClusterProcesses } from '../../test/integration/cluster-processes.ts';
import { drive, type Load, type Tally } from './workload.ts';

/** Hundredths of a second, as /proc counts. */
const ticksPerSecond = 100;

export class Daemons implements AsyncDisposable {
  readonly #cluster: ClusterProcesses;
  readonly #blocks: readonly Blocks[];
  readonly #addresses: Address[][] = [];
  readonly #immutable: Address[] = [];
  readonly #close: () => void;

  private constructor(cluster: ClusterProcesses) {
    this.#cluster = cluster;
    const clients = cluster.hosts.map((host) => connect(host.controlSocket));
    this.#blocks = clients.map(({ blocks }) => blocks);
    this.#close = () => clients.forEach((client) => client.close());
  }

  static async start(hosts: number, clients: number, keysAClient: number, bytes: number, large: { count: number; bytes: number }): Promise<Daemons> {
    const daemons = new Daemons(await ClusterProcesses.start(hosts));
    const value = randomFillSync(new Uint8Array(bytes));
    for (let client = 0; client < clients; client++) {
      const blocks = daemons.#at(client);
      daemons.#addresses.push(await Promise.all(Array.from({ length: keysAClient }, async () => (await blocks.create(value)).address)));
    }
    for (let index = 0; index < large.count; index++)
      daemons.#immutable.push(await daemons.#at(index).put(randomFillSync(new Uint8Array(large.bytes))));
    return daemons;
  }

  async run(load: Load): Promise<readonly Tally[]> {
    const value = randomFillSync(new Uint8Array(load.bytes));
    const before = this.#cpuSeconds();
    const tally = await drive(load, (client, turn) => this.#call(load, client, turn, value));
    return [{ ...tally, cpuSeconds: tally.cpuSeconds + this.#cpuSeconds() - before }];
  }

  async #call(load: Load, client: number, turn: number, value: Uint8Array): Promise<unknown> {
    const key = (keys: readonly Address[]): Address => keys[turn % keys.length]!;
    switch (load.workload) {
      case 'put':
        return committed(await this.#at(client).update(key(this.#addresses[client]!), value));
      case 'get':
        // On another host than the one that wrote it.
        return this.#at(client + 1).get(key(this.#addresses[client]!));
      case 'put-immutable': {
        const fresh = Buffer.from(value);
        randomFillSync(fresh, 0, 16);
        return this.#at(client).put(fresh);
      }
      case 'get-immutable':
        return this.#at(client + 1).get(this.#immutable[(client * 7 + turn) % this.#immutable.length]!);
    }
  }

  #at(client: number): Blocks {
    return this.#blocks[client % this.#blocks.length]!;
  }

  /** Of the daemons proper, all threads. */
  #cpuSeconds(): number {
    const ticks = this.#cluster.hosts.flatMap(({ pid }) => {
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
      return children.map((child) => {
        const fields = readFileSync(`/proc/${child}/stat`, 'utf8').split(') ')[1]!.split(' ');
        return Number(fields[11]) + Number(fields[12]);
      });
    });
    return ticks.reduce((sum, value) => sum + value, 0) / ticksPerSecond;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
    await this.#cluster[Symbol.asyncDispose]();
  }
}
