import { randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { type HostProcess, Namespaces } from './namespaces.ts';
import { ended, eventually, must, type Outcome, run, type RunSettings } from './process.ts';

/** How a host's engine is started. */
export interface EngineSettings {
  /** Bridges and iptables cost start-up time and are needed for Swarm only. */
  readonly network: boolean;
  readonly cgroup: string;
}

/** An engine that looks for the missing driver of a volume answers late. */
const engineStartMs = 90_000;
/** What an engine says that ends since the machine is so busy that its containerd was not up in the quarter of a minute that it gives it. */
const lateContainerd = 'timeout waiting for containerd to start';

/** A host of the lab with a Docker Engine of its own. */
export class LabHost implements AsyncDisposable {
  readonly name: string;
  /** The host's own directory, the same path inside and outside. */
  readonly directory: string;
  #namespaces: Namespaces;
  readonly #engine: EngineSettings;
  #dockerd: HostProcess | undefined;

  private constructor(name: string, directory: string, namespaces: Namespaces, engine: EngineSettings) {
    this.name = name;
    this.directory = directory;
    this.#namespaces = namespaces;
    this.#engine = engine;
  }

  static async create(name: string, directory: string, engine: EngineSettings): Promise<LabHost> {
    mkdirSync(directory, { recursive: true });
    return new LabHost(name, directory, await Namespaces.create(name, directory), engine);
  }

  /** The first process of the host, as seen from outside. */
  get pid(): number {
    return this.#namespaces.pid;
  }

  get dockerSocket(): string {
    return path.join(this.directory, 'docker.sock');
  }

  /** Where this host's engine looks for plugins, as the test process sees it. */
  get pluginDirectory(): string {
    return path.join(this.directory, 'plugins');
  }

  /** Runs a command inside the host. */
  run(command: string, args: readonly string[] = [], settings: RunSettings = {}): Promise<Outcome> {
    return this.#namespaces.run(command, args, settings);
  }

  /** The same for one that must succeed; returns what it said. */
  must(command: string, args: readonly string[] = [], settings: RunSettings = {}): Promise<string> {
    return this.#namespaces.must(command, args, settings);
  }

  /** Starts a process inside the host; what it says goes to `NAME.log` in the host's directory. */
  async spawn(name: string, command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<HostProcess> {
    const log = openSync(this.#logFile(name), 'a');
    try {
      return await this.#namespaces.spawn(command, args, { stdio: ['ignore', log, log], env });
    } finally {
      closeSync(log);
    }
  }

  /** What a spawned process has said so far. */
  log(name: string): string {
    return readFileSync(this.#logFile(name), 'utf8');
  }

  #logFile(name: string): string {
    return path.join(this.directory, `${name}.log`);
  }

  /** The docker command on this host's engine. */
  docker(args: readonly string[], settings: RunSettings = {}): Promise<Outcome> {
    return run('docker', this.#dockerArgs(args), { ...settings, env: this.#dockerEnv() });
  }

  /** The same for a command that must succeed; returns what it said. */
  mustDocker(args: readonly string[], settings: RunSettings = {}): Promise<string> {
    return must('docker', this.#dockerArgs(args), { ...settings, env: this.#dockerEnv() });
  }

  #dockerArgs(args: readonly string[]): string[] {
    return ['-H', `unix://${this.dockerSocket}`, ...args];
  }

  #dockerEnv(): NodeJS.ProcessEnv {
    return { ...process.env, DOCKER_CONFIG: path.join(this.directory, 'docker-config') };
  }

  /** Starts the engine and waits until it answers. */
  async startDocker(...more: string[]): Promise<void> {
    const own = ['--data-root', path.join(this.directory, 'data'), '--exec-root', '/run/docker-exec', '--pidfile', '/run/docker.pid'];
    const cut = this.#engine.network ? [] : ['--bridge=none', '--iptables=false', '--ip-forward=false'];
    const args = ['-H', `unix://${this.dockerSocket}`, ...own, ...cut, '--cgroup-parent', `/${this.#engine.cgroup}`, ...more];
    this.#dockerd = await this.spawn('dockerd', 'dockerd', args);
    await eventually(
      `the engine of ${this.name} answers`,
      async () => {
        if (this.#dockerd!.child.exitCode !== null) {
          const said = this.log('dockerd').slice(-2000);
          if (!said.includes(lateContainerd)) throw new Error(`dockerd of ${this.name} ended: ${said}`);
          this.#dockerd = await this.spawn('dockerd', 'dockerd', args);
        }
        const { code } = await run('docker', this.#dockerArgs(['version', '--format', '.']), { timeoutMs: 5000, env: this.#dockerEnv() });
        return code === 0 ? true : undefined;
      },
      engineStartMs,
    );
  }

  /** Ends the engine: SIGTERM as a service manager would, SIGKILL as a crash. Containers survive SIGKILL, until the next start sees to them. */
  async stopDocker(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    await this.#dockerd?.kill(signal);
  }

  async restartDocker(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM', ...more: string[]): Promise<void> {
    await this.stopDocker(signal);
    await this.startDocker(...more);
  }

  /**
   * A power cut and the return of the power: every process and mount is gone, the boot is another one, the directories are as they were.
   * Engine and plugin are to be started again. A cable is not plugged in again.
   */
  async reboot(): Promise<void> {
    await this[Symbol.asyncDispose]();
    this.#namespaces = await Namespaces.create(this.name, this.directory);
    const boot = path.join(this.directory, 'boot-id');
    writeFileSync(boot, `${randomUUID()}\n`);
    await this.must('mount', ['--bind', boot, '/proc/sys/kernel/random/boot_id']);
  }

  /** All at once, as after a power cut. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#namespaces[Symbol.asyncDispose]();
    if (this.#dockerd !== undefined) await ended(this.#dockerd.child);
  }
}
