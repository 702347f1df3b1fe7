import assert from 'node:assert/strict';
import { test } from 'node:test';

import { mutableAddress } from '../../src/block/index.ts';
import { DroppedBlocks } from '../../src/store/dropped-blocks.ts';

const address = (index: number) => {
  const bytes = Buffer.alloc(31);
  bytes.writeUInt32BE(index);
  return mutableAddress(bytes);
};

test('of many removals the latest are remembered, and no more than the bound', () => {
  const dropped = new DroppedBlocks({ max: 100 });
  for (let index = 0; index < 1000; index++) {
    dropped.add([address(index)]);
    assert.ok(dropped.size <= 100);
    assert.ok(dropped.has(address(index)));
    assert.ok(index < 49 || dropped.has(address(index - 49)));
  }
  assert.ok(!dropped.has(address(0)));
  dropped.forget(address(999));
  assert.ok(!dropped.has(address(999)));
});

test('after a while removals are forgotten, and nothing of them stays', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const dropped = new DroppedBlocks({ ms: 1000 });
  dropped.add([address(1)]);
  context.mock.timers.tick(999);
  dropped.add([address(2)]);
  assert.ok(dropped.has(address(1)));
  context.mock.timers.tick(1001);
  assert.ok(dropped.has(address(2)), 'a removal is remembered for the whole time');
  context.mock.timers.tick(2000);
  assert.equal(dropped.size, 0);
});
