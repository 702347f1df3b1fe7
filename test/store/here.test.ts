import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { type Address, immutableAddress, mutableAddress } from '../../src/block/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { MemoryNetwork } from '../../src/overlay/index.ts';
import { Store } from '../../src/store/index.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A disk whose reads wait for a test. */
class HeldDisk extends MemoryDisk {
  #held: PromiseWithResolvers<void> | undefined;
  #reads: PromiseWithResolvers<void> | undefined;

  /** Holds back the reads from now on. Resolves when one waits. */
  hold(): Promise<void> {
    this.#held = Promise.withResolvers();
    this.#reads = Promise.withResolvers();
    return this.#reads.promise;
  }

  release(): void {
    this.#held?.resolve();
    this.#held = undefined;
  }

  override async read(address: Address): Promise<Uint8Array | undefined> {
    this.#reads?.resolve();
    await this.#held?.promise;
    return super.read(address);
  }
}

/** Two hosts, the first of which believes that it is alone until a test says otherwise. */
async function scene() {
  const network = new MemoryNetwork();
  const disks = [new HeldDisk(), new MemoryDisk()] as const;
  const first = { alone: true, hasSay: true, hosts: ['a'] };
  const placement = {
    get alone() {
      return first.alone;
    },
    get hasSay() {
      return first.hasSay;
    },
    replicas: 2,
    rank: () => first.hosts,
    views: () => [{ number: first.hosts.length, replicas: first.hosts }],
  };
  const both = { alone: false, replicas: 2, rank: () => ['a', 'b'], views: () => [{ number: 2, replicas: ['a', 'b'] }] };
  const [store] = await Promise.all(
    disks.map((disk, index) => {
      const self = 'ab'[index]!;
      const cluster = { transport: network.open(self), placement: index === 0 ? placement : both };
      return Store.open({ self, incarnation: 1, disk, logger: silentLogger, cluster });
    }),
  );
  const grow = (): void => void Object.assign(first, { alone: false, hosts: ['a', 'b'] });
  return { store: store!, disk: disks[0], other: disks[1], first, grow };
}

test('a host that loses its say while a register is read decides nothing alone', async () => {
  const { store, disk, first } = await scene();
  const calls = [
    (address: Address) => store.fetch(address, { deadlineMs: 50 }),
    async (address: Address) => {
      const result = await store.commit([{ update: [{ address, expect: 'absent', payload: bytes('x') }] }], { deadlineMs: 50 });
      if (!result.done) throw Object.assign(new Error('it was refused'), result.outcomes[0]);
    },
  ];
  for (const call of calls) {
    first.hasSay = true;
    const waits = disk.hold();
    const refused = assert.rejects(call(mutableAddress()), { code: 'unavailable' });
    await waits;
    first.hasSay = false;
    disk.release();
    await refused;
  }
  assert.deepEqual(await disk.list(undefined, 10), []);
});

test('what a host was to decide alone it decides with the others, where they came while it read its disk', async () => {
  const { store, disk, other, grow } = await scene();
  const [address, sealed] = [mutableAddress(), bytes('data')];
  const waits = disk.hold();
  const committed = store.commit([
    { put: [{ address: immutableAddress(sealed), sealed }], update: [{ address, expect: 'absent', payload: bytes('x') }] },
  ]);
  await waits;
  grow();
  disk.release();
  assert.equal((await committed).done, true);
  assert.deepEqual((await store.fetch(address))?.payload, bytes('x'));
  assert.deepEqual(await other.read(immutableAddress(sealed)), sealed);
  assert.equal(await other.has(address), true);
});
