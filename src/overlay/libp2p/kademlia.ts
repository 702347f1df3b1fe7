import { identify } from '@libp2p/identify';
import { kadDHT, type KadDHTComponents, passthroughMapper } from '@libp2p/kad-dht';
import { ping } from '@libp2p/ping';
import type { ServiceFactoryMap } from 'libp2p';

import { InfinitError } from '../../base/index.ts';
import { protocols } from '../wire.ts';

/** The look-up services: a Kademlia table of members' addresses, with what it needs. */
export function kademliaServices(): ServiceFactoryMap {
  const kademlia = kadDHT({ protocol: protocols.kademlia, clientMode: false, peerInfoMapper: passthroughMapper });
  return {
    // Kademlia wants it to be there; what it would ask a peer the roster says, and a stranger is told nothing.
    identify: identify({ runOnConnectionOpen: false }),
    ping: ping(),
    kademlia: (components: KadDHTComponents) => kademlia(Object.create(components, { datastore: { value: noRecords } }) as KadDHTComponents),
  } as unknown as ServiceFactoryMap;
}

/**
 * Where Kademlia would keep the values and providers that peers have it keep, in memory and without a bound. Nothing here asks for either: who is asked to keep one
 * breaks the stream.
 */
const noRecords: Pick<KadDHTComponents['datastore'], 'put' | 'get' | 'has' | 'delete' | 'query'> = {
  put() {
    throw new InfinitError('unsupported', 'no records are kept for peers');
  },
  get() {
    throw Object.assign(new Error('no records are kept'), { name: 'NotFoundError' });
  },
  has: () => false,
  delete() {},
  async *query() {},
};
