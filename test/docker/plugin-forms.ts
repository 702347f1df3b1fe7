import path from 'node:path';

import { post, type Reply } from '../plugin/calls.ts';
import type { LabHost } from './host.ts';
import type { HostProcess } from './namespaces.ts';
import { eventually } from './process.ts';

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
  /** As a crash: SIGKILL, nothing is tidied up. */
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
    const started = await this.#host.spawn('plugin', process.execPath, args, { ...process.env, ...env });
    this.#process = started;
    await eventually('the plugin answers', async () => {
      if (started.child.exitCode !== null) throw new Error(`the plugin ended: ${this.#host.log('plugin').slice(-2000)}`);
      return await this.call('Plugin.Activate', '').then(
        (reply) => (reply === 'hung up' ? undefined : true),
        () => undefined,
      );
    });
  }

  async kill(): Promise<void> {
    await this.#process?.kill('SIGKILL');
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
