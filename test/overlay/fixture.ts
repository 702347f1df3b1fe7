import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { type Clock, systemClock } from '../../src/base/index.ts';
import { MemoryNetwork, type MemberView, Overlay, type OverlayOptions, peerIdOf, type TokenRequest } from '../../src/overlay/index.ts';

/** Overlays in a temporary directory, closed and removed at the end. */
export class Cluster implements AsyncDisposable {
  readonly directory: string;
  readonly hosts: Overlay[] = [];
  readonly network: MemoryNetwork | undefined;
  readonly #defaults: Partial<OverlayOptions>;

  private constructor(directory: string, defaults: Partial<OverlayOptions>, network: MemoryNetwork | undefined) {
    this.directory = directory;
    this.#defaults = defaults;
    this.network = network;
  }

  /** On real sockets of the loopback interface. */
  static async onLoopback(defaults: Partial<OverlayOptions> = {}): Promise<Cluster> {
    return new Cluster(await mkdtemp(path.join(tmpdir(), 'infinit-overlay-')), { listen: '127.0.0.1:0', ...defaults }, undefined);
  }

  /** In this process's memory; peers are reached at `memory:PEER`. */
  static async inMemory(defaults: Partial<OverlayOptions> = {}): Promise<Cluster> {
    const network = new MemoryNetwork({ mesh: 'targets' });
    return new Cluster(await mkdtemp(path.join(tmpdir(), 'infinit-overlay-')), defaults, network);
  }

  async open(name: string, options: Partial<OverlayOptions> = {}): Promise<Overlay> {
    const overlay = await Overlay.open({
      stateDirectory: path.join(this.directory, name),
      name,
      zone: 'default',
      capacity: 1_000_000,
      ...(this.network === undefined ? {} : { makeTransport: ({ key }) => this.network!.open(peerIdOf(key.publicKey)) }),
      ...this.#defaults,
      ...options,
    });
    this.hosts.push(overlay);
    return overlay;
  }

  /** A new cluster's first host. */
  async first(name = 'a', options: Partial<OverlayOptions> = {}): Promise<Overlay> {
    const overlay = await this.open(name, options);
    await overlay.initCluster();
    return overlay;
  }

  async tokenFile(host: Overlay, request: TokenRequest = { uses: 1000 }): Promise<string> {
    const { id, text } = await host.createToken(request);
    const file = path.join(this.directory, `token-${id}`);
    await writeFile(file, `${text}\n`, { mode: 0o600 });
    return file;
  }

  /** Opens a host that joins by another. */
  async join(name: string, by: Overlay, options: Partial<OverlayOptions> = {}): Promise<Overlay> {
    const joined = await this.open(name, { tokenFile: await this.tokenFile(by), join: addressesOf(by), ...options });
    await joined.whenJoined(AbortSignal.timeout(15_000));
    return joined;
  }

  /** Ends a host without leaving the cluster. */
  async stop(host: Overlay): Promise<void> {
    this.hosts.splice(this.hosts.indexOf(host), 1);
    await host[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.hosts.map((host) => host[Symbol.asyncDispose]()));
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Where others reach a host. */
export function addressesOf(host: Overlay): readonly string[] {
  return host.members()[0]!.addresses;
}

/** How a host sees another. */
export function seenBy(host: Overlay, other: Overlay | string): MemberView | undefined {
  return host.member(typeof other === 'string' ? other : other.self);
}

/** The system's clock, some milliseconds off. */
export function clockOff(ms: number): Clock {
  return { monotonicMs: () => systemClock.monotonicMs(), wallMs: () => systemClock.wallMs() + ms };
}
