import assert from 'node:assert/strict';
import { test } from 'node:test';

import { yamux } from '@chainsafe/libp2p-yamux';
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht';
import { tcp } from '@libp2p/tcp';
import { tls } from '@libp2p/tls';
import { createLibp2p, type Libp2p, type ServiceFactoryMap } from 'libp2p';

import { systemRandom } from '../../src/base/index.ts';
import { KeyPair } from '../../src/overlay/index.ts';
import { kademliaServices } from '../../src/overlay/libp2p/kademlia.ts';
import { protocols } from '../../src/overlay/wire.ts';

async function open(services: ServiceFactoryMap): Promise<AsyncDisposable & { readonly libp2p: Libp2p }> {
  const libp2p = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [tls()],
    streamMuxers: [yamux()],
    services,
  });
  return { libp2p, [Symbol.asyncDispose]: () => Promise.resolve(libp2p.stop()) };
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

/** What Kademlia keeps for peers. */
async function kept({ libp2p }: { readonly libp2p: Libp2p }): Promise<number> {
  const { datastore } = (libp2p as unknown as { components: { datastore: { query(query: object): AsyncIterable<unknown> } } }).components;
  return (await all(datastore.query({ prefix: '/dht' }))).length;
}

/** The part of Kademlia that speaks to one peer. */
interface Wire {
  readonly network: {
    sendRequest(to: unknown, message: object): AsyncIterable<{ readonly name: string }>;
    sendMessage(to: unknown, message: object): AsyncIterable<{ readonly name: string }>;
  };
}

/** A short field of a protobuf message. */
function field(number: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
}

/** A value that Kademlia takes from anybody: a public key, under its own name. */
function value(): { readonly key: Buffer; readonly record: Buffer } {
  const publicKey = Buffer.concat([Buffer.from([8, 1, 0x12, 32]), new KeyPair(systemRandom.bytes(32)).publicKey]);
  const key = Buffer.concat([Buffer.from('/pk/'), Buffer.from([0, publicKey.length]), publicKey]);
  return { key, record: Buffer.concat([field(1, key), field(2, publicKey)]) };
}

for (const [who, isOurs] of [
  ['a host of ours', true],
  ['libp2p as it comes, by which the test sees that it asks rightly', false],
] as const)
  test(`what peers ask Kademlia to keep: ${who}`, { timeout: 300_000 }, async () => {
    const stock = { protocol: protocols.kademlia, clientMode: false, peerInfoMapper: passthroughMapper, allowQueryWithZeroPeers: true };
    const ours = kademliaServices();
    const asItComes = (): ServiceFactoryMap => ({ ...ours, kademlia: kadDHT(stock) }) as unknown as ServiceFactoryMap;
    await using host = await open(isOurs ? ours : asItComes());
    await using peer = await open(asItComes());
    await peer.libp2p.dial(host.libp2p.getMultiaddrs());
    const { network } = (peer.libp2p.services as unknown as { kademlia: Wire }).kademlia;
    const to = host.libp2p.peerId;
    const me = { id: peer.libp2p.peerId.toMultihash().bytes, multiaddrs: peer.libp2p.getMultiaddrs().map(({ bytes }) => bytes) };
    for (let count = 0; count < 20; count++) {
      const { key, record } = value();
      await all(network.sendRequest(to, { type: 'PUT_VALUE', key, record, closer: [], providers: [] }));
      const cid = Buffer.concat([Buffer.from([1, 0x55, 0x12, 0x20]), key.subarray(-32)]);
      await all(network.sendMessage(to, { type: 'ADD_PROVIDER', key: cid, closer: [], providers: [me] }));
    }
    // It goes on answering what it is there for; by then what was said before it was heard.
    const events = await all(network.sendRequest(to, { type: 'FIND_NODE', key: me.id, closer: [], providers: [] }));
    assert.ok(events.some(({ name }) => name === 'PEER_RESPONSE'));
    assert.equal(await kept(host), isOurs ? 0 : 40);
  });
