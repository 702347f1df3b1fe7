/** PostgreSQL on a volume of a cluster, as a service that moves: its host dies, or is cut off while the server goes on there. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';

import { complete, formCluster, type HostDaemon } from '../docker/cluster-hosts.ts';
import { DockerLab } from '../docker/lab.ts';
import type { HostProcess } from '../docker/namespaces.ts';
import { eventually } from '../docker/process.ts';
import { postgresPrograms } from './programs.ts';

const accounts = 50;
const clients = 3;
/** A query that takes longer gets no answer: its server's host is cut off. */
const queryTimeoutS = 20;
/** A server that recovers on a busy machine. */
const startMs = 60_000;

/** A PostgreSQL server on a host of the lab, its data on a volume. */
class Server {
  readonly #daemon: HostDaemon;
  readonly #data: string;
  readonly #sockets: string;
  #process: HostProcess | undefined;

  constructor(daemon: HostDaemon, volume: string) {
    this.#daemon = daemon;
    this.#data = path.join(daemon.mountDir, volume, 'data');
    this.#sockets = path.join(daemon.host.directory, 'sockets');
  }

  async create(): Promise<void> {
    await this.#sh(`mkdir -p ${this.#data}; chown postgres ${this.#data}; chmod 700 ${this.#data}`);
    await this.#asPostgres(`${postgresPrograms()}/initdb -D ${this.#data} -A trust --data-checksums`);
    await this.start();
    await this.query(
      `CREATE TABLE account(id int PRIMARY KEY, balance int NOT NULL);
       INSERT INTO account SELECT id, 100 FROM generate_series(1, ${accounts}) id;
       CREATE TABLE done(id text PRIMARY KEY);`,
    );
  }

  async start(): Promise<void> {
    await this.#sh(`mkdir -p ${this.#sockets}; chown postgres ${this.#sockets}`);
    // Its number may be another process's on this host.
    await this.#sh(`rm -f ${this.#data}/postmaster.pid`);
    const settings = ['-k', this.#sockets, '-c', 'listen_addresses=', '-c', 'checkpoint_timeout=30s', '-c', 'max_wal_size=64MB'];
    const user = ['--reuid=postgres', '--regid=postgres', '--clear-groups'];
    this.#process = await this.#daemon.host.spawn('postgres', 'setpriv', [...user, `${postgresPrograms()}/postgres`, '-D', this.#data, ...settings]);
    const answers = (): Promise<true | undefined> => {
      if (!this.running) throw new Error(`PostgreSQL ended: ${this.#daemon.host.log('postgres').slice(-3000)}`);
      return this.query('SELECT 1').then(
        () => true,
        () => undefined,
      );
    };
    await eventually('PostgreSQL answers', answers, startMs);
  }

  get running(): boolean {
    return this.#process !== undefined && this.#process.child.exitCode === null && this.#process.child.signalCode === null;
  }

  async kill(): Promise<void> {
    await this.#process?.kill('SIGKILL');
  }

  query(sql: string): Promise<string> {
    return this.#asPostgres(`timeout -k 1 ${queryTimeoutS} psql -h ${this.#sockets} -qtA -v ON_ERROR_STOP=1 -c "${sql}"`);
  }

  /** Every page of every table and index is read, its checksum verified, and each index held against its table. */
  async check(): Promise<void> {
    await this.#asPostgres(`${postgresPrograms()}/pg_amcheck -h ${this.#sockets} --all --install-missing --heapallindexed --parent-check`);
  }

  async #sh(script: string): Promise<string> {
    return this.#daemon.host.must('sh', ['-ec', script], { timeoutMs: 120_000 });
  }

  async #asPostgres(command: string): Promise<string> {
    return this.#daemon.host.must('su', ['postgres', '-c', `cd /; ${command}`], { timeoutMs: 120_000 });
  }
}

/** Clients that move money between accounts and remember which transactions were committed. */
class Clients {
  readonly committed = new Set<string>();
  #stopped = false;
  readonly #running: Promise<unknown>;
  static #next = 0;

  constructor(server: Server) {
    this.#running = Promise.all(Array.from({ length: clients }, () => this.#run(server)));
  }

  async #run(server: Server): Promise<void> {
    while (!this.#stopped) {
      const id = `t${Clients.#next++}`;
      const [from, to] = [1 + Math.floor(Math.random() * accounts), 1 + Math.floor(Math.random() * accounts)];
      await server
        .query(
          `BEGIN; UPDATE account SET balance = balance - 1 WHERE id = ${from}; UPDATE account SET balance = balance + 1 WHERE id = ${to};
           INSERT INTO done VALUES ('${id}'); COMMIT`,
        )
        .then(
          () => this.committed.add(id),
          // A deadlock between two of them, or the end of the server.
          () => new Promise((resolve) => setTimeout(resolve, 50)),
        );
    }
  }

  async reach(transactions: number): Promise<void> {
    await eventually(`${transactions} transactions`, () => (this.committed.size >= transactions ? true : undefined), 60_000);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }
}

suite('PostgreSQL on a volume of a cluster', () => {
  const stack = new AsyncDisposableStack();
  const volume = 'database';
  const committed = new Set<string>();
  let lab: DockerLab;
  let daemons: readonly HostDaemon[];
  let server: Server;

  before(async () => {
    lab = stack.use(await DockerLab.up({ hosts: 3, engines: false, network: true }));
    daemons = await formCluster(lab);
    // The server is not root.
    for (const { host, mountDir } of daemons) await host.must('chmod', ['a+x', lab.directory, host.directory, mountDir]);
    await daemons[0]!.client.createVolume(volume, { access: 'onewriter' });
    await daemons[0]!.client.mountVolume(volume, 'test');
    server = new Server(daemons[0]!, volume);
    await server.create();
  });
  after(() => stack.disposeAsync());

  /** The service comes up on another host, with all that was committed. */
  async function moveTo(index: number): Promise<void> {
    await eventually(
      'the volume comes',
      () =>
        daemons[index]!.client.mountVolume(volume, 'test').then(
          () => true,
          () => undefined,
        ),
      60_000,
    );
    server = new Server(daemons[index]!, volume);
    await server.start();
    await hold();
  }

  async function hold(): Promise<void> {
    const done = new Set((await server.query('SELECT id FROM done')).split('\n'));
    assert.deepEqual(
      [...committed].filter((id) => !done.has(id)),
      [],
      'a committed transaction is lost',
    );
    assert.equal((await server.query('SELECT sum(balance) FROM account')).trim(), String(accounts * 100));
    await server.check();
  }

  async function work(strike: (clients: Clients) => Promise<void>): Promise<void> {
    const running = new Clients(server);
    await running.reach(30);
    await strike(running);
    await running.stop();
    for (const id of running.committed) committed.add(id);
  }

  test('the daemon of its host is killed: it goes on there, or starts again, and nothing is lost', async () => {
    await work(async (running) => {
      await daemons[0]!.crash();
      if (server.running) await running.reach(running.committed.size + 10).catch(() => {});
    });
    if (server.running) await server.kill();
    await server.start();
    await hold();
  });

  test('its host dies: the service starts on another one with every committed transaction', async () => {
    await work(async () => {
      await Promise.all([daemons[0]!.kill(), server.kill()]);
    });
    await moveTo(1);
    await daemons[0]!.start();
    await complete(daemons);
  });

  test('its host is cut off while it goes on there: the one that takes over is not disturbed by it, and loses nothing', async () => {
    const old = server;
    await work(async (running) => {
      await lab.cut(1);
      await moveTo(2);
      await running.stop();
    });
    await lab.heal(1);
    await complete(daemons);
    // What it still has in memory must not reach the volume.
    await old.query('CHECKPOINT').catch(() => {});
    await work(async (running) => running.reach(60));
    await hold();
    await old.kill();
  });
});
