import { systemRandom } from '../../src/base/index.ts';
import { KeyPair } from '../../src/overlay/index.ts';
import { openLibp2pNode } from '../../src/overlay/libp2p/node.ts';
import type { WireEvents, WireNode } from '../../src/overlay/wire.ts';

/** A host that speaks libp2p but keeps to no rule of ours. */
export async function openIntruder(
  key = new KeyPair(systemRandom.bytes(32)),
  { listen, onStream = () => {} }: { readonly listen?: string; readonly onStream?: WireEvents['onStream'] } = {},
): Promise<WireNode & { readonly key: KeyPair }> {
  const node = await openLibp2pNode(
    { key, listen, tls: 'native', kademlia: false, mdns: false },
    {
      admits: () => true,
      isMember: () => true,
      isAddressOfMember: () => false,
      onConnection: () => {},
      onStream,
      onDiscovery: () => {},
      onHandshakeError: () => {},
    },
  );
  return Object.assign(node, { key });
}
