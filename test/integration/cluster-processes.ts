import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { DaemonProcess } from './daemon-process.ts';

/** A TCP port that nobody uses at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Several real daemons on this machine that form one cluster over loopback. */
export class ClusterProcesses implements AsyncDisposable {
  readonly hosts: readonly DaemonProcess[];
  readonly #directory: string;

  private constructor(directory: string, hosts: readonly DaemonProcess[]) {
    this.#directory = directory;
    this.hosts = hosts;
  }

  /** @param base Where their state is kept. */
  static async start(count: number, base = tmpdir()): Promise<ClusterProcesses> {
    const directory = await mkdtemp(path.join(base, 'infinit-cluster-'));
    await chmod(directory, 0o711);
    const hosts: DaemonProcess[] = [];
    const cluster = new ClusterProcesses(directory, hosts);
    try {
      const ports: number[] = [];
      for (let index = 0; index < count; index++) {
        ports.push(await freePort());
        hosts.push(
          await DaemonProcess.start(path.join(directory, `h${index}`), [
            '--listen',
            `127.0.0.1:${ports[index]}`,
            '--name',
            `h${index}`,
            '--replicas',
            '3',
          ]),
        );
      }
      await hosts[0]!.client.initCluster();
      const { text } = await hosts[0]!.client.createToken({ uses: count });
      for (const host of hosts.slice(1)) await host.client.joinCluster([`127.0.0.1:${ports[0]}`], text);
      await cluster.complete();
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Waits until every host sees every other, all of them store, and blocks are where they belong. */
  async complete(): Promise<void> {
    const deadline = performance.now() + 30_000;
    for (const host of this.hosts) {
      for (;;) {
        const nodes = await host.client.listNodes();
        const { roster } = await host.client.status();
        const together = nodes.length === this.hosts.length && nodes.every(({ self, state }) => self || state === 'alive');
        if (together && roster.views.length === 1 && roster.hosts === this.hosts.length) break;
        if (performance.now() > deadline) throw new Error(`the cluster does not come together: ${JSON.stringify(nodes)}\n${host.log}`);
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
}
