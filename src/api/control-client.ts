import { existsSync } from 'node:fs';

import { type ErrorCode, errorCodes, http, InfinitError } from '../base/index.ts';
import type { BlockReport, CallLimits } from './block-service.ts';
import type { SalvageAnswer, SalvageCall } from './repair-control.ts';
import { explainSocketFailure } from './socket-failure.ts';
import type { ClusterStatus, HostStatus, HostSummary, Left, TokenInfo, TokenState, VolumeCheck, VolumeUsage } from './status.ts';
import type { TrashedVolume, Volume } from './volume-service.ts';

/** Default of every control socket option: where a daemon with default settings listens. */
export const defaultControlSocket = '/run/infinit/control.sock';

/** Where the daemon of the managed plugin listens, as its host sees it. */
const managedControlSocket = '/var/lib/infinit/control.sock';

/** Which daemon is meant where nobody names one: of those that are where they are by default the one that is there. @param isThere Another than the disk's in tests. */
export function controlSocketOf(env: Readonly<Record<string, string | undefined>>, isThere: (path: string) => boolean = existsSync): string {
  const byDefault = isThere(managedControlSocket) && !isThere(defaultControlSocket) ? managedControlSocket : defaultControlSocket;
  return env['INFINIT_CONTROL_SOCKET'] || byDefault;
}

/** Milliseconds a control call may take; a mount on a slow cluster is the longest. */
const defaultDeadlineMs = 120_000;
/** The same of one that walks over a whole volume, or over all blocks of a host. */
const walkDeadlineMs = 3_600_000;

/** The control API's JSON calls, as the command line needs them; programs have {@link Infinit}. Calls reject with {@link InfinitError}: codes as in docs/errors.md. */
export class ControlClient {
  readonly #socketPath: string;
  readonly #deadlineMs: number;

  constructor(socketPath: string = defaultControlSocket, deadlineMs: number = defaultDeadlineMs) {
    this.#socketPath = socketPath;
    this.#deadlineMs = deadlineMs;
  }

  status(): Promise<HostStatus> {
    return this.#call('GET', '/v1/status');
  }

  /** Asks every host of the cluster. */
  clusterStatus(): Promise<ClusterStatus> {
    return this.#call('GET', '/v1/cluster');
  }

  /** Makes a new cluster of this host; returns its id. */
  initCluster(): Promise<{ readonly clusterId: string; readonly keyFile: string }> {
    return this.#call('POST', '/v1/cluster');
  }

  /** Joins the daemon's host to a cluster with the text of a token. */
  async joinCluster(addresses: readonly string[], token: string, how: { readonly force?: boolean } = {}): Promise<void> {
    await this.#call('POST', '/v1/cluster/join', { addresses, token, ...how });
  }

  /** Has the daemon's host leave its cluster for good, or take back a join that nobody has answered yet. */
  leaveCluster(how: { readonly force?: boolean } = {}): Promise<Left> {
    return this.#call('POST', '/v1/cluster/leave', how);
  }

  listTokens(): Promise<readonly TokenState[]> {
    return this.#call('GET', '/v1/cluster/tokens');
  }

  /** Gives a member the right to invite and to expel. */
  async grantNode(name: string): Promise<void> {
    await this.#call('POST', `/v1/nodes/${encodeURIComponent(name)}/grant`, {});
  }

  createToken(request: { readonly rights?: readonly string[]; readonly expiresInMs?: number; readonly uses?: number } = {}): Promise<TokenInfo> {
    return this.#call('POST', '/v1/cluster/tokens', request);
  }

  /** Ends an invitation; with `hosts` expels who joined with it, and returns them. `unsafe`: as for {@link removeNode}. */
  async revokeToken(
    id: string,
    { hosts = false, unsafe = false }: { readonly hosts?: boolean; readonly unsafe?: boolean } = {},
  ): Promise<readonly string[]> {
    const query = new URLSearchParams({ ...(hosts ? { hosts: 'true' } : {}), ...(unsafe ? { unsafe: 'true' } : {}) }).toString();
    const path = `/v1/cluster/tokens/${encodeURIComponent(id)}${query === '' ? '' : `?${query}`}`;
    return (await this.#call<{ revokedHosts: readonly string[] }>('DELETE', path)).revokedHosts;
  }

  listNodes(): Promise<readonly HostSummary[]> {
    return this.#call('GET', '/v1/nodes');
  }

  /** Expels a host, by name or peer id; `unsafe`: also where some block may have no majority without it. */
  async removeNode(name: string, unsafe = false): Promise<void> {
    await this.#call('DELETE', `/v1/nodes/${encodeURIComponent(name)}${unsafe ? '?unsafe=true' : ''}`);
  }

  /** Has a host give its blocks away so that it can leave, or (`on` false) stay after all. It is done when its status says `fresh`. */
  async drainNode(name: string, on = true): Promise<void> {
    await this.#call(on ? 'PUT' : 'DELETE', `/v1/nodes/${encodeURIComponent(name)}/drain`);
  }

  /** Lists blocks of the daemon's host whose majority is out of reach; with `force` rewrites them from what is left. */
  salvage(call: SalvageCall): Promise<SalvageAnswer> {
    return this.#call('POST', '/v1/repair/salvage', call, walkDeadlineMs);
  }

  /** Has the daemon read all that it keeps, at its own rate where none is given. */
  async scrub(bytesPerSecond?: number): Promise<void> {
    await this.#call('POST', '/v1/repair/scrub', bytesPerSecond === undefined ? {} : { bytesPerSecond });
  }

  listVolumes(): Promise<readonly Volume[]> {
    return this.#call('GET', '/v1/volumes');
  }

  createVolume(name: string, options: Readonly<Record<string, string>> = {}): Promise<Volume> {
    return this.#call('POST', '/v1/volumes', { name, options });
  }

  inspectVolume(name: string): Promise<Volume> {
    return this.#call('GET', `/v1/volumes/${encodeURIComponent(name)}`);
  }

  async removeVolume(name: string, force = false): Promise<void> {
    await this.#call('DELETE', `/v1/volumes/${encodeURIComponent(name)}${force ? '?force=true' : ''}`);
  }

  /** Mounts on the daemon's host; returns the mount point. `holder` names who wants it, the same as in {@link unmountVolume}. */
  async mountVolume(name: string, holder: string): Promise<string> {
    const { mountpoint } = await this.#call<{ mountpoint: string }>('POST', `/v1/volumes/${encodeURIComponent(name)}/mount`, { holder });
    return mountpoint;
  }

  async unmountVolume(name: string, holder: string): Promise<void> {
    await this.#call('POST', `/v1/volumes/${encodeURIComponent(name)}/unmount`, { holder });
  }

  /** @param block An address or `@NAME`. */
  inspectBlock(block: string, { deadlineMs, signal }: CallLimits = {}): Promise<BlockReport> {
    const query = deadlineMs === undefined ? '' : `?deadlineMs=${Math.ceil(deadlineMs)}`;
    return this.#call('GET', `/v1/blocks/${encodeURIComponent(block)}/inspect${query}`, undefined, undefined, signal);
  }

  volumeUsage(name: string): Promise<VolumeUsage> {
    return this.#call('GET', `/v1/volumes/${encodeURIComponent(name)}/usage`);
  }

  /** Changes options of a volume, such as its size. */
  updateVolume(name: string, options: Readonly<Record<string, string>>): Promise<Volume> {
    return this.#call('PATCH', `/v1/volumes/${encodeURIComponent(name)}`, { options });
  }

  /** Looks whether a volume fits together; `repair`: also frees what crashed writers left, and corrects its usage. A large volume takes long. */
  checkVolume(name: string, repair = false): Promise<VolumeCheck> {
    return this.#call('POST', `/v1/volumes/${encodeURIComponent(name)}/check`, { repair }, walkDeadlineMs);
  }

  /** Removed volumes whose data is still there, the oldest first. */
  listTrash(): Promise<readonly TrashedVolume[]> {
    return this.#call('GET', '/v1/trash');
  }

  /** Brings a removed volume back, by name or id; `as`: under another name. */
  restoreVolume(which: string, as?: string): Promise<Volume> {
    return this.#call('POST', `/v1/trash/${encodeURIComponent(which)}/restore`, as === undefined ? {} : { name: as });
  }

  /** Deletes removed volumes for good, all or one. Returns what is being deleted; {@link listTrash} says when it is done. */
  emptyTrash(which?: string): Promise<readonly TrashedVolume[]> {
    return this.#call('DELETE', which === undefined ? '/v1/trash' : `/v1/trash/${encodeURIComponent(which)}`);
  }

  #call<T>(method: string, path: string, body?: unknown, deadlineMs: number = this.#deadlineMs, signal?: AbortSignal): Promise<T> {
    // What an unset variable of a script leaves: such a path would be that of all things of the kind.
    if (/\/(\/|\?|$)/.test(path)) return Promise.reject(new InfinitError('bad-argument', 'a name is wanted, and the one that was given is empty'));
    return new Promise<T>((resolve, reject) => {
      const request = { socketPath: this.#socketPath, method, path, headers: { 'content-type': 'application/json' }, agent: ownConnection } as const;
      const call = http().request(request, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', (cause: NodeJS.ErrnoException) => reject(explainSocketFailure(cause, this.#socketPath, method)));
        response.on('end', () => {
          try {
            const answer: unknown = JSON.parse(Buffer.concat(parts).toString('utf8'));
            if (response.statusCode! < 300) resolve(answer as T);
            else if (isFailure(answer)) reject(failureIn(answer));
            else throw new Error(`it answered ${response.statusCode}`);
          } catch (cause) {
            const mayBeDone = method !== 'GET' && response.statusCode! < 300;
            const words = `${this.#socketPath} does not speak Infinit's control API${mayBeDone ? ', and may have done it' : ''}`;
            reject(new InfinitError(mayBeDone ? 'unknown-outcome' : 'unavailable', words, { cause }));
          }
        });
      });
      const late = method === 'GET' ? 'deadline-exceeded' : 'unknown-outcome';
      const words = `the daemon took more than ${deadlineMs / 1000} s${method === 'GET' ? '' : ', and may be at it still'}: see \`infinit status\``;
      const cancel = (): void => void call.destroy(new InfinitError('cancelled', 'the call was cancelled, and may be done all the same'));
      signal?.addEventListener('abort', cancel, { once: true });
      call.once('close', () => signal?.removeEventListener('abort', cancel));
      if (signal?.aborted === true) cancel();
      call.setTimeout(deadlineMs, () => call.destroy(new InfinitError(late, words)));
      call.on('error', (cause: NodeJS.ErrnoException) => reject(explainSocketFailure(cause, this.#socketPath, method)));
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}

/**
 * One for each call: the daemon closes one that was idle, and where a program was busy for that long it knows of that only once it has sent its next call there, of which
 * nobody could tell it whether it was done.
 */
const ownConnection = false;

interface Failure {
  readonly code: string;
  readonly message: string;
}

/** Others that speak HTTP on a socket, such as the volume plugin, say what is amiss in another way. */
function isFailure(answer: unknown): answer is Failure {
  const { code, message } = (answer ?? {}) as Partial<Failure>;
  return typeof code === 'string' && typeof message === 'string';
}

function failureIn({ code, message }: Failure): InfinitError {
  return new InfinitError(Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : 'bug', message);
}
