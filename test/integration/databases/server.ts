import path from 'node:path';

import type { LabHost } from '../../docker/host.ts';
import type { HostProcess } from '../../docker/namespaces.ts';
import { eventually } from '../../docker/process.ts';
import type { Database } from './databases.ts';

const clients = path.join(import.meta.dirname, 'clients.py');
/** A database that recovers on a busy machine. */
const startMs = 120_000;

/** A database at work on one host: its server, if it has one, and a program that commits transactions. */
export class Server {
  readonly #database: Database;
  readonly #host: LabHost;
  readonly #directory: string;
  #server: HostProcess | undefined;

  /** @param place Where its directory is, or is to be. */
  constructor(database: Database, host: LabHost, place: string) {
    this.#database = database;
    this.#host = host;
    this.#directory = path.join(place, database.name);
  }

  async make(): Promise<void> {
    await this.#sh(`mkdir -p ${this.#directory}; ${this.#database.make?.(this.#directory) ?? ''}`);
  }

  async start(): Promise<void> {
    const { serve, ready, name } = this.#database;
    if (serve === undefined) return;
    const command = `exec ${serve(this.#directory).replaceAll(/\s+/g, ' ')}`;
    const server = await this.#host.spawn(name, 'sh', ['-c', command]);
    this.#server = server;
    await eventually(
      `${name} answers`,
      async () => {
        if (!this.running) throw new Error(`${name} ended: ${this.#host.log(name).slice(-4000)}`);
        const { code } = await this.#host.run('sh', ['-ec', ready!(this.#directory)], { timeoutMs: 20_000 });
        return code === 0;
      },
      startMs,
    );
  }

  get running(): boolean {
    const child = this.#server?.child;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** The end of what the server said. */
  get said(): string {
    return this.#database.serve === undefined ? '' : this.#host.log(this.#database.name).slice(-3000);
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.#server?.kill(signal);
  }

  /** A program that commits transactions named after `prefix`. */
  async write(prefix: string): Promise<Writer> {
    const process = await this.#host.spawn(prefix, '/usr/bin/python3', [clients, this.#client, 'write', this.#place, prefix]);
    return new Writer(process, () => this.#host.log(prefix));
  }

  async names(): Promise<Set<string>> {
    const said = await this.#host.must('/usr/bin/python3', [clients, this.#client, 'read', this.#place], { timeoutMs: startMs });
    return new Set(said.split('\n'));
  }

  /** What the database itself finds wrong. */
  async faults(): Promise<string> {
    return this.#host.must('/usr/bin/python3', [clients, this.#client, 'check', this.#place], { timeoutMs: startMs });
  }

  /** Fails where the files of the stopped database are not sound. */
  async inspect(): Promise<void> {
    const inspect = this.#database.inspect?.(this.#directory);
    if (inspect !== undefined) await this.#sh(inspect);
  }

  get #client(): string {
    return this.#database.client ?? this.#database.name;
  }

  get #place(): string {
    return this.#database.place?.(this.#directory) ?? this.#directory;
  }

  #sh(script: string): Promise<string> {
    return this.#host.must('sh', ['-ec', script], { timeoutMs: startMs });
  }
}

/** A program that commits transactions. */
export class Writer {
  readonly #process: HostProcess;
  readonly #log: () => string;

  constructor(process: HostProcess, log: () => string) {
    this.#process = process;
    this.#log = log;
  }

  get running(): boolean {
    return this.#process.child.exitCode === null && this.#process.child.signalCode === null;
  }

  /** What was committed, and when, in ms since 1970. */
  get committed(): Map<string, number> {
    const found = this.#log().matchAll(/^committed (\S+) (\S+)$/gm);
    return new Map(Array.from(found, ([, name, seconds]) => [name!, Number(seconds) * 1000]));
  }

  /** Waits for so many more transactions, or the writer's end; false then. */
  async reach(more: number, timeoutMs: number): Promise<boolean> {
    const wanted = this.committed.size + more;
    await eventually(`${more} transactions`, () => !this.running || this.committed.size >= wanted, timeoutMs);
    return this.committed.size >= wanted;
  }

  get said(): string {
    return this.#log();
  }

  async kill(): Promise<void> {
    await this.#process.kill('SIGKILL');
  }
}
