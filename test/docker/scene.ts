import assert from 'node:assert/strict';

import type { LabHost } from './host.ts';
import type { PluginForm, RunningPlugin } from './plugin-forms.ts';
import { labImage } from './lab.ts';

/** What `docker volume inspect` says of a volume of ours. */
export interface InspectedVolume {
  readonly Name: string;
  readonly Driver: string;
  readonly Scope: string;
  readonly Mountpoint: string;
  readonly CreatedAt: string;
  readonly Labels: Readonly<Record<string, string>> | null;
  readonly Options: Readonly<Record<string, string>> | null;
  readonly Status: { readonly options: Readonly<Record<string, string>>; readonly holders: readonly string[]; readonly hosts: readonly string[] };
}

/** A container that lives until it is told to end, and ends at once then. */
export const lingering = ['sh', '-c', 'trap "exit 0" TERM; sleep 1000 & wait $!'];

/** Only what was synced must outlive a crash of the plugin; sync(2) does not reach a FUSE file system, fsync(2) does. */
export const writeAndSync = 'echo kept | dd of=/data/f conv=fsync 2> /dev/null';

/** What the tests on one host have at hand: its engine, its plugin, and short words for what users do. */
export class Scene {
  readonly host: LabHost;
  readonly form: PluginForm;
  readonly plugin: RunningPlugin;

  constructor(host: LabHost, form: PluginForm, plugin: RunningPlugin) {
    this.host = host;
    this.form = form;
    this.plugin = plugin;
  }

  /** A docker command that must succeed. */
  docker(...args: string[]): Promise<string> {
    return this.host.mustDocker(args);
  }

  /** A docker command that must fail, saying this. */
  async refused(message: RegExp, ...args: string[]): Promise<void> {
    const { code, stdout, stderr } = await this.host.docker(args);
    assert.notEqual(code, 0, `docker ${args.join(' ')} should have failed, but said: ${stdout}`);
    assert.match(stderr, message);
  }

  create(name: string, ...options: string[]): Promise<string> {
    return this.docker('volume', 'create', '-d', this.form.driver, ...options.flatMap((option) => ['-o', option]), name);
  }

  /** A shell command in a container of its own that has the volume at /data. */
  sh(volume: string, script: string, ...flags: string[]): Promise<string> {
    return this.docker('run', '--rm', '--network=none', '-v', `${volume}:/data`, ...flags, labImage, 'sh', '-c', script);
  }

  /** A container that stays, with the volume at /data. */
  async linger(container: string, volume: string, ...flags: string[]): Promise<void> {
    await this.docker('run', '-d', '--network=none', '--name', container, '-v', `${volume}:/data`, ...flags, labImage, ...lingering);
  }

  async inspect(name: string): Promise<InspectedVolume> {
    const [volume] = JSON.parse(await this.docker('volume', 'inspect', name)) as [InspectedVolume];
    return volume;
  }

  /** The names that `docker volume ls` shows for our driver. */
  async names(): Promise<readonly string[]> {
    return (await this.docker('volume', 'ls', '-q', '--filter', `driver=${this.form.reportedDriver}`)).split('\n');
  }

  /** The volume can be removed and is gone then: nothing holds it any more. */
  async removes(name: string): Promise<void> {
    await this.docker('volume', 'rm', name);
    await this.refused(/no such volume/i, 'volume', 'inspect', name);
  }
}
