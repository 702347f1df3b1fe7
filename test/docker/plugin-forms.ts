import path from 'node:path';

import { post, type Reply } from '../plugin/calls.ts';
import type { LabHost } from './host.ts';
import type { HostProcess } from './namespaces.ts';
import { childrenOf, eventually } from './process.ts';

/** How a plugin is started on a host of the lab: what the tests take as their parameter. */
export interface PluginForm {
  /** For the names of tests. */
  readonly name: string;
  /** What `-d` takes. */
  readonly driver: string;
  /** What the engine calls it afterwards: a managed plugin has a tag. */
  readonly reportedDriver: string;
  /** Whether the engine must be told of it: it knows its managed plugins by itself. */
  readonly announced: boolean;
  /** Starts it and waits until it answers. @param socketPath another one than the engine's, for a {@link Recorder} in between. */
  start(host: LabHost, socketPath?: string): Promise<RunningPlugin>;
}

/** A plugin on a host. */
export interface RunningPlugin {
  /** The process that does the work is killed; comes back by itself, or is started again. Resolves when it answers. */
  crash(): Promise<void>;
  /** All of it is killed, as if the host had lost it for good; it stays dead. */
  kill(): Promise<void>;
  /** As a service manager does. */
  stop(): Promise<void>;
  /** Starts it again after {@link kill} or {@link stop}, with the same state. */
  start(): Promise<void>;
  /** A call past the engine. */
  call(name: string, body: object | string): Promise<Reply>;
}

/** The command of a plugin process. */
export type PluginCommand = (host: LabHost, socketPath: string) => { readonly args: readonly string[]; readonly env?: NodeJS.ProcessEnv };

/** A process that listens in the engine's plugin directory. */
export function socketForm(name: string, command: PluginCommand): PluginForm {
  return {
    name,
    driver: 'infinit',
    reportedDriver: 'infinit',
    announced: true,
    async start(host, socketPath = path.join(host.pluginDirectory, 'infinit.sock')) {
      // The host sees its plugin directory at the engine's place.
      const inside = socketPath.startsWith(host.pluginDirectory) ? path.join('/run/docker/plugins', path.basename(socketPath)) : socketPath;
      const plugin = new PluginProcess(host, command(host, inside), socketPath);
      await plugin.start();
      return plugin;
    },
  };
}

class PluginProcess implements RunningPlugin {
  readonly #host: LabHost;
  readonly #command: ReturnType<PluginCommand>;
  readonly #socketPath: string;
  #process: HostProcess | undefined;

  constructor(host: LabHost, command: ReturnType<PluginCommand>, socketPath: string) {
    this.#host = host;
    this.#command = command;
    this.#socketPath = socketPath;
  }

  async start(): Promise<void> {
    const { args, env = {} } = this.#command;
    this.#process = await this.#host.spawn('plugin', process.execPath, args, { ...process.env, ...env });
    await this.#answers();
  }

  async #answers(): Promise<void> {
    await eventually('the plugin answers', async () => {
      if (this.#process!.child.exitCode !== null) throw new Error(`the plugin ended: ${this.#host.log('plugin').slice(-2000)}`);
      return await this.call('Plugin.Activate', '').then(
        (reply) => (reply === 'hung up' ? undefined : true),
        () => undefined,
      );
    });
  }

  async crash(): Promise<void> {
    const worker = childrenOf(this.#process!.pid)[0];
    if (worker === undefined) {
      await this.kill();
      await this.start();
      return;
    }
    process.kill(worker, 'SIGKILL');
    await eventually('the worker is another one', () => (childrenOf(this.#process!.pid).some((child) => child !== worker) ? true : undefined));
    await this.#answers();
  }

  async kill(): Promise<void> {
    const holder = this.#process!;
    // The holder first, or it would start another worker.
    const workers = childrenOf(holder.pid);
    await holder.kill('SIGKILL');
    for (const worker of workers) {
      try {
        process.kill(worker, 'SIGKILL');
      } catch {
        // It noticed that the holder is gone, and went too.
      }
    }
  }

  async stop(): Promise<void> {
    await this.#process?.kill('SIGTERM');
  }

  async call(name: string, body: object | string): Promise<Reply> {
    return await post(this.#socketPath, name, typeof body === 'string' ? body : JSON.stringify(body));
  }
}

/** Plain directories: the plugin without a file system of its own. Hosts of one lab share them. */
export const directoryForm = socketForm('directories', (host, socketPath) => {
  const root = path.join(host.directory, '..', 'directory-volumes');
  const script = path.join(import.meta.dirname, 'directory-plugin.ts');
  return { args: [script, socketPath, root, path.join(host.directory, 'mounts'), host.name, host.dockerSocket] };
});

/** The daemon itself. */
export const daemonForm = socketForm('daemon', (host, socketPath) => ({
  args: [path.join(import.meta.dirname, '../../src/cli/main.ts'), 'daemon'],
  env: {
    INFINIT_STATE_DIR: path.join(host.directory, 'state'),
    INFINIT_MOUNT_DIR: path.join(host.directory, 'mounts'),
    INFINIT_CONTROL_SOCKET: '/run/infinit/control.sock',
    INFINIT_PLUGIN_SOCKET: socketPath,
    INFINIT_DOCKER_SOCKET: host.dockerSocket,
    INFINIT_NAME: host.name,
    INFINIT_LISTEN: 'none',
    INFINIT_LOG_LEVEL: 'debug',
  },
}));
