import { systemRandom } from '../../src/base/index.ts';
import { KeyPair, Libp2pTransport, type Libp2pTransportOptions, openGate, type ProcessId } from '../../src/overlay/index.ts';
import { transportSuite } from '../suites/transport-suite.ts';

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

async function openThree(options: Partial<Libp2pTransportOptions>): Promise<[Libp2pTransport, Libp2pTransport, Libp2pTransport]> {
  const hosts = await Promise.all([openHost(options), openHost(options), openHost(options)]);
  for (const host of hosts) host.setTargets(hosts.map((other) => ({ peer: other.self, addresses: other.addresses() })));
  return hosts;
}

for (const tls of ['native', 'stock'] as const) {
  transportSuite(`the transport over libp2p with ${tls} TLS`, async () => {
    const hosts = await openThree({ tls });
    return {
      hosts,
      kill: async (host) => host[Symbol.asyncDispose](),
      [Symbol.asyncDispose]: async () => {
        await Promise.all(hosts.map((host) => host[Symbol.asyncDispose]()));
      },
    };
  });
}
