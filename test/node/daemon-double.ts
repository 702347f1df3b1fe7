import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { connect, type Infinit } from '../../src/api/index.ts';
import { silentLogger } from '../../src/base/index.ts';
import { type Address, mutableAddress } from '../../src/block/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { BlockInspector } from '../../src/node/blocks/block-inspector.ts';
import { BlockWatches } from '../../src/node/blocks/block-watches.ts';
import { type ControlTarget, startControlApi } from '../../src/node/control/control-api.ts';
import { ProgramBlocks } from '../../src/node/blocks/program-blocks.ts';
import { MemoryNetwork } from '../../src/overlay/index.ts';
import { nearAddress, place, Roster } from '../../src/placement/index.ts';
import { Store } from '../../src/store/index.ts';

/** The part of a daemon that serves programs, on a real socket. */
export interface ValueHost {
  readonly name: string;
  readonly store: Store;
  readonly infinit: Infinit;
  readonly socketPath: string;
  /** Ends what is connected, as a daemon that dies would, and serves again. */
  restart(): Promise<void>;
}

/** Hosts of one cluster in this process: real stores on a network in memory, each with its own socket for programs. */
export class ValueHosts implements AsyncDisposable {
  readonly hosts: readonly ValueHost[];
  readonly network: MemoryNetwork;
  readonly #stack: AsyncDisposableStack;

  private constructor(hosts: readonly ValueHost[], network: MemoryNetwork, stack: AsyncDisposableStack) {
    this.hosts = hosts;
    this.network = network;
    this.#stack = stack;
  }

  static async start(count: number, replicas = Math.min(3, count)): Promise<ValueHosts> {
    await using stack = new AsyncDisposableStack();
    const directory = await mkdtemp(path.join(tmpdir(), 'infinit-values-'));
    stack.defer(() => rm(directory, { recursive: true, force: true }));
    const network = new MemoryNetwork();
    const names = Array.from({ length: count }, (_, index) => `host-${index}`);
    const roster = Roster.of(names.map((peer) => ({ peer, zone: 'z', capacity: 1 })));
    const placement = {
      alone: count === 1,
      replicas,
      rank: (address: Address) => place(address, roster, count),
      views: (address: Address) => [{ number: 0, replicas: place(address, roster, replicas) }],
    };
    const hosts: ValueHost[] = [];
    for (const name of names) {
      const transport = network.open(name);
      const store = stack.use(
        await Store.open({ self: name, incarnation: 1, disk: new MemoryDisk(), logger: silentLogger, cluster: { transport, placement } }),
      );
      const inspector = new BlockInspector(
        store,
        () => replicas,
        (peer) => peer,
      );
      const fresh = (): Address => nearAddress(name, roster, replicas, mutableAddress);
      const blocks = new ProgramBlocks(store, (address, limits) => inspector.report(address, limits), fresh);
      const socketPath = path.join(directory, `${name}.sock`);
      const watches = stack.use(new BlockWatches(blocks, (address, listener) => store.watch(address, listener)));
      let end = await serve(blocks, watches, socketPath);
      stack.defer(() => end());
      const infinit = stack.use(connect(socketPath));
      const restart = async (): Promise<void> => {
        await end();
        end = await serve(blocks, watches, socketPath);
      };
      hosts.push({ name, store, infinit, socketPath, restart });
    }
    return new ValueHosts(hosts, network, stack.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** The control API without volumes and cluster, which these tests do not ask for. */
async function serve(blocks: ProgramBlocks, watches: BlockWatches, socketPath: string): Promise<() => Promise<void>> {
  const api = await startControlApi(socketPath, { blocks, watches, whoIsMissing: () => undefined } as unknown as ControlTarget, silentLogger);
  return async () => api[Symbol.asyncDispose]();
}
