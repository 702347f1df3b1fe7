import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { systemRandom } from '../../src/base/index.ts';
import { KeyPair, peerIdOf } from '../../src/overlay/index.ts';
import { openLibp2pNode } from '../../src/overlay/libp2p/node.ts';
import type { WireNode } from '../../src/overlay/wire.ts';

const service = 'infinit.local';

function name(text: string): Buffer {
  return Buffer.concat([...text.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])), Buffer.from([0])]);
}

/** A record of DNS. */
function record(of: string, type: number, data: Buffer): Buffer {
  const fixed = Buffer.alloc(10);
  for (const [value, offset] of [
    [type, 0],
    [1, 2],
    [120, 6],
    [data.length, 8],
  ] as const)
    fixed.writeUInt16BE(value, offset);
  return Buffer.concat([name(of), fixed, data]);
}

/** What announces a host at an address. */
function announcement(peer: string, address: string): Buffer {
  const instance = `liar.${service}`;
  const text = Buffer.from(`dnsaddr=/ip4/${address}/tcp/7470/p2p/${peer}`);
  const header = Buffer.from([0, 0, 0x84, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
  return Buffer.concat([header, record(service, 12, name(instance)), record(instance, 16, Buffer.concat([Buffer.from([text.length]), text]))]);
}

test('who announces a host where it is not, before it is there itself, does not hide it', { timeout: 300_000 }, async (t) => {
  const found = new Set<string>();
  const hidden = new KeyPair(systemRandom.bytes(32));
  const peer = peerIdOf(hidden.publicKey);
  const open = (key: KeyPair): Promise<WireNode> =>
    openLibp2pNode(
      { key, listen: '0.0.0.0:0', tls: 'native', kademlia: false, mdns: true },
      {
        admits: () => true,
        isAddressOfMember: () => false,
        isMember: () => false,
        onConnection: () => {},
        onStream: () => {},
        onDiscovery: (whom, addresses) => whom === peer && addresses.forEach((address) => found.add(address)),
        onHandshakeError: () => {},
      },
    );
  const nodes = [await open(new KeyPair(systemRandom.bytes(32)))];
  const liar = createSocket('udp4');
  try {
    const until = async (isSo: () => boolean, ms: number): Promise<boolean> => {
      for (const end = performance.now() + ms; !isSo() && performance.now() < end;) {
        liar.send(announcement(peer, '192.0.2.1'), 5353, '224.0.0.251', () => {});
        await sleep(100);
      }
      return isSo();
    };
    if (!(await until(() => found.has('192.0.2.1:7470'), 5000))) return t.skip('no multicast on this machine');
    nodes.push(await open(hidden));
    const { port } = new URL(`tcp://${nodes[1]!.addresses()[0]!}`);
    assert.ok(await until(() => [...found].some((address) => address.endsWith(`:${port}`)), 30_000), 'it is found, too');
  } finally {
    liar.close();
    await Promise.all(nodes.map((node) => node.close()));
  }
});
