import type { PeerInfo } from '@libp2p/interface';
import { mdns, type MulticastDNSComponents } from '@libp2p/mdns';

const serviceTag = 'infinit.local';

/** What libp2p starts and stops with itself. */
export interface Multicast {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Finds hosts by multicast on the local network. libp2p is not told whom: of what it is told it announces only hosts that it never heard of, so that one lie about a
 * host, or a single attempt in vain, would hide it for ever; and of members it would keep every address that anybody says, each for an hour.
 */
export function multicast(components: MulticastDNSComponents, onFound: (host: PeerInfo) => void): Multicast {
  const discovery = mdns({ serviceTag })(components) as ReturnType<ReturnType<typeof mdns>> & Multicast;
  discovery.addEventListener('peer', ({ detail }) => onFound(detail));
  return { start: () => discovery.start(), stop: () => discovery.stop() };
}
