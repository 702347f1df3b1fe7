import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Clock } from '../../src/base/index.ts';
import type { Overlay } from '../../src/overlay/index.ts';
import { eventually } from '../suites/transport-suite.ts';
import { Cluster } from './fixture.ts';

const hourMs = 60 * 60 * 1000;

/** A host `b` whose passport holds for an hour, in a cluster whose common clock the test turns. */
class Scene implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly a: Overlay;
  readonly b: Overlay;
  readonly #turn: (aheadMs: number) => void;

  private constructor(cluster: Cluster, a: Overlay, b: Overlay, turn: (aheadMs: number) => void) {
    [this.cluster, this.a, this.b, this.#turn] = [cluster, a, b, turn];
  }

  static async open(): Promise<Scene> {
    let ahead = 0;
    const clock: Clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() + ahead };
    const cluster = await Cluster.inMemory({ clock });
    const a = await cluster.first();
    const b = await cluster.join('b', a, { tokenFile: await cluster.tokenFile(a, { passportMs: hourMs }) });
    await eventually(() => a.transport.isConnected(b.self), 'they are connected');
    return new Scene(cluster, a, b, (aheadMs) => (ahead = aheadMs));
  }

  /** The hour is over. */
  async expire(): Promise<void> {
    this.#turn(2 * hourMs);
    await eventually(() => !this.b.transport.isConnected(this.a.self), 'b is cut off');
  }

  /** The clock was wrong, and is set right. */
  setRight(): void {
    this.#turn(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster[Symbol.asyncDispose]();
  }
}

test('a host whose passport has ended goes on by itself, whatever changes about it', async () => {
  await using scene = await Scene.open();
  await scene.expire();
  scene.b.setState('draining');
  scene.b.setCapacity(7);
  assert.deepEqual([scene.b.state, scene.b.members()[0]!.capacity, scene.b.isPassportExpired], ['draining', 7, true]);
});

test('it starts, and says why it is no member', async () => {
  await using scene = await Scene.open();
  await scene.expire();
  await scene.cluster.stop(scene.b);
  const again = await scene.cluster.open('b');
  assert.ok(again.isPassportExpired);
  await eventually(() => again.troubles().some(({ message }) => /own passport has expired/.test(message)), 'it says so');
  const { text } = await scene.a.createToken({});
  await again.join([], text);
  await eventually(() => scene.a.transport.isConnected(again.self), 'with a new token it is in again');
});

test('what it did not tell is told once its clock is right again', async () => {
  await using scene = await Scene.open();
  await scene.expire();
  scene.b.setCapacity(7);
  scene.setRight();
  await eventually(() => scene.a.member(scene.b.self)?.capacity === 7, 'a knows');
});
