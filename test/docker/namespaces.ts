import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { tmpdir } from 'node:os';

import { ended, must, onlyChildOf, type Outcome, run, type RunSettings } from './process.ts';

/**
 * The first process of a host. Its own /run and /etc/docker keep two hosts' engines apart; shared propagation lets mounts made by one
 * process of the host be seen by the others and by containers. Reaps orphans, as bash does while it waits.
 */
const firstProcess = `
set -e
hostname "$1"
# What other tests have mounted is not this host's, and a copy of it here would count as a user of it.
# The list is read at once, as each unmounting shifts it, and from its end, where the upper mounts are. One may go by itself with its directory.
mapfile -t mounts < /proc/self/mountinfo
for ((i = \${#mounts[@]} - 1; i >= 0; i--)); do
  read -r _ _ _ _ place _ <<< "\${mounts[i]}"
  case "$place" in "$3"/*) umount -l "$place" || ! mountpoint -q "$place";; esac
done
mount -t tmpfs none /run
mkdir -p /run/docker/plugins /run/infinit /run/lock
[ -d /etc/docker ] && mount -t tmpfs none /etc/docker
mkdir -p "$2/plugins"
mount --bind "$2/plugins" /run/docker/plugins
mount --make-rshared /
ip link set lo up
echo ready
while :; do sleep 1000 & wait $!; done
`;

/** A process inside a host. */
export interface HostProcess {
  readonly child: ChildProcess;
  /** As seen from outside. */
  readonly pid: number;
  /** Sends a signal to the process itself and waits for its end. */
  kill(signal: NodeJS.Signals): Promise<void>;
}

/**
 * A "host": network, mount, UTS and pid namespaces. The kernel kills everything in it, and drops its mounts and links, when its first
 * process ends, and that one ends with the test process, however that ends.
 */
export class Namespaces implements AsyncDisposable {
  /** The first process, as seen from outside. */
  readonly pid: number;
  readonly #unshare: ChildProcess;

  private constructor(unshare: ChildProcess, pid: number) {
    this.#unshare = unshare;
    this.pid = pid;
  }

  /** @param directory on the shared file system; its folder `plugins` becomes the host's /run/docker/plugins. */
  static async create(name: string, directory: string): Promise<Namespaces> {
    const unshare = ['unshare', '--net', '--mount', '--uts', '--pid', '--fork', '--kill-child=KILL', '--mount-proc'];
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...unshare, 'bash', '-c', firstProcess, 'host', name, directory, tmpdir()], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let trouble = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (trouble += text));
    await new Promise<void>((resolve, reject) => {
      child.stdout.once('data', () => resolve());
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`the namespaces of ${name} could not be made (${code}): ${trouble}`)));
    });
    return new Namespaces(child, await onlyChildOf(child.pid!));
  }

  #enter(command: string, args: readonly string[]): string[] {
    return ['-t', String(this.pid), '--net', '--mount', '--uts', '--pid', '--', command, ...args];
  }

  run(command: string, args: readonly string[] = [], settings: RunSettings = {}): Promise<Outcome> {
    return run('nsenter', this.#enter(command, args), settings);
  }

  async must(command: string, args: readonly string[] = [], settings: RunSettings = {}): Promise<string> {
    return await must('nsenter', this.#enter(command, args), settings);
  }

  async spawn(
    command: string,
    args: readonly string[],
    settings: { readonly stdio?: StdioOptions; readonly env?: NodeJS.ProcessEnv } = {},
  ): Promise<HostProcess> {
    const child = spawn('nsenter', this.#enter(command, args), { stdio: settings.stdio ?? 'ignore', env: settings.env ?? process.env });
    // nsenter forks to enter the pid namespace, waits, and ends as its child did: signals are for the child.
    const pid = await onlyChildOf(child.pid!);
    return {
      child,
      pid,
      async kill(signal) {
        if (child.exitCode === null && child.signalCode === null) process.kill(pid, signal);
        await ended(child);
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unshare.kill('SIGKILL');
    await ended(this.#unshare);
  }
}
