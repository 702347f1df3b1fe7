import { cpSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { LabHost } from './host.ts';
import { bridgeOf, cgroupOf, claim, clear, clearDeadLabs, labPrefix } from './leftovers.ts';
import { eventually, must, run } from './process.ts';

/** The image that every engine of a lab has: busybox, and a folder /seeded with a file for the copy into an empty volume. */
export const labImage = 'bb';

const netFilterSwitch = 'net.bridge.bridge-nf-call-iptables';

/**
 * Hosts with real Docker Engines on this machine, in namespaces of their own (facts: no registry, no access to the machine's own engine).
 * All state is below one temporary directory. A lab ends with the test process, also when that is killed, but for its directory, bridge and
 * cgroups: the next lab removes those.
 */
export class DockerLab implements AsyncDisposable {
  readonly directory: string;
  readonly hosts: readonly LabHost[];
  readonly #stack: AsyncDisposableStack;

  private constructor(directory: string, hosts: readonly LabHost[], stack: AsyncDisposableStack) {
    this.directory = directory;
    this.hosts = hosts;
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
    if (settings.hosts > 1) await connectHosts(directory, hosts, stack);
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
    return new DockerLab(directory, hosts, stack.move());
  }

  /** The first host. */
  get host(): LabHost {
    return this.hosts[0]!;
  }

  /** Where host number `index` listens for the others. */
  addressOf(index: number): string {
    return `10.77.0.${index + 1}`;
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
    await must('ip', ['link', 'set', linkOf(this.directory, index), 'down']);
  }

  async heal(index: number): Promise<void> {
    await must('ip', ['link', 'set', linkOf(this.directory, index), 'up']);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** The outer end of a host's network cable. */
function linkOf(directory: string, index: number): string {
  return `${bridgeOf(directory)}-h${index + 1}`;
}

async function connectHosts(directory: string, hosts: readonly LabHost[], stack: AsyncDisposableStack): Promise<void> {
  // An engine outside the lab sets a rule that would cut the hosts from each other.
  const { stdout } = await run('sysctl', ['-n', netFilterSwitch]);
  if (stdout.trim() === '1') {
    await must('sysctl', ['-qw', `${netFilterSwitch}=0`]);
    stack.defer(async () => void (await run('sysctl', ['-qw', `${netFilterSwitch}=1`])));
  }
  const bridge = bridgeOf(directory);
  await must('ip', ['link', 'add', bridge, 'type', 'bridge']);
  await must('ip', ['link', 'set', bridge, 'up']);
  for (const [index, host] of hosts.entries()) {
    const outer = linkOf(directory, index);
    await must('ip', ['link', 'add', outer, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(host.pid)]);
    await must('ip', ['link', 'set', outer, 'master', bridge, 'up']);
    await host.must('ip', ['addr', 'add', `10.77.0.${index + 1}/24`, 'dev', 'eth0']);
    await host.must('ip', ['link', 'set', 'eth0', 'up']);
  }
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
