/** How the watches of one host begin and end, with a store that answers when the test says so. */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import type { BlockService, BlockState } from '../../src/api/index.ts';
import { mutableAddress } from '../../src/block/index.ts';
import { BlockWatches } from '../../src/node/blocks/block-watches.ts';

const address = mutableAddress();
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class Scene {
  /** Reads that wait for their answers. */
  readonly reads: ((state: BlockState | undefined) => void)[] = [];
  following = 0;
  /** A notice of a change comes. */
  changed: () => void = () => {};
  readonly watches = new BlockWatches(
    { get: () => new Promise((resolve) => this.reads.push(resolve)) } as unknown as BlockService,
    (_address, listener) => {
      this.changed = listener;
      this.following++;
      return { [Symbol.dispose]: () => void this.following-- };
    },
  );

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

test('however often somebody comes to wait, the block is read again when that is due', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const scene = new Scene();
    const waits = [scene.wait()];
    // As it is known: only a further read shows what a notice that was lost was about.
    scene.reads.shift()!({ version: 1, value: new Uint8Array(0) });
    await turn();
    for (let second = 0; second < 5; second++) {
      mock.timers.tick(1000);
      waits.push(scene.wait());
    }
    scene.reads.shift()!({ version: 2, value: new Uint8Array(0) });
    await turn();
    const shown = await Promise.all(waits);
    assert.ok(shown.every((state) => (state as BlockState).version === 2));
    scene.watches[Symbol.dispose]();
  } finally {
    mock.timers.reset();
  }
});

test('who comes while the block is being read is shown what is newer than it knows, and not what may be older', async () => {
  const scene = new Scene();
  const known = scene.wait();
  scene.reads.shift()!({ version: 1, value: new Uint8Array(0) });
  await turn();
  scene.changed();
  const late = scene.wait();
  // That one has heard of the removal of what is being read.
  const knowing = scene.watches.wait(address, 0, 60_000, new AbortController().signal);
  scene.reads.shift()!({ version: 2, value: new Uint8Array(0) });
  assert.deepEqual(
    ((await Promise.all([known, late])) as BlockState[]).map(({ version }) => version),
    [2, 2],
  );
  scene.watches[Symbol.dispose]();
  assert.equal(await knowing, 'unchanged');
});

test('one who comes while nobody waits has the block read when that is due', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const scene = new Scene();
    const leaves = new AbortController();
    const first = scene.wait(leaves.signal);
    scene.reads.shift()!({ version: 1, value: new Uint8Array(0) });
    await turn();
    leaves.abort();
    await first;
    mock.timers.tick(4000);
    const second = scene.wait();
    mock.timers.tick(5000);
    scene.reads.shift()!({ version: 2, value: new Uint8Array(0) });
    assert.equal(((await second) as BlockState).version, 2);
    scene.watches[Symbol.dispose]();
  } finally {
    mock.timers.reset();
  }
});

test('a wait whose signal has fired ends at once', async () => {
  const scene = new Scene();
  assert.equal(await scene.wait(AbortSignal.abort()), 'unchanged');
  scene.watches[Symbol.dispose]();
});
