import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';

import { InfinitError, insistOnFileNow, type LogLevel, logLevels, messageOf, plainly } from '../base/index.ts';
import { defaultPort, withPort } from './host-port.ts';
import { nearest } from './nearest.ts';
import { quotaBytes, sizeType } from './option-values.ts';

/**
 * The daemon's settings: one table from which the flags, the INFINIT_* environment, the config file and `infinit daemon --help`
 * all come. Parsed once, at the edge; inside there is only the validated, frozen {@link DaemonConfig}.
 */
export interface DaemonConfig {
  readonly stateDir: string;
  readonly listen: { readonly host: string; readonly port: number } | undefined;
  readonly join: readonly string[];
  readonly token: string | undefined;
  /** Ways to find a first member besides `join`. */
  readonly discover: readonly DiscoveryWay[];
  /** `HOST:PORT` to tell others in place of the network interfaces' addresses; empty: those. */
  readonly advertise: readonly string[];
  readonly tls: TlsKind;
  /** Keep a Kademlia table of peers' addresses. */
  readonly dht: boolean;
  readonly pluginSocket: string | undefined;
  readonly controlSocket: string;
  readonly mountDir: string;
  readonly replicas: number;
  /** Silence after which another host takes the place of one, in ms. */
  readonly evictionDelayMs: number;
  /** Bytes that repair moves in a second at the most, and that scrub reads; scrub: 0 for none. */
  readonly repairBytesPerSecond: number;
  readonly scrubBytesPerSecond: number;
  readonly zone: string;
  /** Bytes this host offers; 0: it stores nothing; undefined: what its file system has. */
  readonly capacity: number | undefined;
  readonly name: string;
  readonly logLevel: LogLevel;
  readonly dockerSocket: string | undefined;
  readonly idleLatency: IdleLatency;
  readonly metrics: { readonly host: string; readonly port: number } | undefined;
}

/** `swarm`: the hosts that the local Docker Engine knows of its swarm; `mdns`: multicast on the local network. */
export const discoveryWays = ['swarm', 'mdns'] as const;
export type DiscoveryWay = (typeof discoveryWays)[number];
/** Whose TLS secures connections between hosts; both say the same on the wire. */
export const tlsKinds = ['native', 'stock'] as const;
export type TlsKind = (typeof tlsKinds)[number];

/** `request`: processors are kept awake while requests flow; `leave`: they sleep as the machine is set up. */
export const idleLatencies = ['request', 'leave'] as const;
export type IdleLatency = (typeof idleLatencies)[number];

interface Setting<T> {
  readonly flag: string;
  readonly value: string;
  readonly fallback: () => string;
  readonly help: string;
  readonly parse: (text: string, flag: string) => T;
}

const optionalText = (value: string): string | undefined => (value === '' || value === 'none' ? undefined : value);

function refuse(flag: string, value: string, wanted: string): never {
  throw new InfinitError('bad-argument', `${flag}: "${value}" is not ${wanted}`);
}

/** An empty one, of a script whose variable is not set, would be the directory in which that runs. */
function parseAbsolute(value: string, flag: string): string {
  if (value === '') refuse(flag, value, 'a path');
  return path.resolve(value);
}

const maxPort = 65_535;

function parseEndpoint(value: string, flag: string): { host: string; port: number } | undefined {
  if (value === '' || value === 'none') return undefined;
  const match = /^(?<host>\[[^\]]+\]|[^:]+):(?<port>\d{1,5})$/.exec(value);
  const port = Number(match?.groups?.['port']);
  if (match === null || port > maxPort) refuse(flag, value, 'IP:PORT, such as 0.0.0.0:7470 (or "none")');
  return { host: match.groups!['host']!.replace(/^\[|\]$/g, ''), port };
}

function parseList(value: string): string[] {
  return value.split(',').flatMap((item) => (item.trim() === '' ? [] : [item.trim()]));
}

function parseDiscovery(value: string, flag: string): DiscoveryWay[] {
  if (value === 'none') return [];
  const ways = parseList(value);
  const wrong = ways.find((way) => !discoveryWays.includes(way as DiscoveryWay));
  if (wrong !== undefined) refuse(flag, wrong, `one of ${discoveryWays.join(', ')} (or "none")`);
  return ways as DiscoveryWay[];
}

function parseAddresses(value: string, flag: string, addresses = parseList(value)): string[] {
  const wrong = addresses.find((address) => {
    const port = /^(?:\[[^\]]+\]|[\w.-]+):(?<port>\d{1,5})$/.exec(address)?.groups!['port'];
    return port === undefined || Number(port) === 0 || Number(port) > maxPort;
  });
  if (wrong !== undefined) refuse(flag, wrong, 'HOST:PORT');
  return addresses;
}

function parseTls(value: string, flag: string): TlsKind {
  if (!tlsKinds.includes(value as TlsKind)) refuse(flag, value, `one of ${tlsKinds.join(', ')}`);
  return value as TlsKind;
}

function parseIdleLatency(value: string, flag: string): IdleLatency {
  if (!idleLatencies.includes(value as IdleLatency)) refuse(flag, value, idleLatencies.join(' or '));
  return value as IdleLatency;
}

function parseSwitch(value: string, flag: string): boolean {
  if (value !== 'on' && value !== 'off') refuse(flag, value, 'on or off');
  return value === 'on';
}

function parseReplicas(value: string, flag: string): number {
  if (!['1', '3', '5', '7', '9'].includes(value)) refuse(flag, value, '1, 3, 5, 7 or 9');
  return Number(value);
}

function parseCapacity(value: string, flag: string): number | undefined {
  if (value === '') return undefined;
  if (value === '0') return 0;
  const canonical = sizeType.canonical(value);
  if (canonical === undefined) refuse(flag, value, `0 (store nothing) or ${sizeType.wanted}`);
  return quotaBytes(canonical) || undefined;
}

function parseRate(value: string, flag: string): number {
  const canonical = sizeType.canonical(value);
  const bytes = canonical === undefined ? 0 : quotaBytes(canonical);
  if (bytes <= 0) refuse(flag, value, 'a number of bytes above 0, such as 64MiB');
  return bytes;
}

function parseDuration(value: string, flag: string): number {
  const match = /^(?<count>\d+)(?<unit>s|m|h|d)$/.exec(value);
  const ms =
    Number(match?.groups!['count']) * { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[(match?.groups!['unit'] ?? 's') as 's' | 'm' | 'h' | 'd'];
  if (!(ms >= 1000)) refuse(flag, value, 'a time of at least a second, such as 30s, 10m or 2h');
  return ms;
}

function parseLevel(value: string, flag: string): LogLevel {
  if (!logLevels.includes(value as LogLevel)) refuse(flag, value, `one of ${logLevels.join(', ')}`);
  return value as LogLevel;
}

function parseName(value: string, flag: string): string {
  if (!/^[\w.-]{1,64}$/.test(value)) refuse(flag, value, '1 to 64 letters, digits, ".", "_" or "-"');
  return value;
}

const environmentPrefix = 'INFINIT_';

const settings: { readonly [K in keyof DaemonConfig]: Setting<DaemonConfig[K]> } = {
  stateDir: {
    flag: 'state-dir',
    value: 'DIR',
    fallback: () => '/var/lib/infinit',
    help: 'where this host keeps its blocks and identity',
    parse: parseAbsolute,
  },
  listen: {
    flag: 'listen',
    value: 'IP:PORT',
    fallback: () => `0.0.0.0:${defaultPort}`,
    help: 'where other hosts reach this one, once there is a cluster',
    parse: parseEndpoint,
  },
  join: {
    flag: 'join',
    value: 'HOST:PORT,…',
    fallback: () => '',
    help: `hosts of the cluster to join (without a port: ${defaultPort})`,
    parse: (value, flag) => parseAddresses(value, flag, parseList(value).map(withPort)),
  },
  token: {
    flag: 'token',
    value: 'FILE',
    fallback: () => '',
    help: 'file with the invitation from `infinit cluster token create`',
    parse: optionalText,
  },
  discover: {
    flag: 'discover',
    value: 'WAYS',
    fallback: () => 'swarm',
    help: 'how a host with a token finds a first member without --join: swarm (the hosts of its Docker Swarm), mdns (multicast), or "none"',
    parse: parseDiscovery,
  },
  advertise: {
    flag: 'advertise',
    value: 'HOST:PORT,…',
    fallback: () => '',
    help: 'where others reach this host, if not at the addresses of its network interfaces',
    parse: parseAddresses,
  },
  tls: {
    flag: 'tls',
    value: 'KIND',
    fallback: () => 'native',
    help: "whose TLS: native (Node's own, faster) or stock (libp2p's); they understand each other",
    parse: parseTls,
  },
  dht: {
    flag: 'dht',
    value: 'on|off',
    fallback: () => 'off',
    help: 'keep a Kademlia table of addresses: finds members whose address changed while this host was away; costs memory',
    parse: parseSwitch,
  },
  pluginSocket: {
    flag: 'plugin-socket',
    value: 'PATH',
    fallback: () => '/run/docker/plugins/infinit.sock',
    help: 'where dockerd finds the volume plugin ("none": no plugin)',
    parse: optionalText,
  },
  controlSocket: {
    flag: 'control-socket',
    value: 'PATH',
    fallback: () => '/run/infinit/control.sock',
    help: 'where the command line talks to the daemon',
    parse: parseAbsolute,
  },
  mountDir: {
    flag: 'mount-dir',
    value: 'DIR',
    fallback: () => '/var/lib/infinit-volumes',
    help: 'below which volumes are mounted',
    parse: parseAbsolute,
  },
  replicas: {
    flag: 'replicas',
    value: 'N',
    fallback: () => '3',
    help: 'copies of each block (1, 3, 5, 7 or 9), in a cluster those that its first host was started with, for good; fewer hosts keep fewer and say DEGRADED',
    parse: parseReplicas,
  },
  evictionDelayMs: {
    flag: 'eviction-delay',
    value: 'TIME',
    fallback: () => '10m',
    help: 'how long a host may be silent before its blocks are copied to others (30s, 10m, 2h …)',
    parse: parseDuration,
  },
  repairBytesPerSecond: {
    flag: 'repair-rate',
    value: 'SIZE',
    fallback: () => '64MiB',
    help: 'how much of blocks this host moves in a second at the most when copies are made or moved; clients go first in any case',
    parse: parseRate,
  },
  scrubBytesPerSecond: {
    flag: 'scrub-rate',
    value: 'SIZE',
    fallback: () => '4MiB',
    help: 'how much of its blocks this host reads in a second, once a week, to find damage ("none": not at all)',
    parse: (text, flag) => (text === 'none' ? 0 : parseRate(text, flag)),
  },
  zone: { flag: 'zone', value: 'Z', fallback: () => 'default', help: 'failure zone of this host: copies go to different zones', parse: parseName },
  capacity: {
    flag: 'capacity',
    value: 'SIZE',
    fallback: () => '',
    help: 'bytes this host offers (default: what its disk has); 0: it stores nothing, and uses what the other hosts of its cluster store',
    parse: parseCapacity,
  },
  name: { flag: 'name', value: 'NAME', fallback: hostname, help: 'what people call this host', parse: parseName },
  logLevel: { flag: 'log-level', value: 'LEVEL', fallback: () => 'info', help: 'debug, info, warn or error', parse: parseLevel },
  dockerSocket: {
    flag: 'docker-socket',
    value: 'PATH',
    fallback: () => '/var/run/docker.sock',
    help: 'the Docker Engine to announce the plugin to ("none": do not)',
    parse: optionalText,
  },
  idleLatency: {
    flag: 'idle-latency',
    value: 'request|leave',
    fallback: () => 'request',
    help: 'request: keep processors awake while requests flow (faster, takes power; needs /dev/cpu_dma_latency); leave: let them sleep',
    parse: parseIdleLatency,
  },
  metrics: { flag: 'metrics', value: 'IP:PORT', fallback: () => 'none', help: 'serve Prometheus metrics on TCP too', parse: parseEndpoint },
};

/** The table as the command line shows it. */
export const daemonOptions: readonly {
  readonly flag: string;
  readonly value: string;
  readonly help: string;
  readonly environment: string;
  readonly fallback: string;
}[] = Object.values(settings).map(({ flag, value, help, fallback }) => ({
  flag,
  value,
  help,
  environment: environmentName(flag),
  fallback: fallback(),
}));

function environmentName(flag: string): string {
  return `${environmentPrefix}${flag.toUpperCase().replaceAll('-', '_')}`;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`it is no JSON: ${messageOf(cause)}`, { cause });
  }
}

/** Of a file of settings. */
const maxConfigBytes = 1024 * 1024;

function readConfigFile(file: string | undefined): Record<string, unknown> {
  if (file === undefined || file === '') return {};
  insistOnFileNow(file, { code: 'bad-argument', maxBytes: maxConfigBytes });
  try {
    const content = parsed(readFileSync(file, 'utf8'));
    if (typeof content !== 'object' || content === null || Array.isArray(content)) throw new Error('it must hold one JSON object');
    return content as Record<string, unknown>;
  } catch (cause) {
    throw new InfinitError('bad-argument', `--config ${file}: ${plainly(cause)}`, { cause });
  }
}

/** What the config file has for a setting, as a flag would have it. */
function textIn(value: unknown, source: string): string {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(',');
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  throw new InfinitError('bad-argument', `${source}: ${JSON.stringify(value)} is no text, number or list of texts`);
}

/** A variable that is as good as certainly a setting's, mistyped: it would be passed over without a word otherwise. @returns what to say of each. */
export function mistypedVariables(environment: NodeJS.ProcessEnv): string[] {
  const known = [...Object.values(settings).map(({ flag }) => environmentName(flag)), 'INFINIT_CONFIG'];
  return Object.keys(environment).flatMap((name) => {
    if (!name.startsWith(environmentPrefix) || known.includes(name)) return [];
    const meant = nearest(
      name.slice(environmentPrefix.length),
      known.map((each) => each.slice(environmentPrefix.length)),
    );
    return meant === undefined ? [] : [`${name} is no setting: did you mean ${environmentPrefix}${meant}?`];
  });
}

/**
 * The settings from flags, else the environment, else the config file (a JSON object with the flags' names), else the default.
 * @throws InfinitError `bad-argument` that names the setting and where it came from.
 */
export function loadDaemonConfig(
  flags: Readonly<Record<string, string | undefined>>,
  environment: NodeJS.ProcessEnv,
  configFile?: string,
): DaemonConfig {
  const file = readConfigFile(configFile ?? environment['INFINIT_CONFIG']);
  const known = Object.values(settings).map((setting) => setting.flag);
  const stranger = Object.keys(file).find((key) => !known.includes(key));
  if (stranger !== undefined)
    throw new InfinitError('bad-argument', `the config file has an unknown setting "${stranger}"; known are ${known.join(', ')}`);
  const config: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(settings)) {
    const variable = environmentName(setting.flag);
    const inFile = `"${setting.flag}" in the config file`;
    const [given, source] =
      flags[setting.flag] !== undefined
        ? [flags[setting.flag], `--${setting.flag}`]
        : environment[variable] !== undefined && environment[variable] !== ''
          ? [environment[variable], variable]
          : file[setting.flag] !== undefined
            ? [textIn(file[setting.flag], inFile), inFile]
            : [setting.fallback(), `--${setting.flag}`];
    config[key] = setting.parse(given!, source);
  }
  return Object.freeze(config) as unknown as DaemonConfig;
}
