import { networkInterfaces } from 'node:os';

import { InfinitError } from '../base/index.ts';

/** A TCP address as people write it. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** Longer than any host name with a port. */
const maxAddressLength = 300;

/** Reads `HOST:PORT` or `[IPv6]:PORT`. @throws InfinitError `bad-argument`. */
export function parseAddress(address: string): Endpoint {
  const match = address.length > maxAddressLength ? null : /^(?:\[(?<v6>[0-9a-fA-F:.%\w]+)\]|(?<name>[\w.-]+)):(?<port>\d{1,5})$/.exec(address);
  const port = Number(match?.groups?.['port']);
  if (match === null || port > 65_535) throw new InfinitError('bad-argument', `"${address.slice(0, 80)}" is not HOST:PORT`);
  return { host: (match.groups!['v6'] ?? match.groups!['name'])!, port };
}

export function formatAddress({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Interfaces whose addresses mean something on this machine only; every Docker host has the same ones. */
const localInterfaces = /^(docker|br-|veth|virbr|cni|flannel|podman|lxc)/;

/**
 * Where others may reach a listener: its own address, or for a wildcard the addresses of all interfaces, those of container bridges
 * last, loopback only where there is nothing else.
 */
export function reachableAddresses(listen: Endpoint): string[] {
  if (!['0.0.0.0', '::'].includes(listen.host)) return [formatAddress(listen)];
  const found: { address: string; rank: number }[] = [];
  for (const [name, entries] of Object.entries(networkInterfaces())) {
    for (const { address, family, internal, scopeid } of entries ?? []) {
      if (family === 'IPv6' && (listen.host === '0.0.0.0' || (scopeid ?? 0) !== 0)) continue;
      found.push({ address: formatAddress({ host: address, port: listen.port }), rank: internal ? 2 : localInterfaces.test(name) ? 1 : 0 });
    }
  }
  const useful = found.some(({ rank }) => rank < 2) ? found.filter(({ rank }) => rank < 2) : found;
  return useful.sort((a, b) => a.rank - b.rank).map(({ address }) => address);
}
