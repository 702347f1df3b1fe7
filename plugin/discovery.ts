import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import type Docker from 'dockerode';

import { type Logger, messageOf } from '../src/base/index.ts';

/** Milliseconds between attempts to reach an engine that is not there. */
const defaultRetryMs = 1000;
/** Milliseconds for one question to the engine; listing waits for its slowest volume plugin. */
const questionDeadlineMs = 60_000;
/** Milliseconds for the names in an error message. */
const containersDeadlineMs = 2000;

/** What {@link announce} needs. */
export interface AnnounceSettings {
  /** The engine's own API socket. */
  readonly socketPath: string;
  readonly logger: Logger;
  readonly retryMs?: number;
}

/** A host of the Docker Swarm that this host belongs to. */
export interface SwarmMember {
  readonly id: string;
  /** Workers learn only the managers' addresses, not their names. */
  readonly hostname: string | undefined;
  readonly address: string;
  readonly ready: boolean;
  readonly self: boolean;
}

/** A watch over the local engine; disposal ends it. */
export interface Announcement extends AsyncDisposable {
  /** Whether an engine answers at this moment. */
  readonly present: boolean;
  /** The containers that refer to a volume, running or not: "web.1 of service web". Undefined: the engine does not say. */
  containersOf(volume: string): Promise<readonly string[] | undefined>;
  /** The swarm's hosts as this engine knows them: all of them on a manager, the managers and itself on a worker; empty outside a swarm. */
  swarmMembers(signal: AbortSignal): Promise<readonly SwarmMember[]>;
}

/**
 * An engine activates a volume plugin lazily, and Swarm places tasks only on hosts that report it as activated: so ask for the list of volumes
 * once after each start of the engine. Call this when the plugin socket listens. That there is no engine is said once and is no failure.
 */
export function announce(settings: AnnounceSettings): Announcement {
  const docker = client(settings.socketPath);
  const stop = new AbortController();
  const watch = new EngineWatch(docker, settings, stop.signal);
  const watching = watch.run();
  return {
    get present() {
      return watch.present;
    },
    containersOf: async (volume) => (watch.present ? containersOf(docker, volume) : undefined),
    swarmMembers: async (signal) => swarmMembers(await docker, signal),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await watching;
    },
  };
}

/** Loaded when it is wanted: it takes longer to load than the plugin may take to answer. */
async function client(socketPath: string): Promise<Docker> {
  const { default: DockerClient } = await import('dockerode');
  return new DockerClient({ socketPath });
}

class EngineWatch {
  readonly #docker: Promise<Docker>;
  readonly #settings: AnnounceSettings;
  readonly #signal: AbortSignal;
  present = false;
  #saidAbsent = false;

  constructor(docker: Promise<Docker>, settings: AnnounceSettings, signal: AbortSignal) {
    this.#docker = docker;
    this.#settings = settings;
    this.#signal = signal;
  }

  async run(): Promise<void> {
    const { logger, socketPath, retryMs = defaultRetryMs } = this.#settings;
    while (!this.#signal.aborted) {
      try {
        await this.#announceAndWaitForItsEnd();
        if (!this.#signal.aborted) logger.info('the Docker Engine stopped; waiting for its return', { socket: socketPath });
        this.#saidAbsent = true;
      } catch (error) {
        if (!this.#signal.aborted && !this.#saidAbsent) {
          logger.warn('no Docker Engine: volumes can be mounted with `infinit volume mount`, and containers get them once an engine runs', {
            socket: socketPath,
            reason: reasonOf(error),
          });
        }
        this.#saidAbsent = true;
      }
      this.present = false;
      await sleep(retryMs, undefined, { signal: this.#signal }).catch(() => {});
    }
  }

  /** The stream of events ends when the engine does; asked for first, so that no restart falls between the two questions. */
  async #announceAndWaitForItsEnd(): Promise<void> {
    const docker = await this.#docker;
    const events = (await docker.getEvents({ filters: { type: ['daemon'] }, abortSignal: this.#signal })) as NodeJS.ReadableStream & {
      destroy(): void;
    };
    const end = once(events, 'close');
    // Waited for below; a failure before that must not count as unhandled.
    end.catch(() => {});
    events.resume();
    try {
      await docker.listVolumes({ abortSignal: AbortSignal.any([this.#signal, AbortSignal.timeout(questionDeadlineMs)]) });
      this.present = true;
      this.#saidAbsent = false;
      this.#settings.logger.info('the Docker Engine knows the plugin', { socket: this.#settings.socketPath });
      await end.catch(() => {});
    } finally {
      events.destroy();
    }
  }
}

function reasonOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'there is no such socket: is Docker installed and started?';
  if (code === 'ECONNREFUSED') return 'nobody answers on it: is dockerd running?';
  if (code === 'EACCES') return 'no right to use it: run this as root';
  return messageOf(error);
}

async function containersOf(docker: Promise<Docker>, volume: string): Promise<readonly string[] | undefined> {
  try {
    const abortSignal = AbortSignal.timeout(containersDeadlineMs);
    const found = await (await docker).listContainers({ all: true, filters: { volume: [volume] }, abortSignal });
    return found.map(({ Id, Names, Labels }) => {
      const service = Labels['com.docker.swarm.service.name'];
      const name = Names[0]?.replace(/^\//, '') ?? Id.slice(0, 12);
      return service === undefined ? name : `${name} of service ${service}`;
    });
  } catch {
    return undefined;
  }
}

/** The part of the engine's answers that counts here. */
interface EngineSwarm {
  readonly NodeID?: string;
  readonly NodeAddr?: string;
  readonly LocalNodeState?: string;
  readonly ControlAvailable?: boolean;
  readonly RemoteManagers?: readonly { readonly NodeID: string; readonly Addr: string }[] | null;
}
interface EngineNode {
  readonly ID: string;
  readonly Description?: { readonly Hostname?: string };
  readonly Status?: { readonly State?: string; readonly Addr?: string };
  readonly ManagerStatus?: { readonly Addr?: string };
}

/** What dockerode takes and its typings leave out. */
interface CancellableInfo {
  info(options: { readonly abortSignal: AbortSignal }): Promise<{ Swarm?: EngineSwarm; Name?: string }>;
}

async function swarmMembers(docker: Docker, abortSignal: AbortSignal): Promise<readonly SwarmMember[]> {
  const info = await (docker as unknown as CancellableInfo).info({ abortSignal });
  const swarm = info.Swarm;
  if (swarm?.LocalNodeState !== 'active') return [];
  if (swarm.ControlAvailable === true) {
    const nodes = (await docker.listNodes({ abortSignal })) as EngineNode[];
    return nodes.map((node) => ({
      id: node.ID,
      hostname: node.Description?.Hostname,
      // A manager that was reached through itself says 0.0.0.0 of itself.
      address: node.ID === swarm.NodeID ? (swarm.NodeAddr ?? '') : hostOf(node.ManagerStatus?.Addr ?? node.Status?.Addr ?? ''),
      ready: node.Status?.State === 'ready',
      self: node.ID === swarm.NodeID,
    }));
  }
  const managers = (swarm.RemoteManagers ?? []).map(({ NodeID, Addr }) => ({
    id: NodeID,
    hostname: undefined,
    address: hostOf(Addr),
    ready: true,
    self: false,
  }));
  return [{ id: swarm.NodeID ?? '', hostname: info.Name, address: swarm.NodeAddr ?? '', ready: true, self: true }, ...managers];
}

/** 10.0.0.1:2377 → 10.0.0.1, [fd00::1]:2377 → fd00::1; an address without a port stays as it is. */
function hostOf(address: string): string {
  const match = /^(?:\[(?<v6>[^\]]+)\]|(?<v4>[^:]+))(?::\d+)?$/.exec(address);
  return match?.groups?.['v6'] ?? match?.groups?.['v4'] ?? address;
}
