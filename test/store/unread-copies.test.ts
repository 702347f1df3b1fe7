import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type ErrorCode, InfinitError, silentLogger } from '../../src/base/index.ts';
import { type Address, immutableAddress } from '../../src/block/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { BlockInspector } from '../../src/node/blocks/block-inspector.ts';
import { MemoryNetwork } from '../../src/overlay/index.ts';
import { Store } from '../../src/store/index.ts';

const names = ['a', 'b'];
const placement = { alone: false, replicas: 2, rank: () => names, views: () => [{ number: 0, replicas: names }] };

/** A disk that reads nothing, for this reason. */
class UnreadableDisk extends MemoryDisk {
  readonly #code: ErrorCode;

  constructor(code: ErrorCode) {
    super();
    this.#code = code;
  }

  override async read(address: Address): Promise<Uint8Array | undefined> {
    throw new InfinitError(this.#code, `a test said so of ${address}`);
  }
}

test('a copy that this host cannot read now is had from another, and where none has it, it is not said to be nowhere', async () => {
  const network = new MemoryNetwork();
  const otherDisk = new MemoryDisk();
  const [first] = await Promise.all(
    [new UnreadableDisk('overloaded'), otherDisk].map((disk, index) => {
      const self = names[index]!;
      return Store.open({ self, incarnation: 1, disk, logger: silentLogger, cluster: { transport: network.open(self), placement } });
    }),
  );
  const sealed = Uint8Array.of(1, 2, 3);
  const address = immutableAddress(sealed);
  await otherDisk.write([{ type: 'put', address, bytes: sealed }]);
  assert.deepEqual(await first!.get(address), sealed);
  await otherDisk.write([{ type: 'delete', address }]);
  await assert.rejects(first!.get(address), { code: 'overloaded' });
});

for (const [how, ...codes] of [
  ['this host has the only copy', 'damaged', undefined],
  ['another host has the only copy', undefined, 'damaged'],
  ['both have one', 'damaged', 'damaged'],
] as const) {
  test(`a block whose copies are damaged is damaged, and not said never to have been: ${how}`, async () => {
    const network = new MemoryNetwork();
    const disks = codes.map((code) => (code === undefined ? new MemoryDisk() : new UnreadableDisk(code)));
    const [first] = await Promise.all(
      disks.map((disk, index) => {
        const self = names[index]!;
        return Store.open({ self, incarnation: 1, disk, logger: silentLogger, cluster: { transport: network.open(self), placement } });
      }),
    );
    const address = immutableAddress(Uint8Array.of(1, 2, 3));
    await assert.rejects(first!.get(address), { code: 'damaged' });
    network.cut('a', 'b');
    network.cut('b', 'a');
    // Now the other host may have one that is whole.
    await assert.rejects(first!.get(address), { code: 'unavailable' });
  });
}

test('a host that is alone in its cluster says of a damaged block that it is damaged', async () => {
  const transport = new MemoryNetwork().open('a');
  const alone = { alone: true, replicas: 1, rank: () => ['a'], views: () => [{ number: 0, replicas: ['a'] }] };
  const disk = new UnreadableDisk('damaged');
  const store = await Store.open({ self: 'a', incarnation: 1, disk, logger: silentLogger, cluster: { transport, placement: alone } });
  await assert.rejects(store.get(immutableAddress(Uint8Array.of(1))), { code: 'damaged' });
});

test('a damaged copy on this host is shown as none, as one elsewhere is, and which hosts have the block is told all the same', async () => {
  const network = new MemoryNetwork();
  const disks = [new MemoryDisk(), new MemoryDisk()];
  const stores = await Promise.all(
    disks.map((disk, index) => {
      const self = names[index]!;
      return Store.open({ self, incarnation: 1, disk, logger: silentLogger, cluster: { transport: network.open(self), placement } });
    }),
  );
  const sealed = Uint8Array.of(1, 2, 3);
  const address = immutableAddress(sealed);
  for (const disk of disks) await disk.write([{ type: 'put', address, bytes: sealed }]);
  for (const [index, disk] of disks.entries()) {
    disk.damage(address);
    for (const store of stores)
      assert.deepEqual(
        (await store.inspect(address)).map((copy) => copy.kind === 'bytes' && copy.present),
        [false, index === 0],
      );
  }
  const report = await new BlockInspector(
    stores[0]!,
    () => 2,
    (peer) => peer,
  ).report(address, {});
  assert.deepEqual(
    report.replicas.map(({ host, state }) => [host, state]),
    [
      ['a', 'missing'],
      ['b', 'missing'],
    ],
  );
});
