import assert from 'node:assert/strict';
import path from 'node:path';

import { complete, formCluster, HostDaemon } from '../../docker/cluster-hosts.ts';
import { DockerLab } from '../../docker/lab.ts';
import { eventually } from '../../docker/process.ts';
import type { Database } from './databases.ts';
import { Server, type Writer } from './server.ts';

/** Committed before and after each strike. */
const transactions = 60;
/** A lost host is noticed, and a volume moves. */
const patienceMs = 120_000;
const volume = 'databases';

/** Hosts with a volume, and what strikes them while a database is at work. */
export class DatabaseRun implements AsyncDisposable {
  readonly #daemons: readonly HostDaemon[];
  readonly #say: (line: string) => void;
  readonly #stack: AsyncDisposableStack;

  private constructor(daemons: readonly HostDaemon[], say: (line: string) => void, stack: AsyncDisposableStack) {
    this.#daemons = daemons;
    this.#say = say;
    this.#stack = stack;
  }

  static async start(hosts: number, say: (line: string) => void): Promise<DatabaseRun> {
    await using stack = new AsyncDisposableStack();
    const lab = stack.use(await DockerLab.up({ hosts, engines: false, network: hosts > 1 }));
    let daemons: readonly HostDaemon[];
    if (hosts > 1) daemons = await formCluster(lab);
    else {
      daemons = [new HostDaemon(lab.host, '127.0.0.1', { INFINIT_REPLICAS: '1' })];
      await daemons[0]!.start();
    }
    for (const daemon of daemons) await daemon.mount(volume);
    return new DatabaseRun(daemons, say, stack.move());
  }

  /** Each strike once a round; throws where something was lost or is not sound. */
  async try(database: Database, rounds: number): Promise<void> {
    const trial = new Trial(database, this.#daemons, this.#say);
    await trial.make();
    for (let round = 0; round < rounds; round++) for (const strike of this.#daemons.length > 1 ? severalHosts : oneHost) await trial.under(strike);
    await trial.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/** What is done to a database at work. Returns the host that it is to go on at. */
interface Strike {
  readonly name: string;
  /** Its host is lost, with what was not synced. */
  readonly hostLost?: boolean;
  readonly strike: (trial: Trial) => Promise<number>;
}

const databaseKilled: Strike = {
  name: 'kill -9 of the database',
  async strike(trial) {
    await trial.kill();
    return trial.at;
  },
};

const daemonKilled: Strike = {
  name: 'kill -9 of the daemon',
  async strike(trial) {
    await trial.daemons[trial.at]!.crash();
    return trial.at;
  },
};

const oneHost: readonly Strike[] = [
  databaseKilled,
  daemonKilled,
  {
    name: 'kill -9 of the daemon and the database at once',
    async strike(trial) {
      await Promise.all([trial.daemons[trial.at]!.crash(), trial.kill()]);
      return trial.at;
    },
  },
  {
    name: 'host lost and started again',
    hostLost: true,
    async strike(trial) {
      await trial.lose(trial.at);
      await trial.bring(trial.at);
      return trial.at;
    },
  },
];

const severalHosts: readonly Strike[] = [
  databaseKilled,
  {
    name: 'kill -9 of the database, started on another host',
    async strike(trial) {
      await trial.kill();
      return trial.another;
    },
  },
  daemonKilled,
  {
    name: 'kill -9 of every daemon at once',
    async strike(trial) {
      await Promise.all(trial.daemons.map((daemon) => daemon.crash()));
      return trial.at;
    },
  },
  {
    name: 'another host lost',
    async strike(trial) {
      const lost = trial.another;
      await trial.lose(lost);
      await trial.goesOn();
      await trial.bring(lost);
      return trial.at;
    },
  },
  {
    name: 'host lost, the database started on another host',
    hostLost: true,
    async strike(trial) {
      await trial.lose(trial.at);
      return trial.another;
    },
  },
];

/** One database, what was committed to it, and where it is at work. */
class Trial {
  readonly daemons: readonly HostDaemon[];
  at: number;
  readonly #database: Database;
  readonly #say: (line: string) => void;
  readonly #committed = new Map<string, number>();
  #server: Server;
  #writer: Writer | undefined;
  #writers = 0;
  #away: number | undefined;

  constructor(database: Database, daemons: readonly HostDaemon[], say: (line: string) => void) {
    this.#database = database;
    this.daemons = daemons;
    this.#say = say;
    // The first host serves the volume: not there.
    this.at = daemons.length > 1 ? 1 : 0;
    this.#server = this.#serverAt(this.at);
  }

  get another(): number {
    return (this.at + 1) % this.daemons.length;
  }

  async make(): Promise<void> {
    await this.#server.make();
    await this.#server.start();
  }

  async under({ name, hostLost, strike }: Strike): Promise<void> {
    const writer = await this.#write();
    const begun = performance.now();
    if (!(await writer.reach(transactions, patienceMs))) throw new Error(`${name}: nothing can be written: ${writer.said.slice(-2000)}`);
    const took = (performance.now() - begun) / transactions;
    const struckAt = Date.now();
    const struck = performance.now();
    const next = await strike(this);
    const goesOn = this.#server.running || (this.#database.serve === undefined && writer.running);
    if (goesOn && !(await writer.reach(transactions, patienceMs)))
      this.#say(`${this.#database.name}: ${name}: it ended: ${writer.said.slice(-1000)}\n${this.#server.said}`);
    const stopped = await this.#stopWriting();
    if (!this.#server.running || next !== this.at) {
      await this.#server.kill();
      this.at = next;
      this.#server = this.#serverAt(next);
      await this.#server.start();
    }
    await this.#hold(hostLost === true ? struckAt - (this.#database.lostWithHostMs ?? 0) : Infinity);
    if (this.#away !== undefined) await this.bring(this.#away);
    this.#say(
      `${this.#database.name}: ${name}: held, ${stopped} transactions, ${took.toFixed(1)} ms each, ${goesOn ? 'went on' : 'started again'}, ${((performance.now() - struck) / 1000).toFixed(1)} s in all`,
    );
  }

  /** Transactions are committed while a strike goes on. */
  async goesOn(): Promise<void> {
    await this.#writer!.reach(transactions, patienceMs);
  }

  /** Ends the database without warning. */
  async kill(): Promise<void> {
    await (this.#database.serve === undefined ? this.#writer!.kill() : this.#server.kill());
  }

  /** Ends all that runs on a host without warning. */
  async lose(index: number): Promise<void> {
    this.#away = index;
    const own = index === this.at ? [this.kill(), this.#writer!.kill()] : [];
    await Promise.all([this.daemons[index]!.kill(), ...own]);
  }

  async bring(index: number): Promise<void> {
    this.#away = undefined;
    const daemon = this.daemons[index]!;
    await daemon.start();
    if (this.daemons.length > 1) await complete(this.daemons);
    await eventually(
      'the volume is there again',
      () =>
        daemon.client.mountVolume(volume, 'test').then(
          () => true,
          () => undefined,
        ),
      patienceMs,
    );
  }

  /** Stops it in order, and looks at its files. */
  async end(): Promise<void> {
    await this.#server.kill('SIGTERM');
    await this.#server.inspect();
    this.#say(`${this.#database.name}: sound after ${this.#committed.size} transactions`);
  }

  #serverAt(index: number): Server {
    const { host, mountDir } = this.daemons[index]!;
    return new Server(this.#database, host, path.join(mountDir, volume));
  }

  async #write(): Promise<Writer> {
    this.#writer = await this.#server.write(`${this.#database.name}-w${this.#writers++}`);
    return this.#writer;
  }

  async #stopWriting(): Promise<number> {
    const writer = this.#writer!;
    await writer.kill();
    const { committed } = writer;
    for (const [name, at] of committed) this.#committed.set(name, at);
    return committed.size;
  }

  /** All that was committed until then is there. */
  async #hold(untilMs: number): Promise<void> {
    const there = await this.#server.names();
    const missing = [...this.#committed].filter(([name]) => !there.has(name));
    assert.deepEqual(
      missing.filter(([, at]) => at < untilMs),
      [],
      'committed transactions are lost',
    );
    for (const [name] of missing) this.#committed.delete(name);
    assert.equal(await this.#server.faults(), '');
  }
}
