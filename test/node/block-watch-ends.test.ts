/** How the watches of one host begin and end, with a store that answers when the test says so. */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import type { BlockService, BlockState } from '../../src/api/index.ts';
import { mutableAddress } from '../../src/block/index.ts';
import { BlockWatches } from '../../src/node/block-watches.ts';

const address = mutableAddress();
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class Scene {
  /** Reads that wait for their answers. */
  readonly reads: ((state: BlockState | undefined) => void)[] = [];
  following = 0;
  readonly watches = new BlockWatches({ get: () => new Promise((resolve) => this.reads.push(resolve)) } as unknown as BlockService, () => {
    this.following++;
    return { [Symbol.dispose]: () => void this.following-- };
  });

  wait(signal: AbortSignal = new AbortController().signal): Promise<unknown> {
    return this.watches.wait(address, 1, 60_000, signal);
  }
}

test('a read that ends after its watch ends no newer watch of the same block', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const scene = new Scene();
    const leaves = new AbortController();
    const first = scene.wait(leaves.signal);
    scene.reads.shift()!(undefined);
    await turn();
    assert.equal(await first, undefined);
    // The next wait has a read under way when its program goes; the watch lingers, and ends before that read does.
    const second = scene.wait(leaves.signal);
    leaves.abort();
    assert.equal(await second, 'unchanged');
    mock.timers.tick(5000);
    assert.deepEqual([scene.watches.size, scene.following], [0, 0]);
    const third = scene.wait();
    scene.reads.shift()!(undefined);
    await turn();
    mock.timers.tick(5000);
    assert.deepEqual([scene.watches.size, scene.following], [1, 1]);
    scene.watches[Symbol.dispose]();
    assert.equal(await third, 'unchanged');
  } finally {
    mock.timers.reset();
  }
});

test('a wait whose signal has fired ends at once', async () => {
  const scene = new Scene();
  assert.equal(await scene.wait(AbortSignal.abort()), 'unchanged');
  scene.watches[Symbol.dispose]();
});
