import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '../../src/base/index.ts';
import { noteTrust, takeTrust } from '../../src/fuse/earlier-trust.ts';

describe('what a daemon leaves of what it told the kernel', () => {
  const clock = { ...systemClock, monotonicMs: () => 5000 };

  test('is for the next one, which hears how much of it is left', () => {
    const memory = new Uint8Array(4096);
    noteTrust(memory, 0, 6200);
    assert.equal(takeTrust(memory, 0, clock), 1200);
    noteTrust(memory, 1, 4000);
    assert.equal(takeTrust(memory, 1, clock), 0);
  });

  test('is told once: a daemon that is killed leaves nothing', () => {
    const memory = new Uint8Array(4096);
    noteTrust(memory, 3, 4000);
    takeTrust(memory, 3, clock);
    assert.equal(takeTrust(memory, 3, clock), undefined);
  });

  test('counts for nothing after a daemon that did not know of it, nor in memory in which nothing was said', () => {
    const memory = new Uint8Array(4096);
    assert.equal(takeTrust(memory, 0, clock), undefined);
    noteTrust(memory, 3, 4000);
    assert.equal(takeTrust(memory, 4, clock), undefined);
    assert.equal(takeTrust(memory, 3, clock), undefined, 'and it is gone');
  });
});
