import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { addressToBytes, immutableAddress, mutableAddress } from '../../src/block/index.ts';
import { decodeReply, encodeLeaseMessage, encodeReply, encodeRequest, maxRound, type Reply, type Request } from '../../src/consensus/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { MemoryNetwork } from '../../src/overlay/index.ts';
import { Store } from '../../src/store/index.ts';
import { kinds } from '../../src/store/kinds.ts';

const rights: Readonly<Record<string, readonly string[]>> = { writer: ['write'], keeper: ['store'], guest: ['invite'] };
const sealed = Buffer.from('a block');
const block = immutableAddress(sealed);

/** A host with a block and a register, and the ways of three others to it. */
async function world() {
  const network = new MemoryNetwork();
  const disk = new MemoryDisk();
  const only = [{ number: 0, replicas: ['host'] }];
  const placement = { alone: true, replicas: 1, rank: () => ['host'], views: () => only };
  const shared = { transport: network.open('host'), placement, rightsOf: (peer: string) => rights[peer]! };
  const store = await Store.open({ self: 'host', incarnation: 1, disk, logger: silentLogger, cluster: shared });
  const register = mutableAddress();
  await store.commit([{ put: [{ address: block, sealed }] }, { update: [{ address: register, expect: 'absent', payload: Buffer.from('old') }] }]);
  const from = (peer: string) => {
    const transport = network.open(peer);
    const ask = (kind: number, ...body: Uint8Array[]): Promise<Uint8Array> => transport.request('host', kind, body);
    const step = async (request: Pick<Request, 'type'> & Partial<Request>) => {
      const head = { from: peer, block: register, tag: 1, attempt: 1, view: 0, known: null, lease: null };
      return decodeReply('host', await ask(kinds.register, ...encodeRequest({ ...head, ...request } as Request)));
    };
    return { transport, ask, step };
  };
  return { disk, store, register, from };
}

/** One message of a batch. */
function batchOf(message: Uint8Array): Uint8Array[] {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(1, 0);
  head.writeUInt32LE(message.length, 4);
  return [head, message];
}

/** What a host that skips what it refuses itself would send. */
async function overwrite({ step }: ReturnType<Awaited<ReturnType<typeof world>>['from']>, peer: string) {
  const { accepted } = await step({ type: 'read' });
  const ballot = { ...accepted!.ballot, round: accepted!.ballot.round + 1, peer };
  const record = { ...accepted!.record, version: accepted!.record.version + 1, value: Buffer.from('new') };
  return step({ type: 'accept', ballot, record, next: null, condition: null, founding: -1, leaseClock: 0 });
}

test('a host with neither right reads, and nothing that it sends is written', async () => {
  const { disk, store, register, from } = await world();
  const guest = from('guest');
  const other = Buffer.from('another');
  const denied = { code: 'denied', message: 'host guest has no right to write' };
  for (const kind of [kinds.putBlock, kinds.copyBlock]) await assert.rejects(guest.ask(kind, addressToBytes(immutableAddress(other)), other), denied);
  for (const kind of [kinds.eraseBlocks, kinds.dropBlocks]) await assert.rejects(guest.ask(kind, addressToBytes(block)), denied);
  await assert.rejects(overwrite(guest, 'guest'), denied);
  assert.deepEqual(Buffer.from(await guest.transport.request('host', kinds.getBlock, addressToBytes(block), { channel: 'bulk' })), sealed);
  assert.equal(await disk.has(immutableAddress(other)), false);
  assert.equal(Buffer.from((await store.fetch(register))!.payload).toString(), 'old');
});

test('a host with neither right uses up no rounds: it is promised nothing, and its replies are not heard', async () => {
  const { disk, store, register, from } = await world();
  const guest = from('guest');
  const ballot = { round: maxRound, peer: 'guest', incarnation: 1, serial: 1 };
  const absent = mutableAddress();
  for (const block of [register, absent]) await assert.rejects(guest.step({ type: 'prepare', block, ballot }), { code: 'denied' });
  assert.equal(await disk.has(absent), false);
  const lie: Reply = {
    type: 'value',
    from: 'guest',
    block: register,
    tag: 1,
    attempt: 1,
    promised: null,
    accepted: null,
    same: false,
    floor: maxRound,
    views: [],
    unsure: false,
    grant: 0,
  };
  guest.transport.notify('host', kinds.registerReplies, batchOf(Buffer.concat(encodeReply(lie))));
  await guest.step({ type: 'read' });
  const { done } = await store.commit([{ update: [{ address: absent, expect: 'absent', payload: Buffer.from('first') }] }]);
  assert.ok(done);
  const { accepted } = await guest.step({ type: 'read', block: absent });
  assert.ok(accepted!.ballot.round < 1000, `round ${accepted!.ballot.round}`);
});

test('only a host that may store recalls leases and says that blocks changed', async () => {
  const { store, register, from } = await world();
  const [guest, writer, keeper] = ['guest', 'writer', 'keeper'].map((name) => from(name));
  let [released, told] = [0, 0];
  // A recall is answered to all.
  for (const { transport } of [guest!, writer!, keeper!]) transport.handle(kinds.lease, () => void released++);
  using _ = store.watch(register, () => told++);
  await guest!.step({ type: 'read' });
  const before = told;
  const say = async ({ transport, step }: NonNullable<typeof guest>, name: string): Promise<number[]> => {
    transport.notify('host', kinds.lease, encodeLeaseMessage({ type: 'recall', from: name, block: register }));
    transport.notify('host', kinds.blocksChanged, addressToBytes(register));
    for (let turns = 0; turns < 3; turns++) await step({ type: 'read' });
    return [released, told - before];
  };
  assert.deepEqual(await say(guest!, 'guest'), [0, 0]);
  assert.deepEqual(await say(writer!, 'writer'), [0, 0]);
  assert.deepEqual(await say(keeper!, 'keeper'), [3, 1]);
});

test('requests that come as a batch are no way around it', async () => {
  const { store, register, from } = await world();
  const { transport, step } = from('guest');
  const { accepted } = await step({ type: 'read' });
  const record = { ...accepted!.record, version: 2, value: Buffer.from('new') };
  const head = { from: 'guest', block: register, tag: 1, attempt: 1, lease: null };
  const ballot = { ...accepted!.ballot, round: 99, peer: 'guest' };
  const accept: Request = { ...head, type: 'accept', ballot, record, next: null, condition: null, founding: -1, leaseClock: 0 };
  const request = Buffer.concat(encodeRequest(accept));
  transport.notify('host', kinds.registerRequests, batchOf(request));
  await step({ type: 'read' });
  assert.equal(Buffer.from((await store.fetch(register))!.payload).toString(), 'old');
});

test('a host that only stores brings copies and registers, and neither puts nor erases', async () => {
  const { disk, store, register, from } = await world();
  const keeper = from('keeper');
  const other = Buffer.from('another');
  const address = addressToBytes(immutableAddress(other));
  await assert.rejects(keeper.ask(kinds.putBlock, address, other), { code: 'denied' });
  await assert.rejects(keeper.ask(kinds.eraseBlocks, addressToBytes(block)), { code: 'denied' });
  await keeper.ask(kinds.copyBlock, address, other);
  assert.equal(await disk.has(immutableAddress(other)), true);
  assert.equal((await overwrite(keeper, 'keeper')).type, 'accepted');
  assert.equal(Buffer.from((await store.fetch(register))!.payload).toString(), 'new');
});

test('a host that only writes does so', async () => {
  const { disk, from } = await world();
  const writer = from('writer');
  await writer.ask(kinds.eraseBlocks, addressToBytes(block));
  assert.equal(await disk.has(block), false);
  await writer.ask(kinds.putBlock, addressToBytes(block), sealed);
  assert.equal(await disk.has(block), true);
  assert.equal((await overwrite(writer, 'writer')).type, 'accepted');
});

test('a message for a register that names an immutable block is refused, and so is the removal of a register', async () => {
  const { disk, store, register, from } = await world();
  const writer = from('writer');
  const bad = { code: 'bad-argument' };
  for (const wrong of [block, 'no address at all']) await assert.rejects(writer.step({ type: 'read', block: wrong }), bad);
  const { transport } = writer;
  const request = Buffer.concat(encodeRequest({ type: 'read', from: 'writer', block, tag: 1, attempt: 1, view: 0, known: null, lease: null }));
  transport.notify('host', kinds.registerRequests, batchOf(request));
  for (const kind of [kinds.eraseBlocks, kinds.dropBlocks]) await assert.rejects(writer.ask(kind, addressToBytes(register)), bad);
  assert.deepEqual(Buffer.from((await disk.read(block))!), sealed);
  assert.equal(Buffer.from((await store.fetch(register))!.payload).toString(), 'old');
});
