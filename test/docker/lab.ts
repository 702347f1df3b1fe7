import { cpSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { Cables } from './cables.ts';
import { LabHost } from './host.ts';
import { cgroupOf, claim, clear, clearDeadLabs, labPrefix } from './leftovers.ts';
import { eventually, must } from './process.ts';

/** The image that every engine of a lab has: busybox, and a folder /seeded with a file for the copy into an empty volume. */
export const labImage = 'bb';

/**
 * Hosts with real Docker Engines on this machine, in namespaces of their own (facts: no registry, no access to the machine's own engine).
 * All state is below one temporary directory. A lab ends with the test process, also when that is killed, but for its directory and
 * cgroups: the next lab removes those.
 */
export class DockerLab implements AsyncDisposable {
  readonly directory: string;
  readonly hosts: readonly LabHost[];
  readonly #cables: Cables | undefined;
  readonly #stack: AsyncDisposableStack;

  private constructor(directory: string, hosts: readonly LabHost[], cables: Cables | undefined, stack: AsyncDisposableStack) {
    this.directory = directory;
    this.hosts = hosts;
    this.#cables = cables;
    this.#stack = stack;
  }

  /** @param settings `engines: false` brings up the hosts alone. */
  static async up(settings: { readonly hosts: number; readonly engines?: boolean; readonly network?: boolean }): Promise<DockerLab> {
    await clearDeadLabs();
    const directory = mkdtempSync(labPrefix);
    claim(directory);
    await using stack = new AsyncDisposableStack();
    stack.defer(() => clear(directory));
    const network = settings.network ?? settings.hosts > 1;
    const hosts: LabHost[] = [];
    for (let i = 1; i <= settings.hosts; i++) {
      hosts.push(stack.use(await LabHost.create(`h${i}`, path.join(directory, `h${i}`), { network, cgroup: cgroupOf(directory) })));
    }
    const prefixed = hosts.map((_, index) => `${addressOf(index)}/24`);
    const cables = settings.hosts > 1 ? stack.use(await Cables.between(hosts, path.join(directory, 'cables'), prefixed)) : undefined;
    if (settings.engines !== false) {
      makeImage(path.join(directory, 'image'));
      await must('tar', ['-C', path.join(directory, 'image'), '-cf', path.join(directory, 'image.tar'), '.']);
      await Promise.all(
        hosts.map(async (host) => {
          await host.startDocker();
          await host.mustDocker(['import', '-c', 'CMD ["/bin/sh"]', path.join(directory, 'image.tar'), labImage]);
        }),
      );
    }
    return new DockerLab(directory, hosts, cables, stack.move());
  }

  /** The first host. */
  get host(): LabHost {
    return this.hosts[0]!;
  }

  /** Where host number `index` listens for the others. */
  addressOf(index: number): string {
    return addressOf(index);
  }

  /** Joins all hosts into one swarm; the first is its manager. */
  async swarm(): Promise<void> {
    await this.host.mustDocker(['swarm', 'init', '--advertise-addr', this.addressOf(0)]);
    const token = await this.host.mustDocker(['swarm', 'join-token', '-q', 'worker']);
    await Promise.all(this.hosts.slice(1).map((host) => host.mustDocker(['swarm', 'join', '--token', token, `${this.addressOf(0)}:2377`])));
    await eventually('all hosts are ready in the swarm', async () => {
      const states = (await this.host.mustDocker(['node', 'ls', '--format', '{{.Status}}'])).split('\n');
      return states.length === this.hosts.length && states.every((state) => state === 'Ready') ? true : undefined;
    });
  }

  /** Takes a host off the network; it goes on by itself. */
  async cut(index: number): Promise<void> {
    await this.#cables!.cut(index);
  }

  async heal(index: number): Promise<void> {
    await this.#cables!.heal(index);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

function addressOf(index: number): string {
  return `10.77.0.${index + 1}`;
}

function makeImage(directory: string): void {
  const bin = path.join(directory, 'bin');
  mkdirSync(bin, { recursive: true });
  cpSync('/bin/busybox', path.join(bin, 'busybox'));
  const applets = [
    'sh',
    'ls',
    'cat',
    'echo',
    'dd',
    'sleep',
    'touch',
    'md5sum',
    'sync',
    'mv',
    'rm',
    'mkdir',
    'stat',
    'wc',
    'head',
    'tail',
    'seq',
    'true',
    'false',
  ];
  for (const applet of [...applets, 'test', 'date', 'hostname', 'flock', 'mount', 'df', 'chmod', 'chown', 'id', 'tar'])
    symlinkSync('busybox', path.join(bin, applet));
  mkdirSync(path.join(directory, 'seeded'));
  writeFileSync(path.join(directory, 'seeded', 'file'), 'from the image\n');
}
