import { Blocks } from './blocks.ts';
import { Connection } from './connection.ts';
import { ControlClient, controlSocketOf } from './control-client.ts';
import type { ClusterStatus, HostStatus, VolumeUsage } from './status.ts';
import type { Volume } from './volume-service.ts';

/**
 * A program's way to the daemon of its host, and through it to the whole store.
 *
 * ```ts
 * import { connect } from 'infinit';
 *
 * await using infinit = connect();
 * const counter = await infinit.blocks.create('0');
 * await infinit.blocks.modify(counter.address, (block) => String(Number(block?.text()) + 1));
 * ```
 */
export class Infinit implements AsyncDisposable {
  readonly blocks: Blocks;
  readonly volumes: Volumes;
  readonly #connection: Connection;
  readonly #control: ControlClient;

  /** @param socketPath The daemon's control socket. */
  constructor(socketPath: string) {
    this.#connection = new Connection(socketPath);
    this.#control = new ControlClient(socketPath);
    this.blocks = new Blocks(this.#connection, this.#control);
    this.volumes = new Volumes(this.#control);
  }

  /** How this host is. */
  status(): Promise<HostStatus> {
    return this.#control.status();
  }

  /** How every host of the cluster is, and which do not answer. */
  clusterStatus(): Promise<ClusterStatus> {
    return this.#control.clusterStatus();
  }

  /** Ends the connection. An idle one keeps no program alive. */
  close(): void {
    this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** Volumes, as `infinit volume` manages them. Every call may be repeated safely. */
export class Volumes {
  readonly #control: ControlClient;

  constructor(control: ControlClient) {
    this.#control = control;
  }

  list(): Promise<readonly Volume[]> {
    return this.#control.listVolumes();
  }

  /** @param options As in docs/docker.md, such as `{ size: '10G' }`. @throws InfinitError `already-exists` where it exists with other options. */
  create(name: string, options: Readonly<Record<string, string>> = {}): Promise<Volume> {
    return this.#control.createVolume(name, options);
  }

  /** @throws InfinitError `not-found`. */
  inspect(name: string): Promise<Volume> {
    return this.#control.inspectVolume(name);
  }

  /** @throws InfinitError `in-use` where any host has it mounted. */
  remove(name: string): Promise<void> {
    return this.#control.removeVolume(name);
  }

  /**
   * Mounts on this host.
   * @param holder Who wants it; the volume stays mounted until every holder has called {@link unmount}.
   * @returns The directory.
   */
  mount(name: string, holder: string): Promise<string> {
    return this.#control.mountVolume(name, holder);
  }

  unmount(name: string, holder: string): Promise<void> {
    return this.#control.unmountVolume(name, holder);
  }

  usage(name: string): Promise<VolumeUsage> {
    return this.#control.volumeUsage(name);
  }
}

/**
 * Connects a program to the daemon on this host. Nothing is sent before the first call, and a broken connection is made again by the next.
 * @param socketPath The daemon's control socket; else INFINIT_CONTROL_SOCKET, else where a daemon with default settings listens.
 */
export function connect(socketPath: string = controlSocketOf(process.env)): Infinit {
  return new Infinit(socketPath);
}
