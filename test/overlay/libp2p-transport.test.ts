import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemRandom } from '../../src/base/index.ts';
import { KeyPair, Libp2pTransport, type Libp2pTransportOptions, openGate, type ProcessId, type Trouble } from '../../src/overlay/index.ts';
import { eventually, transportSuite } from '../suites/transport-suite.ts';

const process = (): ProcessId => ({ incarnation: 1, nonce: Buffer.from(systemRandom.bytes(8)).toString('hex') });

async function openHost(options: Partial<Libp2pTransportOptions> = {}): Promise<Libp2pTransport> {
  const transport = new Libp2pTransport({
    key: new KeyPair(systemRandom.bytes(32)),
    process: process(),
    listen: '127.0.0.1:0',
    gate: openGate,
    ...options,
  });
  await transport.start();
  return transport;
}

type Tls = 'native' | 'stock';

async function openThree([a, b, c]: readonly [Tls, Tls, Tls]): Promise<[Libp2pTransport, Libp2pTransport, Libp2pTransport]> {
  const hosts = await Promise.all([openHost({ tls: a }), openHost({ tls: b }), openHost({ tls: c })]);
  for (const host of hosts) host.setTargets(hosts.map((other) => ({ peer: other.self, addresses: other.addresses() })));
  return hosts;
}

const mixes: readonly (readonly [Tls, Tls, Tls])[] = [
  ['native', 'native', 'native'],
  ['stock', 'stock', 'stock'],
  // Both say the same on the wire.
  ['native', 'stock', 'native'],
];
for (const tls of mixes) {
  transportSuite(`the transport over libp2p with ${[...new Set(tls)].join(' and ')} TLS`, async () => {
    const hosts = await openThree(tls);
    return {
      hosts,
      kill: async (host) => host[Symbol.asyncDispose](),
      [Symbol.asyncDispose]: async () => {
        await Promise.all(hosts.map((host) => host[Symbol.asyncDispose]()));
      },
    };
  });
}

test('a peer that is no member any more is served nothing, though its connection lives on', async () => {
  let standing: 'member' | 'refused' = 'member';
  const host = await openHost({ gate: { ...openGate, standing: () => standing } });
  const guest = await openHost();
  let served = 0;
  host.handle(100, () => void served++);
  guest.setTargets([{ peer: host.self, addresses: host.addresses() }]);
  try {
    await eventually(() => host.isConnected(guest.self) && guest.isConnected(host.self), 'they are connected');
    await guest.request(host.self, 100, []);
    standing = 'refused';
    // The order of frames on one channel is kept: the refusal also says that the notification was seen.
    guest.notify(host.self, 100, []);
    await assert.rejects(guest.request(host.self, 100, []), { code: 'denied', message: /is no member any more/ });
    assert.ok(host.isConnected(guest.self));
    assert.equal(served, 1);
  } finally {
    await Promise.all([host, guest].map((each) => each[Symbol.asyncDispose]()));
  }
});

test('an address that a peer announces and that is this host’s own, as a container bridge’s, is nobody’s trouble', async () => {
  const troubles: Trouble[] = [];
  const host = await openHost({ onTrouble: (trouble) => troubles.push(trouble) });
  const other = await openHost();
  host.setTargets([{ peer: other.self, addresses: [...host.addresses(), ...other.addresses()] }]);
  try {
    await eventually(() => host.isConnected(other.self), 'they are connected');
    assert.deepEqual(troubles, []);
    host.setSeeds(host.addresses());
    await other[Symbol.asyncDispose]();
    await eventually(() => troubles.some(({ kind }) => kind === 'self'), 'one that a person named is said');
  } finally {
    await Promise.all([host, other].map((each) => each[Symbol.asyncDispose]()));
  }
});
