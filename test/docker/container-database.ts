import assert from 'node:assert/strict';

import { postgresImage, postgresUser } from './postgres-image.ts';
import { eventually } from './process.ts';
import type { Scene } from './scene.ts';

/** Sessions that write at once, and transactions of one before it is begun anew. */
const clients = 3;
const transactionsInSession = 25;
/** A server that recovers on a busy machine, in a container that the engine may have to start again first. */
const answerMs = 120_000;
/** A query that takes longer waits for a volume that does not come back. */
const queryTimeoutMs = 20_000;

/** PostgreSQL in a container, its data on a volume, and clients that remember what was acknowledged to them. */
export class ContainerDatabase {
  readonly #s: Scene;
  readonly #container: string;
  readonly #volume: string;
  readonly #acknowledged = new Set<string>();
  #next = 0;

  constructor(scene: Scene, volume: string) {
    this.#s = scene;
    this.#container = `${volume}-server`;
    this.#volume = volume;
  }

  async create(): Promise<void> {
    await this.#s.create(this.#volume, `uid=${postgresUser}`, `gid=${postgresUser}`, 'mode=0700');
    await this.start();
    await this.query('CREATE TABLE done(id text PRIMARY KEY, filler text)');
  }

  /** A new container on the volume. */
  async start(): Promise<void> {
    const mount = ['-v', `${this.#volume}:/var/lib/postgresql/data`];
    await this.#s.docker('run', '-d', '--name', this.#container, '--network=none', '--restart=always', ...mount, postgresImage);
    await this.answers();
  }

  async removeContainer(): Promise<void> {
    await this.#s.docker('rm', '-f', this.#container);
  }

  /** Reads and writes: by itself, or once the engine has started the container again, since the server ends where its files are dead. */
  async answers(): Promise<void> {
    const probe = 'CREATE TABLE IF NOT EXISTS probe(at timestamp); INSERT INTO probe VALUES (now());';
    await eventually('PostgreSQL answers', async () => ((await this.#psql(probe)).code === 0 ? true : undefined), answerMs);
  }

  async query(sql: string): Promise<string> {
    const { code, stdout, stderr } = await this.#psql(sql);
    assert.equal(code, 0, stderr);
    return stdout.trim();
  }

  #psql(sql: string): ReturnType<Scene['host']['docker']> {
    const words = ['exec', '-i', this.#container, 'psql', '-h', '/tmp', '-qtA', '-v', 'ON_ERROR_STOP=1', 'postgres'];
    return this.#s.host.docker(words, { input: sql, timeoutMs: queryTimeoutMs });
  }

  /** Clients commit transactions while `strike` is done to what they live on; all end once it is done. */
  async under(strike: () => Promise<void>): Promise<void> {
    const before = this.#acknowledged.size;
    let over = false;
    const client = async (): Promise<void> => {
      while (!over) {
        const ids = Array.from({ length: transactionsInSession }, () => `t${this.#next++}`);
        const { stdout } = await this.#psql(ids.map((id) => `INSERT INTO done VALUES ('${id}', repeat('x', 500)) RETURNING id;\n`).join(''));
        for (const line of stdout.split('\n')) if (ids.includes(line)) this.#acknowledged.add(line);
      }
    };
    const working = Promise.all(Array.from({ length: clients }, client));
    try {
      const enough = before + 2 * transactionsInSession;
      await eventually('transactions are committed', () => (this.#acknowledged.size >= enough ? true : undefined), answerMs);
      await strike();
      await this.answers();
    } finally {
      over = true;
      await working;
    }
  }

  /** Every transaction that was acknowledged is there, and every page and index is sound. */
  async hold(): Promise<void> {
    const done = new Set((await this.query('SELECT id FROM done')).split('\n'));
    assert.deepEqual(
      [...this.#acknowledged].filter((id) => !done.has(id)),
      [],
      'a committed transaction is lost',
    );
    const check = ['pg_amcheck', '-h', '/tmp', '-U', 'postgres', '--all', '--install-missing', '--heapallindexed', '--parent-check'];
    await this.#s.docker('exec', this.#container, ...check);
  }

  async destroy(): Promise<void> {
    await this.removeContainer();
    await this.#s.removes(this.#volume);
  }
}
