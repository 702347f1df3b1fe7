import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';

import { ControlClient } from '../../src/api/index.ts';

const main = path.resolve(import.meta.dirname, '../../src/cli/main.ts');
/** A daemon answers well within this time, on a busy machine too. */
const startDeadlineMs = 90_000;

/** How a command of the program ended. */
export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A real daemon in a process of its own, with all its state below one directory. */
export class DaemonProcess implements AsyncDisposable {
  readonly directory: string;
  readonly client: ControlClient;
  /** What it wrote on both outputs so far. */
  log = '';
  /** What the next start runs: this project, or the `src/cli/main.ts` of another version of it. */
  program = main;
  #child: ChildProcess | undefined;
  readonly #flags: readonly string[];

  private constructor(directory: string, flags: readonly string[]) {
    this.directory = directory;
    this.#flags = flags;
    this.client = new ControlClient(this.controlSocket);
  }

  /** Starts one and waits until it answers. `flags` come after the defaults, which isolate it from everything else on the machine. */
  static async start(directory: string, flags: readonly string[] = [], program = main): Promise<DaemonProcess> {
    mkdirSync(directory, { recursive: true });
    const daemon = new DaemonProcess(directory, flags);
    daemon.program = program;
    await daemon.restart();
    return daemon;
  }

  get controlSocket(): string {
    return path.join(this.directory, 'run', 'control.sock');
  }

  get mountDir(): string {
    return path.join(this.directory, 'volumes');
  }

  /** The holder's pid. */
  get pid(): number {
    return this.#child!.pid!;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** @param further Flags of this start alone. */
  async restart(further: readonly string[] = []): Promise<void> {
    const at = (name: string): string => path.join(this.directory, name);
    // Tests have other users' programs there; a daemon's own is for root alone.
    mkdirSync(this.mountDir, { recursive: true, mode: 0o711 });
    const defaults = [
      '--state-dir',
      at('state'),
      '--mount-dir',
      this.mountDir,
      '--control-socket',
      this.controlSocket,
      '--plugin-socket',
      'none',
      '--docker-socket',
      'none',
      '--listen',
      'none',
      '--replicas',
      '1',
    ];
    const child = spawn(process.execPath, [this.program, 'daemon', ...defaults, ...this.#flags, ...further], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (this.log = (this.log + text).slice(-200_000)));
    await this.answering();
  }

  /** Waits until the control socket answers, after a start or a crash. */
  async answering(): Promise<void> {
    const deadline = performance.now() + startDeadlineMs;
    for (;;) {
      try {
        await this.client.status();
        return;
      } catch (error) {
        if (performance.now() > deadline || this.#child?.exitCode !== null)
          throw new Error(`the daemon does not answer:\n${this.log}`, { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** `infinit …` on this daemon. */
  infinit(...words: string[]): Promise<Ended> {
    const env = { ...process.env, INFINIT_CONTROL_SOCKET: this.controlSocket };
    return new Promise((resolve) => {
      execFile(process.execPath, [this.program, ...words], { timeout: 120_000, env }, (error, out, err) =>
        resolve({ code: error === null ? 0 : Number(error.code), out, err }),
      );
    });
  }

  /** What a command that succeeds says on stdout. */
  async says(...words: string[]): Promise<string> {
    const { code, out, err } = await this.infinit(...words);
    assert.equal(code, 0, `${words.join(' ')}: ${err}`);
    return out.trim();
  }

  /** Creates the volume where it does not exist and mounts it. Returns the mount point. */
  async mount(name: string, options: Readonly<Record<string, string>> = {}): Promise<string> {
    await this.client.createVolume(name, options);
    return this.client.mountVolume(name, 'test');
  }

  /** The daemon proper: the holder's only child. */
  get daemonPid(): number {
    return Number(readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8').trim().split(' ')[0]);
  }

  /** Kills the daemon alone, and waits for the next one. */
  async crash(): Promise<void> {
    process.kill(this.daemonPid, 'SIGKILL');
    await this.answering();
  }

  /** Kills holder and daemon at once, as a power cut would. */
  async kill(): Promise<void> {
    const child = this.#child!;
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    for (const pid of children) process.kill(pid, 'SIGKILL');
    await gone;
  }

  /** Asks the daemon to end, and waits. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    // A daemon that was killed leaves its mounts; nothing of a test may outlive it.
    for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
      const place = line.split(' ')[1] ?? '';
      if (place.startsWith(`${this.directory}/`)) spawnSync('umount', ['-l', place]);
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}
