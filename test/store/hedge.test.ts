import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { type Address, immutableAddress } from '../../src/block/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { MemoryNetwork, type PeerId } from '../../src/overlay/index.ts';
import { kinds } from '../../src/store/kinds.ts';
import { Store } from '../../src/store/index.ts';

const names = ['reader', 'first', 'second', 'third', 'surplus-1', 'surplus-2'];
/** It is asked once, and again where this machine itself is slow. */
const turns = 12;
const block = Buffer.from('what all of them keep');
const address = immutableAddress(block);

/** A host that holds no copy, and those that may: the first three should. All rank alike. Counts which were asked for a copy. */
async function hosts() {
  const network = new MemoryNetwork();
  const asked = new Map<PeerId, number>();
  const opened = await Promise.all(
    names.map(async (self) => {
      const transport = network.open(self);
      const disk = new MemoryDisk();
      const rank = (): PeerId[] => names.slice(1);
      const placement = { alone: false, replicas: 3, rank, views: () => [{ number: 0, replicas: names.slice(1, 4) }] };
      const store = await Store.open({ self, incarnation: 1, disk, logger: silentLogger, cluster: { transport, placement } });
      return { self, transport, disk, store };
    }),
  );
  const [reader, ...others] = opened;
  const request = reader!.transport.request.bind(reader!.transport);
  reader!.transport.request = (peer, kind, body, options) => {
    if (kind === kinds.getBlock) asked.set(peer, (asked.get(peer) ?? 0) + 1);
    return request(peer, kind, body, options);
  };
  for (const { disk } of others.slice(0, 3)) await disk.write([{ type: 'put', address, bytes: block }]);
  return { network, asked, read: (what: Address = address) => reader!.store.get(what), others };
}

test('a first copy that is frozen delays one read, not every one', async () => {
  const { network, asked, read } = await hosts();
  network.freeze('first');
  for (let turn = 0; turn < turns; turn++) assert.deepEqual(Buffer.from(await read()), block);
  assert.ok(asked.get('first')! < turns / 2, `it was asked ${asked.get('first')} times`);
  network.thaw('first');
});

test('a first copy that is slow is asked after the quick ones', async () => {
  const { network, asked, read } = await hosts();
  network.setDelay((from, to) => (from === 'first' || to === 'first' ? 200 : 0));
  for (let turn = 0; turn < turns; turn++) assert.deepEqual(Buffer.from(await read()), block);
  assert.ok(asked.get('first')! < turns / 2, `it was asked ${asked.get('first')} times`);
});

test('a host that sends other bytes is not believed, and not asked again while others give the right ones', async () => {
  const { asked, read, others } = await hosts();
  await others[0]!.disk.write([{ type: 'put', address, bytes: Buffer.from('what nobody wrote') }]);
  for (let turn = 0; turn < turns; turn++) assert.deepEqual(Buffer.from(await read()), block);
  assert.ok(asked.get('first')! < turns / 2, `it was asked ${asked.get('first')} times`);
});

test('where all hosts send other bytes the block is damaged, not given and not called missing', async () => {
  const { read, others } = await hosts();
  for (const { disk } of others) await disk.write([{ type: 'put', address, bytes: Buffer.from('what nobody wrote') }]);
  await assert.rejects(read(), { code: 'damaged' });
});

test('busy hosts are not made busier: once they are known to be slow, one is asked and not all that may have a copy', async () => {
  const { network, asked, read } = await hosts();
  network.setDelay(() => 150);
  for (let turn = 0; turn < 3; turn++) await read();
  asked.clear();
  await read();
  assert.equal(
    [...asked.values()].reduce((sum, times) => sum + times, 0),
    1,
  );
});

test('a copy that only a host has that should have none is found', async () => {
  const { read, others } = await hosts();
  for (const { disk } of others.slice(0, 3)) await disk.write([{ type: 'delete', address }]);
  await others[4]!.disk.write([{ type: 'put', address, bytes: block }]);
  assert.deepEqual(Buffer.from(await read()), block);
  await others[4]!.disk.write([{ type: 'delete', address }]);
  await assert.rejects(read(), { code: 'not-found' });
});
