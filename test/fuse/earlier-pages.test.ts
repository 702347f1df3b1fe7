import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { silentLogger } from '../../src/base/index.ts';
import type { Attributes } from '../../src/filesystem/index.ts';
import { KernelTrust } from '../../src/fuse/kernel-trust.ts';
import { Notifier } from '../../src/fuse/notifier.ts';
import { FakeKernel } from './fake-kernel.ts';

describe('pages that were changed while an earlier daemon served the mount', () => {
  const adopted = (): KernelTrust => new KernelTrust(new Notifier(new FakeKernel(), -1, silentLogger), true);
  const pause = (): Promise<void> => setTimeout(5);

  test('wait until it is known whether others had the volume since, and are written if not', async () => {
    const trust = adopted();
    const waiting = trust.mayWriteMapped(7);
    assert.ok(waiting instanceof Promise);
    trust.end(true);
    trust.settle(true);
    trust.begin(() => 10_000);
    assert.equal(await waiting, true);
    assert.equal(trust.mayWriteMapped(8), true);
  });

  test('are refused where others had it, until the kernel has dropped them', async () => {
    const trust = adopted();
    const waiting = trust.mayWriteMapped(7);
    trust.settle(false);
    assert.equal(await waiting, false);
    assert.equal(trust.mayWriteMapped(8), false);
    await pause();
    assert.deepEqual([trust.mayWriteMapped(7), trust.mayWriteMapped(8)], [true, true]);
  });

  test('are refused from when others come or the lease is lost, but for those that were written or dropped before', async () => {
    const trust = adopted();
    trust.settle(true);
    trust.begin(() => 10_000);
    assert.equal(trust.mayWriteMapped(7), true);
    await trust.end(false).dropped;
    assert.deepEqual([trust.mayWriteMapped(7), trust.mayWriteMapped(8)], [true, false]);
    trust.begin(() => 10_000);
    trust.end(true);
    assert.equal(trust.mayWriteMapped(7), false);
  });

  test('are refused from when others come also where this daemon never had it alone', async () => {
    const trust = adopted();
    trust.settle(true);
    assert.equal(trust.hasStale, false);
    assert.equal(trust.mayWriteMapped(7), true);
    await trust.end(false).dropped;
    assert.deepEqual([trust.mayWriteMapped(7), trust.mayWriteMapped(8)], [true, false]);
    assert.equal(trust.hasStale, true);
  });

  test('are gone before a file is opened where others use the volume: what is changed from then on is written, also at the next host that serves it', async () => {
    const trust = adopted();
    assert.equal(trust.opening(7), undefined, 'not before it is known whether they are right');
    trust.settle(false);
    const dropping = trust.opening(7);
    assert.ok(dropping instanceof Promise);
    assert.equal(trust.opening(7), dropping, 'dropped once');
    assert.equal(trust.mayWriteMapped(7), false);
    await dropping;
    assert.equal(trust.opening(7), undefined);
    assert.equal(trust.mayWriteMapped(7), true);
    trust.end(true);
    assert.equal(trust.mayWriteMapped(7), true);
    assert.equal(trust.mayWriteMapped(8), false);
  });

  test('are gone once a file was opened anew: what is written then is of this time', () => {
    const trust = adopted();
    trust.settle(false);
    trust.begin(() => 10_000);
    const attributes = { inode: 7, size: 6, changed: { seconds: 1, nanoseconds: 0 } } as Attributes;
    assert.equal(
      trust.opened(7, 1, () => attributes),
      'cached',
    );
    // While the kernel opens it, it writes what it had.
    assert.equal(trust.mayWriteMapped(7), false);
    trust.used(1);
    assert.equal(trust.mayWriteMapped(7), true);
  });
});
