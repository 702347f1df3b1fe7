/** The hosts of a lab as one cluster of real daemons. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';

import { ControlClient } from '../../src/api/index.ts';
import { post, type Reply } from '../plugin/calls.ts';
import type { LabHost } from './host.ts';
import type { DockerLab } from './lab.ts';
import type { HostProcess } from './namespaces.ts';
import type { PluginForm, RunningPlugin } from './plugin-forms.ts';
import { childrenOf, eventually, type Outcome } from './process.ts';

const main = path.join(import.meta.dirname, '../../src/cli/main.ts');
const port = 7470;
/** Three hosts that start at once on a busy machine take their time. */
const clusterMs = 60_000;

/** A daemon on a host of a lab, with what its operator can do to it. */
export class HostDaemon implements RunningPlugin {
  readonly host: LabHost;
  readonly address: string;
  /** The host's own /run, seen from outside. */
  readonly controlSocket: string;
  readonly client: ControlClient;
  readonly #env: NodeJS.ProcessEnv;
  #process: HostProcess | undefined;

  constructor(host: LabHost, address: string, env: NodeJS.ProcessEnv = {}) {
    this.host = host;
    this.address = `${address}:${port}`;
    this.controlSocket = `/proc/${host.pid}/root/run/infinit/control.sock`;
    this.client = new ControlClient(this.controlSocket);
    this.#env = {
      ...process.env,
      INFINIT_STATE_DIR: path.join(host.directory, 'state'),
      INFINIT_MOUNT_DIR: this.mountDir,
      INFINIT_CONTROL_SOCKET: '/run/infinit/control.sock',
      INFINIT_PLUGIN_SOCKET: '/run/docker/plugins/infinit.sock',
      INFINIT_DOCKER_SOCKET: host.dockerSocket,
      INFINIT_NAME: host.name,
      INFINIT_LISTEN: this.address,
      INFINIT_REPLICAS: '3',
      INFINIT_LOG_LEVEL: 'debug',
      ...env,
    };
  }

  get mountDir(): string {
    return path.join(this.host.directory, 'mounts');
  }

  /** Its processes, as seen from outside; none while it is away. */
  get pids(): readonly number[] {
    const own = this.#process;
    return own === undefined || own.child.exitCode !== null || own.child.signalCode !== null ? [] : [own.pid, ...childrenOf(own.pid)];
  }

  get log(): string {
    return this.host.log('daemon');
  }

  /** @param env for this start alone: INFINIT_JOIN, INFINIT_TOKEN. */
  async start(env: NodeJS.ProcessEnv = {}): Promise<void> {
    // Tests have other users' programs there; a daemon's own is for root alone.
    mkdirSync(this.mountDir, { recursive: true, mode: 0o711 });
    this.#process = await this.host.spawn('daemon', process.execPath, [main, 'daemon'], { ...this.#env, ...env });
    await this.answers();
  }

  async answers(): Promise<void> {
    await eventually(
      `the daemon of ${this.host.name} answers`,
      () => {
        if (this.#process!.child.exitCode !== null) throw new Error(`the daemon of ${this.host.name} ended: ${this.log.slice(-3000)}`);
        return this.client.status().then(
          () => true,
          () => undefined,
        );
      },
      clusterMs,
    );
  }

  /** The command line on this host. */
  infinit(...args: string[]): Promise<string> {
    return this.host.must(process.execPath, [main, ...args]);
  }

  /** A shell command on this host, in the directory of a mounted volume. */
  sh(volume: string, script: string, timeoutMs = 120_000): Promise<string> {
    return this.host.must('sh', ['-ec', `cd ${path.join(this.mountDir, volume)}; ${script}`], { timeoutMs });
  }

  /** The same where it may fail. */
  try(volume: string, script: string, timeoutMs = 120_000): Promise<Outcome> {
    return this.host.run('sh', ['-ec', `cd ${path.join(this.mountDir, volume)}; ${script}`], { timeoutMs });
  }

  async mount(volume: string): Promise<void> {
    await this.client.createVolume(volume);
    await this.client.mountVolume(volume, 'test');
  }

  /** Stops both processes in their tracks, or lets them go on. */
  freeze(signal: 'SIGSTOP' | 'SIGCONT'): void {
    // nsenter stops with its child, but does not go on with it.
    const outer = signal === 'SIGCONT' ? [this.#process!.child.pid!] : [];
    for (const pid of [...childrenOf(this.#process!.pid), this.#process!.pid, ...outer]) process.kill(pid, signal);
  }

  /** The upgrade: the holder gets another daemon. */
  async replace(): Promise<void> {
    const [before] = childrenOf(this.#process!.pid);
    process.kill(this.#process!.pid, 'SIGUSR2');
    await eventually('the daemon is another one', () => (childrenOf(this.#process!.pid).some((pid) => pid !== before) ? true : undefined), clusterMs);
    await this.answers();
  }

  /** kill -9 of the daemon alone, and of so many less one that the holder starts after it, each after `liveMs`. */
  async crash(times = 1, liveMs = 0): Promise<void> {
    for (let left = times; left > 0; left--) {
      const [before] = childrenOf(this.#process!.pid);
      process.kill(before!, 'SIGKILL');
      await eventually(
        'the daemon is another one',
        () => (childrenOf(this.#process!.pid).some((pid) => pid !== before) ? true : undefined),
        clusterMs,
      );
      if (left > 1) await new Promise((resolve) => setTimeout(resolve, liveMs));
    }
    await this.answers();
  }

  async kill(): Promise<void> {
    const holder = this.#process!;
    const daemons = childrenOf(holder.pid);
    const gone = holder.kill('SIGKILL');
    for (const pid of daemons) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It noticed that the holder is gone, and went too.
      }
    }
    await gone;
  }

  async stop(): Promise<void> {
    await this.#process?.kill('SIGTERM');
  }

  async call(name: string, body: object | string): Promise<Reply> {
    return await post(path.join(this.host.pluginDirectory, 'infinit.sock'), name, typeof body === 'string' ? body : JSON.stringify(body));
  }
}

/**
 * One cluster of all hosts of the lab: the first founds it, the second joins by the command line, the others by the environment.
 * @param env of single hosts, by index.
 * @param hosts The first ones of the lab, where others are to {@link join} later.
 */
export async function formCluster(lab: DockerLab, env: readonly NodeJS.ProcessEnv[] = [], hosts = lab.hosts.length): Promise<readonly HostDaemon[]> {
  const daemons = lab.hosts.slice(0, hosts).map((host, index) => new HostDaemon(host, lab.addressOf(index), env[index]));
  const [first, second, ...others] = daemons;
  const token = tokenOf(lab);
  await Promise.all([first!.start(), second?.start()]);
  await first!.infinit('cluster', 'init');
  await first!.infinit('cluster', 'token', 'create', '--uses', '10', token);
  await second?.infinit('cluster', 'join', token, first!.address);
  await Promise.all(others.map((daemon) => daemon.start({ INFINIT_JOIN: first!.address, INFINIT_TOKEN: token })));
  await complete(daemons);
  return daemons;
}

function tokenOf(lab: DockerLab): string {
  return path.join(lab.directory, 'token');
}

/** A further host of the lab, which joins the others; it is a member when this returns. */
export async function join(lab: DockerLab, index: number): Promise<HostDaemon> {
  const daemon = new HostDaemon(lab.hosts[index]!, lab.addressOf(index));
  await daemon.start({ INFINIT_JOIN: `${lab.addressOf(0)}:${port}`, INFINIT_TOKEN: tokenOf(lab) });
  await eventually(`${daemon.host.name} is let in`, async () => ((await isMember(daemon)) ? true : undefined), clusterMs);
  return daemon;
}

/** Until it knows that it is one it refuses work, though it may be in the roster by then. */
function isMember({ client }: HostDaemon): Promise<boolean> {
  return client.listVolumes().then(
    () => true,
    () => false,
  );
}

/** Waits until every host works, sees every other, all of them store, and blocks are where they belong. */
export async function complete(daemons: readonly HostDaemon[]): Promise<void> {
  for (const daemon of daemons) {
    await eventually(
      `${daemon.host.name} sees all hosts`,
      async () => {
        const nodes = await daemon.client.listNodes();
        const { roster } = await daemon.client.status();
        const together = nodes.length === daemons.length && nodes.every(({ self, state }) => self || state === 'up');
        const settled = together && roster.views.length === 1 && roster.hosts === daemons.length;
        return settled && (await isMember(daemon)) ? true : undefined;
      },
      clusterMs,
    );
  }
}

/** For scenes, which only ask what the driver is called. */
export const clusterForm: PluginForm = {
  name: 'cluster',
  driver: 'infinit',
  reportedDriver: 'infinit',
  announced: true,
  start: () => Promise.reject(new Error('daemons of a cluster are started together')),
};
