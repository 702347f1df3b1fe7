import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError, silentLogger } from '../../src/base/index.ts';
import { type Address, immutableAddress } from '../../src/block/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { MemoryNetwork } from '../../src/overlay/index.ts';
import { Store } from '../../src/store/index.ts';

const names = ['a', 'b'];
const placement = { alone: false, replicas: 2, rank: () => names, views: () => [{ number: 0, replicas: names }] };

/** A disk whose host lacks something to read from it. */
class UnreadableDisk extends MemoryDisk {
  override async read(address: Address): Promise<Uint8Array | undefined> {
    throw new InfinitError('overloaded', `a test said so of ${address}`);
  }
}

test('a copy that this host cannot read now is had from another, and where none has it, it is not said to be nowhere', async () => {
  const network = new MemoryNetwork();
  const otherDisk = new MemoryDisk();
  const [first] = await Promise.all(
    [new UnreadableDisk(), otherDisk].map((disk, index) => {
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
