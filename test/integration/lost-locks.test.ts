/** A host dies while its programs hold locks on a volume that others use: theirs are free soon, those of the others stay. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';

import { childrenOf, eventually } from '../docker/process.ts';
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

  test('daemons that are killed and started again, of a host that is served and of the one that serves, keep the locks of their programs', async () => {
    const { hosts } = cluster;
    const places: string[] = [];
    for (const host of hosts) places.push(await host.mount('again'));
    await sh(`cd ${places[0]}; touch flock-0 flock-1 fcntl-0 fcntl-1`);
    using lockers = new DisposableStack();
    const all = (host?: number): Locker[] =>
      kinds.flatMap((kind) => [0, 1].map((owner) => lockers.use(new Locker(kind, path.join(places[host ?? owner]!, `${kind}-${owner}`)))));
    const taken = all();
    for (const locker of taken) await locker.locked();
    for (const index of [1, 0]) {
      const [before] = childrenOf(hosts[index]!.pid);
      process.kill(before!, 'SIGKILL');
      await eventually('the daemon is another one', () => (childrenOf(hosts[index]!.pid).some((pid) => pid !== before) ? true : undefined));
      await hosts[index]!.answering();
    }
    await cluster.complete();
    // What comes after is answered when all locks are taken again. Nobody wanted them meanwhile: a daemon may be away for too long on a busy machine.
    for (const place of places) await sh(`cd ${place}; echo x > after; sync after; flock after true`);
    const denied = all(2);
    await sh(`for i in $(seq 10); do flock ${places[2]}/after sleep 0.1; done`);
    assert.ok(denied.every(({ hasIt }) => !hasIt));
    for (const locker of taken) locker[Symbol.dispose]();
    await Promise.all(denied.map((locker) => locker.locked(freeMs)));
    for (const host of hosts) await host.client.unmountVolume('again', 'test').catch(() => {});
  });

  test('one that is served dies, and who must not wait for a lock of its programs is not told that somebody has it', async () => {
    const { hosts } = cluster;
    const places: string[] = [];
    for (const index of [1, 0, 2]) places[index] = await hosts[index]!.mount('tried');
    await sh(`cd ${places[1]}; touch flock fcntl kept`);
    using lockers = new DisposableStack();
    const tried = (host: number, kind: string, name = kind): Promise<string> =>
      sh(`${process.execPath} ${path.join(import.meta.dirname, 'locker.ts')} ${kind} ${path.join(places[host]!, name)} try`);
    const taken = kinds.map((kind) => lockers.use(new Locker(kind, path.join(places[0]!, kind))));
    const kept = lockers.use(new Locker('flock', path.join(places[1]!, 'kept')));
    for (const locker of [...taken, kept]) await locker.locked();
    for (const host of [1, 2]) for (const kind of kinds) assert.equal((await tried(host, kind)).trim(), 'EAGAIN');
    await hosts[0]!.kill();
    const said = await Promise.all([1, 2].flatMap((host) => kinds.map((kind) => tried(host, kind))));
    // Both may try one lock at the same moment, and one of them is told of the other.
    for (const at of kinds.keys()) assert.ok([said[at]!, said[at + kinds.length]!].map((each) => each.trim()).includes('locked'), said.join(' '));
    assert.equal((await tried(2, 'flock', 'kept')).trim(), 'EAGAIN');
    await hosts[0]!.restart();
    await cluster.complete();
  });

  test('the one that serves it dies, and another gets the locks of its programs, and no others', async () => {
    await lose('served', [0, 1, 2]);
    await cluster.hosts[0]!.restart();
    await cluster.complete();
  });

  test('one that is served dies, and another gets the locks of its programs, and no others', async () => {
    await lose('guest', [1, 0, 2]);
  });
});
