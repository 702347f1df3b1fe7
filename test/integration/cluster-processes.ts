import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { freePort } from '../suites/free-port.ts';
import { DaemonProcess } from './daemon-process.ts';

/** How long moving blocks may take, in ms. */
const settleDeadlineMs = 90_000;

/** Several real daemons on this machine that form one cluster over loopback. */
export class ClusterProcesses implements AsyncDisposable {
  readonly hosts: DaemonProcess[] = [];
  readonly #directory: string;
  readonly #flags: readonly string[];
  #address = '';

  private constructor(directory: string, flags: readonly string[]) {
    this.#directory = directory;
    this.#flags = flags;
  }

  /**
   * @param base Where their state is kept.
   * @param flags Further flags of each daemon.
   * @param programs What they run, the first of them first; absent: this project.
   */
  static async start(count: number, base = tmpdir(), flags: readonly string[] = [], programs: readonly string[] = []): Promise<ClusterProcesses> {
    const directory = await mkdtemp(path.join(base, 'infinit-cluster-'));
    await chmod(directory, 0o711);
    const cluster = new ClusterProcesses(directory, flags);
    try {
      for (let index = 0; index < count; index++) await cluster.#open([], programs[index]);
      const [first, ...others] = cluster.hosts;
      await first!.client.initCluster();
      for (const host of others) await cluster.#join(host);
      await cluster.complete();
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where a host that is to join reaches the first one. */
  get address(): string {
    return this.#address;
  }

  /**
   * A further host, which joins.
   * @param rights Of its token; absent: what a token gives.
   */
  async add(flags: readonly string[] = [], rights?: readonly string[]): Promise<DaemonProcess> {
    const host = await this.#open(flags);
    await this.#join(host, rights);
    return host;
  }

  /** Waits until every host sees every other, all of them store, and blocks are where they belong. */
  async complete(): Promise<void> {
    await this.settled(this.hosts, async (host) => {
      const nodes = await host.client.listNodes();
      // Versions up to November 2026 say that another host is alive.
      return nodes.length === this.hosts.length && nodes.every(({ self, state }) => self || state === 'up' || state === 'alive');
    });
  }

  /** Waits until these hosts know one view of the roster, of so many hosts as they are. */
  async settled(hosts: readonly DaemonProcess[], also: (host: DaemonProcess) => Promise<boolean> = () => Promise.resolve(true)): Promise<void> {
    const deadline = performance.now() + settleDeadlineMs;
    for (const host of hosts) {
      for (;;) {
        const { roster } = await host.client.status();
        if (roster.views.length === 1 && roster.hosts === hosts.length && (await also(host))) break;
        if (performance.now() > deadline) throw new Error(`the cluster does not come together: ${JSON.stringify(roster)}\n${host.log}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Hosts that stop in order wait for each other's answers; nothing of theirs is needed any more.
    await Promise.allSettled(this.hosts.map((host) => host.kill()));
    await Promise.allSettled(this.hosts.map((host) => host[Symbol.asyncDispose]()));
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #open(flags: readonly string[] = [], program?: string): Promise<DaemonProcess> {
    const name = `h${this.hosts.length}`;
    const listen = `127.0.0.1:${await freePort()}`;
    if (this.#address === '') this.#address = listen;
    const all = ['--listen', listen, '--name', name, '--replicas', '3', ...this.#flags, ...flags];
    const host = await DaemonProcess.start(path.join(this.#directory, name), all, program);
    this.hosts.push(host);
    return host;
  }

  async #join(host: DaemonProcess, rights?: readonly string[]): Promise<void> {
    const inviter = this.hosts.find((other) => other !== host && other.isRunning)!;
    const { text } = await inviter.client.createToken(rights === undefined ? {} : { rights });
    await host.client.joinCluster([this.#address], text);
  }
}
