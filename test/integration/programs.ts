import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { globSync } from 'node:fs';

/** A shell command's output; never run synchronously, since the mount may be served from this machine's busy cores. */
export function sh(script: string, options: { readonly cwd?: string; readonly timeoutMs?: number; readonly input?: string } = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      'sh',
      ['-ec', script],
      {
        encoding: 'utf8',
        maxBuffer: 64 * 1024 * 1024,
        timeout: options.timeoutMs ?? 120_000,
        killSignal: 'SIGKILL',
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(`${script}\n${stdout}\n${stderr}`, { cause: error }));
      },
    );
    // One that reads nothing may be gone already.
    child.stdin!.on('error', () => {});
    child.stdin!.end(options.input ?? '');
  });
}

/** The directory of PostgreSQL's server programs: initdb, postgres. */
export function postgresPrograms(): string {
  const [found] = globSync('/usr/lib/postgresql/*/bin');
  if (found === undefined) throw new Error('PostgreSQL is not installed: see .ci/setup');
  return found;
}

/** A PostgreSQL server on a directory, reached through a socket in another. Runs as the user postgres, as it insists. */
export class Postgres implements AsyncDisposable {
  readonly #data: string;
  readonly #sockets: string;
  #server: ChildProcess | undefined;
  log = '';

  private constructor(data: string, sockets: string) {
    this.#data = data;
    this.#sockets = sockets;
  }

  static async create(data: string, sockets: string): Promise<Postgres> {
    await sh(
      `mkdir -p ${data} ${sockets}; chown postgres ${data} ${sockets}; chmod 700 ${data}; cd /; su postgres -c "${postgresPrograms()}/initdb -D ${data} -A trust"`,
    );
    const postgres = new Postgres(data, sockets);
    await postgres.start();
    return postgres;
  }

  async start(): Promise<void> {
    const command = `exec ${postgresPrograms()}/postgres -D ${this.#data} -k ${this.#sockets} -p 5599 -c listen_addresses=`;
    const server = spawn('su', ['postgres', '-c', command], { cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [server.stdout, server.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (this.log = (this.log + text).slice(-50_000)));
    this.#server = server;
    for (let attempt = 0; ; attempt++) {
      try {
        await this.query('SELECT 1');
        return;
      } catch (error) {
        if (attempt > 150 || server.exitCode !== null) throw new Error(`PostgreSQL does not start:\n${this.log}`, { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
  }

  /** True while the server process runs. */
  get running(): boolean {
    return this.#server !== undefined && this.#server.exitCode === null && this.#server.signalCode === null;
  }

  query(sql: string): Promise<string> {
    return sh(`psql -U postgres -h ${this.#sockets} -p 5599 -qtA -v ON_ERROR_STOP=1 postgres`, { input: sql, timeoutMs: 60_000 });
  }

  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    const server = this.#server;
    if (server === undefined || !this.running) return;
    const gone = new Promise((resolve) => server.once('exit', resolve));
    // The child of su is the postmaster; its pid stands first in its own file.
    await sh(`kill -${signal.slice(3)} $(head -1 ${this.#data}/postmaster.pid)`).catch(() => server.kill(signal));
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
