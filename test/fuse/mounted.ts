import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { FuseOptions, FuseStatistics, SavedInit } from '../../src/fuse/index.ts';
import type { Command, ServerSettings } from './server.ts';

/** What the session counts, and the server's process beside it. */
export type ServerStatistics = FuseStatistics & { readonly inodes: number; readonly handles: number; readonly cpu: NodeJS.CpuUsage };

/** A mount served from memory by a process of its own. */
export class Mounted implements AsyncDisposable {
  readonly directory: string;
  readonly child: ChildProcess;
  readonly #temporary: string;
  init!: SavedInit;
  connection = -1;
  /** What the server said on its standard error. */
  log = '';

  private constructor(options: Partial<FuseOptions> | undefined, serves: ServerSettings['serves']) {
    this.#temporary = mkdtempSync(path.join(tmpdir(), 'infinit-fuse-'));
    this.directory = this.#temporary;
    const settings: ServerSettings = { mountPoint: this.directory, serves: serves ?? 'memory', ...(options === undefined ? {} : { options }) };
    this.child = fork(path.join(import.meta.dirname, 'server.ts'), [JSON.stringify(settings)], { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.log += text));
  }

  static async start(options?: Partial<FuseOptions>, serves?: ServerSettings['serves']): Promise<Mounted> {
    const mounted = new Mounted(options, serves);
    try {
      const first = await mounted.#message<{ ready?: boolean; init: SavedInit; connection: number }>();
      if (first.ready !== true) throw new Error(`the server did not start: ${mounted.log}`);
      mounted.init = first.init;
      mounted.connection = first.connection;
      return mounted;
    } catch (error) {
      await mounted[Symbol.asyncDispose]();
      throw error;
    }
  }

  path(...names: string[]): string {
    return path.join(this.directory, ...names);
  }

  /** The next message of the server's; one question is asked at a time. */
  #message<T>(): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const ended = (): void => reject(new Error(`the server ended (${this.child.exitCode ?? this.child.signalCode}): ${this.log}`));
    this.child.once('exit', ended);
    this.child.once('message', (message: T) => {
      this.child.off('exit', ended);
      resolve(message);
    });
    return promise;
  }

  async command<T = unknown>(command: Command): Promise<T> {
    const answer = this.#message<{ answer: T }>();
    this.child.send(command);
    return (await answer).answer;
  }

  statistics(): Promise<ServerStatistics> {
    return this.command({ do: 'statistics' });
  }

  /** Waits until `count` calls of the held operation have arrived. */
  async held(count: number): Promise<void> {
    while ((await this.command<number>({ do: 'held' })) < count) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** Unmounts and waits for the server's end. */
  async [Symbol.asyncDispose](): Promise<void> {
    const running = this.child.exitCode === null && this.child.signalCode === null;
    const exited = running ? once(this.child, 'exit') : Promise.resolve();
    if (isMounted(this.directory)) spawnSync('umount', ['-i', '-l', this.directory]);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 3000);
    await exited;
    clearTimeout(timer);
    if (isMounted(this.directory)) spawnSync('umount', ['-i', '-f', '-l', this.directory]);
    rmSync(this.#temporary, { recursive: true, force: true });
  }
}

export function isMounted(directory: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${directory} `);
}
