import { isIPv6 } from 'node:net';

/** Where daemons reach each other unless they are told otherwise. */
export const defaultPort = 7470;

/** `HOST:PORT` of what people write: where there is no port, the default one is meant. What is no host either comes back as it is. */
export function withPort(address: string): string {
  if (isIPv6(address)) return `[${address}]:${defaultPort}`;
  return /^([\w.-]+|\[[\w:.%]+\])$/.test(address) ? `${address}:${defaultPort}` : address;
}
