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

  it('pause after a slow one, so that a slow disk does not hold the thread up', () => {
    const writes = new InThread();
    writes.ended(true, 50, 100);
    assert.equal(writes.allows(small, 1000), false);
    // What other threads write meanwhile makes it neither shorter nor longer.
    writes.ended(false, 50, 1000);
    assert.equal(writes.allows(small, 1050), false);
    assert.equal(writes.allows(small, 1100), true);
  });
});
