import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { managedConfig } from '../../plugin/managed-config.ts';
import { assembleRootfs } from '../../plugin/managed-rootfs.ts';
import { buildAddon } from '../../src/fuse/native/index.ts';
import { post, type Reply } from '../plugin/calls.ts';
import type { LabHost } from './host.ts';
import type { PluginForm, RunningPlugin } from './plugin-forms.ts';
import { eventually } from './process.ts';
import { Recorder } from './recorder.ts';

const projectRoot = path.resolve(import.meta.dirname, '../..');

/** What differs from the plugin as it is shipped. */
export interface ManagedVariant {
  readonly name: string;
  /** Parts of the project to take along; those of the shipped plugin where it is absent. */
  readonly parts?: readonly string[];
  /** What runs in the plugin; the daemon where it is absent. */
  readonly entrypoint?: readonly string[];
  /** What `docker plugin set` gets besides. */
  readonly settings?: (host: LabHost) => readonly string[];
}

/** The managed plugin, assembled from this machine's files. */
export function managedForm(variant: ManagedVariant): PluginForm & { start(host: LabHost): Promise<ManagedPlugin> } {
  return {
    name: variant.name,
    driver: 'infinit',
    reportedDriver: 'infinit:latest',
    announced: false,
    async start(host) {
      const plugin = new ManagedPlugin(host, assemble(variant, path.join(host.directory, 'managed')), variant);
      await plugin.create();
      return plugin;
    },
  };
}

function assemble(variant: ManagedVariant, directory: string): string {
  buildAddon();
  assembleRootfs({
    projectRoot,
    target: path.join(directory, 'rootfs'),
    nodeBinary: process.execPath,
    ...(variant.parts === undefined ? {} : { parts: variant.parts }),
  });
  const config = managedConfig(projectRoot);
  const changed = variant.entrypoint === undefined ? config : { ...config, entrypoint: variant.entrypoint };
  writeFileSync(path.join(directory, 'config.json'), JSON.stringify(changed));
  return directory;
}

/** The plugin as the engine manages it. */
export class ManagedPlugin implements RunningPlugin {
  readonly #host: LabHost;
  readonly #directory: string;
  /** Leads to the directory of the socket, whose real path is too long for the kernel's address. */
  readonly #sockets: string;
  readonly #variant: ManagedVariant;
  #id = '';
  #recorder: Recorder | undefined;

  constructor(host: LabHost, directory: string, variant: ManagedVariant) {
    this.#variant = variant;
    this.#host = host;
    this.#directory = directory;
    this.#sockets = path.join(host.directory, 'sockets');
  }

  /** Where the plugin listens. */
  get #socket(): string {
    return this.#recorder?.pluginSocket ?? path.join(this.#sockets, 'infinit.sock');
  }

  /** Puts a recorder between the engine and the plugin, which must not be started again until {@link unrecord}. */
  async record(): Promise<Recorder> {
    this.#recorder = await Recorder.inFrontOf(this.#socket);
    return this.#recorder;
  }

  async unrecord(): Promise<void> {
    await this.#recorder?.[Symbol.asyncDispose]();
    this.#recorder = undefined;
  }

  /** What `docker plugin rm` leaves alone. */
  get stateDirectory(): string {
    return path.join(this.#host.directory, 'state');
  }

  /** Registers it, as `npm run plugin:create` does, and enables it. */
  async create(): Promise<void> {
    mkdirSync(this.stateDirectory, { recursive: true });
    await this.#host.mustDocker(['plugin', 'create', 'infinit', this.#directory]);
    await this.#host.mustDocker([
      'plugin',
      'set',
      'infinit',
      `state.source=${this.stateDirectory}`,
      'INFINIT_LOG_LEVEL=debug',
      ...(this.#variant.settings?.(this.#host) ?? []),
    ]);
    await this.#created();
  }

  /** The same by `npm run plugin:create`, where that registers what is tried here. */
  async createByScript(): Promise<void> {
    if (this.#variant.entrypoint !== undefined) return await this.create();
    const script = path.join(projectRoot, 'plugin/create-managed.ts');
    await this.#host.must(process.execPath, [script, '--state-dir', this.stateDirectory], {
      env: { ...process.env, DOCKER_HOST: `unix://${this.#host.dockerSocket}` },
    });
    await this.#created();
  }

  async #created(): Promise<void> {
    this.#id = await this.#host.mustDocker(['plugin', 'inspect', '-f', '{{.Id}}', 'infinit']);
    rmSync(this.#sockets, { force: true });
    symlinkSync(path.join(this.#host.pluginDirectory, this.#id), this.#sockets);
    await this.start();
  }

  async start(): Promise<void> {
    // The engine gives up a plugin that a very busy machine takes 10 s to start.
    if (!(await this.enabled())) await this.enable().catch(() => this.enable());
    await this.answers();
  }

  async enable(): Promise<void> {
    await this.#host.mustDocker(['plugin', 'enable', 'infinit']);
  }

  async answers(): Promise<void> {
    await eventually('the plugin answers', async () =>
      this.call('Plugin.Activate', '').then(
        (reply) => (reply === 'hung up' ? undefined : true),
        () => undefined,
      ),
    );
  }

  async enabled(): Promise<boolean> {
    return (await this.#host.mustDocker(['plugin', 'inspect', '-f', '{{.Enabled}}', 'infinit'])) === 'true';
  }

  /** The process that the engine started, as the host numbers it. */
  pid(): number {
    const file = `/proc/${this.#host.pid}/root/run/docker-exec/containerd/daemon/io.containerd.runtime.v2.task/plugins.moby/${this.#id}/init.pid`;
    return Number(readFileSync(file, 'utf8'));
  }

  /** The engine starts it again at once. */
  async crash(): Promise<void> {
    const pid = this.pid();
    await this.#host.must('kill', ['-9', String(pid)]);
    // The daemon answers for a moment after its holder, which is the process that the engine knows.
    await eventually('the engine starts it again', () => {
      try {
        return this.pid() === pid ? undefined : true;
      } catch {
        return undefined;
      }
    });
    await this.answers();
  }

  /** Killed, it would be started again at once; it is lost for good only to an engine that was told so. */
  async kill(): Promise<void> {
    await this.stop();
  }

  async stop(): Promise<void> {
    await this.#host.mustDocker(['plugin', 'disable', '-f', 'infinit']);
  }

  async call(name: string, body: object | string): Promise<Reply> {
    return await post(this.#socket, name, typeof body === 'string' ? body : JSON.stringify(body));
  }
}

/** The plugin over plain directories, managed. */
export const managedDirectories = managedForm({
  name: 'managed plugin over directories',
  parts: ['src', 'plugin', 'test/docker/directory-volumes.ts', 'test/docker/directory-plugin.ts', 'package.json', 'build'],
  entrypoint: [
    '/usr/bin/node',
    '/opt/infinit/test/docker/directory-plugin.ts',
    '/run/docker/plugins/infinit.sock',
    '/var/lib/infinit/volumes',
    '/var/lib/infinit-volumes',
    'h1',
  ],
});

/** The managed plugin as it is shipped. */
export const managedDaemon = managedForm({ name: 'managed plugin' });
