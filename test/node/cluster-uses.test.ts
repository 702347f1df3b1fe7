/** Whether anybody uses a volume, for what may only be done while nobody does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { namedAddress } from '../../src/block/index.ts';
import { Cluster, type ClusterContext } from '../../src/node/members/cluster.ts';
import { nodeKinds } from '../../src/node/kinds.ts';
import { MemoryNetwork } from '../../src/overlay/index.ts';
import { volumeId } from '../filesystem/harness.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';

const lease = namedAddress(volumeId, 'lease');

async function write(store: MemoryBlockStore, record: { readonly holder: string; readonly count: number }): Promise<void> {
  const payload = Buffer.from(JSON.stringify({ ...record, released: false, termMs: 300 }));
  assert.ok((await store.commit([{ update: [{ address: lease, expect: 'any', payload }] }])).done);
}

const no = async (): Promise<Uint8Array> => Buffer.from('[]');

/** Hosts `a`, which asks, `b` and `c`. */
class Scene implements AsyncDisposable {
  readonly network = new MemoryNetwork();
  readonly store = new MemoryBlockStore();
  readonly #transports = ['a', 'b', 'c'].map((name) => this.network.open(name));
  readonly #cluster: Cluster;
  /** What `c` says; `b` has been started anew and has mounted nothing. */
  answer = no;

  constructor() {
    const [transport] = this.#transports;
    const members = ['a', 'b', 'c'].map((peer) => ({ peer, name: `host ${peer}`, self: peer === 'a', state: 'up' }));
    const member = (peer: string) => members.find((one) => one.peer === peer);
    const overlay = { transport, self: 'a', clusterId: 'x', members: () => members, member };
    this.#transports[1]!.handle(nodeKinds.volumeHolders, no);
    this.#transports[2]!.handle(nodeKinds.volumeHolders, () => this.answer());
    this.#cluster = new Cluster({ overlay, store: this.store } as unknown as ClusterContext);
  }

  /** From now on `c` is not connected with `a`. */
  cutOff(): void {
    this.network.cut('a', 'c');
    this.network.cut('c', 'a');
    this.#transports[0]!.drop('c', 'it is silent');
  }

  /** Resolves when the lease was looked at twice: for who has it, and then for whether that one renews it. */
  looked(): Promise<void> {
    const { store } = this;
    let left = 2;
    const fetch = store.fetch.bind(store);
    const { promise, resolve } = Promise.withResolvers<void>();
    store.fetch = async (...args) => {
      const found = await fetch(...args);
      if (args[0] === lease && --left === 0) resolve();
      return found;
    };
    return promise;
  }

  users(): Promise<readonly string[]> {
    return this.#cluster.usedElsewhere(volumeId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cluster[Symbol.dispose]();
    for (const transport of this.#transports) await transport[Symbol.asyncDispose]();
  }
}

test('a connected host that does not say whether it has a volume mounted may have it: its lease counts, or nothing is done', async () => {
  await using scene = new Scene();
  scene.answer = () => Promise.reject(new Error('busy'));
  await assert.rejects(scene.users(), { code: 'unavailable', message: /host c did not say whether it uses the volume/ });
  await write(scene.store, { holder: 'c', count: 1 });
  const looked = scene.looked();
  const users = scene.users();
  await looked;
  await write(scene.store, { holder: 'c', count: 2 });
  assert.deepEqual(await users, ['host c']);
  scene.answer = no;
  assert.deepEqual(await scene.users(), []);
});

test('a host that is not heard and takes the volume over from one that was killed and is back has it', async () => {
  await using scene = new Scene();
  await write(scene.store, { holder: 'b', count: 7 });
  scene.cutOff();
  const looked = scene.looked();
  const users = scene.users();
  await looked;
  await write(scene.store, { holder: 'c', count: 1 });
  assert.deepEqual(await users, ['host c']);
  // Nobody renews it: who is not heard does not use it.
  assert.deepEqual(await scene.users(), []);
});
