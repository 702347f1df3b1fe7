import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { InThread } from '../../src/disk/in-thread.ts';

const small = 4096;

describe('Writes in the calling thread', () => {
  it('are the small ones', () => {
    const writes = new InThread();
    assert.equal(writes.allows(small, 0), true);
    assert.equal(writes.allows(1024 * 1024, 0), false);
  });

  it('leave what waits for the thread the time to gather in a group', () => {
    const writes = new InThread();
    writes.ended(true, 0.1, 10);
    assert.equal(writes.allows(small, 10.01), false);
    assert.equal(writes.allows(small, 10.1), true);
  });

  it('go on after a slow one among quick ones', () => {
    const writes = new InThread();
    let now = 0;
    for (let slow = 0; slow < 10; slow++) {
      writes.ended(true, 10, (now += 1));
      assert.equal(writes.allows(small, now + 0.1), true);
      for (let quick = 0; quick < 16; quick++) writes.ended(true, 0.1, (now += 1));
    }
  });

  it('pause after several slow ones, so that a slow disk does not hold the thread up', () => {
    const writes = new InThread();
    for (const now of [0, 50, 100]) writes.ended(true, 50, now);
    assert.equal(writes.allows(small, 1000), false);
    // What other threads write meanwhile makes it neither shorter nor longer.
    writes.ended(false, 50, 1000);
    assert.equal(writes.allows(small, 1050), false);
    assert.equal(writes.allows(small, 1100), true);
    // A disk that is still slow is found out by the next one.
    writes.ended(true, 40, 1200);
    assert.equal(writes.allows(small, 1900), false);
    assert.equal(writes.allows(small, 2000), true);
  });
});
