/** A host dies while its programs hold locks on a volume that others use: theirs are free soon, those of the others stay. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';

import { eventually } from '../docker/process.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import { sh } from './programs.ts';

/** What is promised. */
const freeMs = 15_000;
const kinds = ['flock', 'fcntl'] as const;

/** A program that locks a file and keeps it. */
class Locker implements Disposable {
  readonly #child: ChildProcess;
  #said = '';

  constructor(kind: (typeof kinds)[number], file: string) {
    this.#child = spawn(process.execPath, [path.join(import.meta.dirname, 'locker.ts'), kind, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.#said += text));
  }

  get hasIt(): boolean {
    return this.#said.includes('locked');
  }

  async locked(withinMs?: number): Promise<void> {
    await eventually('the program has its lock', () => (this.hasIt ? true : undefined), withinMs);
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

suite('of three hosts that use a volume', () => {
  let cluster: ClusterProcesses;
  before(async () => {
    cluster = await ClusterProcesses.start(3);
  });
  after(() => cluster[Symbol.asyncDispose]());

  /** Kills the first host. Who mounts the volume first serves it. */
  async function lose(volume: string, order: readonly number[]): Promise<void> {
    const { hosts } = cluster;
    const places: string[] = [];
    for (const index of order) places[index] = await hosts[index]!.mount(volume);
    await sh(`cd ${places[0]}; touch flock fcntl kept-flock kept-fcntl`);
    using lockers = new DisposableStack();
    const lock = (host: number, kind: (typeof kinds)[number], name: string): Locker => lockers.use(new Locker(kind, path.join(places[host]!, name)));
    const taken = kinds.flatMap((kind) => [lock(0, kind, kind), lock(1, kind, `kept-${kind}`)]);
    for (const locker of taken) await locker.locked();
    const waiting = kinds.map((kind) => lock(2, kind, kind));
    const denied = kinds.map((kind) => lock(2, kind, `kept-${kind}`));
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.ok(waiting.every(({ hasIt }) => !hasIt));
    await hosts[0]!.kill();
    await Promise.all(waiting.map((locker) => locker.locked(freeMs)));
    // Who served the volume may be another one by now.
    await sh(`cd ${places[2]}; echo x > after; sync after`);
    assert.ok(denied.every(({ hasIt }) => !hasIt));
    for (const locker of taken) locker[Symbol.dispose]();
    await Promise.all(denied.map((locker) => locker.locked(freeMs)));
  }

  test('the one that serves it dies, and another gets the locks of its programs, and no others', async () => {
    await lose('served', [0, 1, 2]);
    await cluster.hosts[0]!.restart();
    await cluster.complete();
  });

  test('one that is served dies, and another gets the locks of its programs, and no others', async () => {
    await lose('guest', [1, 0, 2]);
  });
});
