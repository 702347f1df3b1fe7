import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { silentLogger } from '../../src/base/index.ts';
import type { Attributes } from '../../src/filesystem/index.ts';
import { KernelTrust } from '../../src/fuse/kernel-trust.ts';
import { Notifier } from '../../src/fuse/notifier.ts';
import { FakeKernel } from './fake-kernel.ts';

describe('what the kernel is trusted with', () => {
  const trust = (adopted = false): KernelTrust => new KernelTrust(new Notifier(new FakeKernel(), -1, silentLogger), adopted);

  test('nothing shortly before the lease ends: whoever asked may take the answer in late', () => {
    const late = trust();
    late.begin(() => 500);
    const { entrySeconds, entryNanoseconds, attributeSeconds, attributeNanoseconds } = late.validityAt(performance.now());
    assert.deepEqual([entrySeconds, entryNanoseconds, attributeSeconds, attributeNanoseconds], [0, 0, 0, 0]);
    assert.equal(late.end(false).expired, undefined);
  });

  test('what an earlier daemon of the mount told is waited for', async () => {
    assert.equal(trust().end(true).expired, undefined);
    const { expired } = trust(true).end(true);
    assert.ok(expired instanceof Promise);
    await expired;
  });

  test('what an earlier daemon says that it told is waited for, and no longer', () => {
    const adopted = (earlierMs: number): KernelTrust => new KernelTrust(new Notifier(new FakeKernel(), -1, silentLogger), true, earlierMs);
    assert.equal(adopted(0).end(true).expired, undefined);
    assert.ok(adopted(1000).end(true).expired instanceof Promise);
    assert.ok(adopted(1e9).close() < 2000, 'what cannot be is not believed');
  });

  test('a daemon that ends says for how long it is trusted, and gives no trust after that', () => {
    const ending = trust();
    assert.equal(ending.close(), 0);
    const sole = trust();
    sole.begin(() => 10_000);
    sole.validityAt(performance.now());
    assert.ok(sole.close() > 1000);
    const { entrySeconds, attributeSeconds } = sole.validityAt(performance.now());
    assert.deepEqual([entrySeconds, attributeSeconds], [0, 0]);
    const guarded = trust();
    const attributes = { inode: 7, size: 6, changed: { seconds: 1, nanoseconds: 0 } } as Attributes;
    guarded.opened(7, 1, () => attributes, true);
    assert.notEqual(
      guarded.guardedValidity(7, () => 10_000),
      undefined,
    );
    assert.ok(guarded.close() > 0);
    assert.equal(
      guarded.guardedValidity(7, () => 10_000),
      undefined,
    );
  });

  test('of a file that an earlier daemon may have let it cache the pages are dropped, once, where others use the volume', async () => {
    const attributes = { inode: 7, size: 6, changed: { seconds: 1, nanoseconds: 0 } } as Attributes;
    assert.equal(trust().beforeAttributes(attributes), undefined);
    const later = trust(true);
    const dropping = later.beforeAttributes(attributes);
    assert.ok(dropping instanceof Promise);
    await dropping;
    assert.equal(later.beforeAttributes(attributes), undefined);
    later.begin(() => 10_000);
    assert.equal(later.beforeAttributes({ ...attributes, inode: 8 }), undefined);
  });

  test('a guarded file’s pages are kept over closes as long as it has not changed, and for an opening that is not guarded there are none', () => {
    const guest = trust();
    const at = (seconds: number) => (): Attributes => ({ inode: 7, size: 6, changed: { seconds, nanoseconds: 0 } }) as Attributes;
    assert.equal(guest.opened(7, 1, at(1), true), 'cached');
    assert.equal(guest.opened(7, 2, at(1), true), 'kept');
    assert.equal(guest.opened(7, 3, at(1)), 'direct');
    for (const handle of [1, 2, 3]) guest.closed(handle);
    assert.equal(guest.opened(7, 4, at(1), true), 'kept');
    guest.closed(4);
    assert.equal(guest.opened(7, 5, at(2), true), 'cached', 'it changed since');
    guest.closed(5);
    assert.ok(guest.drop(7) instanceof Promise);
    assert.equal(guest.drop(7), undefined, 'there is nothing left to drop');
    assert.equal(guest.opened(7, 6, at(2), true), 'cached');
  });

  test('a guarded file that is open with a cache is trusted for a moment, well within the time in which we are told before it changes, and dropping it ends that', async () => {
    const guest = trust();
    const attributes = { inode: 7, size: 6, changed: { seconds: 1, nanoseconds: 0 } } as Attributes;
    const msOf = (guardedMs: number): number => {
      const given = guest.guardedValidity(7, () => guardedMs);
      if (given === undefined) return 0;
      assert.deepEqual([given.entrySeconds, given.entryNanoseconds, given.negativeNanoseconds], [0, 0, 0]);
      return given.attributeSeconds * 1000 + given.attributeNanoseconds / 1e6;
    };
    assert.equal(msOf(1000), 0, 'it is not open');
    guest.opened(7, 1, () => attributes, true);
    assert.equal(guest.distrust(7), undefined, 'nothing was trusted yet');
    assert.deepEqual([1000, 650, 610, 600, 0].map(msOf), [50, 50, 10, 0, 0]);
    assert.equal(guest.mayTrust(7), true);
    assert.equal(guest.mayTrust(8), false);
    assert.ok(guest.distrust(7) instanceof Promise);
    assert.equal(msOf(1000), 50, 'the pages are kept, and may be trusted again');
    guest.closed(1);
    assert.ok(guest.drop(7) instanceof Promise);
    assert.ok(guest.drop(8) instanceof Promise, 'while there may be trust in anything');
    assert.equal(
      guest.guardedValidity(7, () => 1000),
      undefined,
      'it is not open any more',
    );
    guest.begin(() => 10_000);
    guest.opened(7, 2, () => attributes, true);
    assert.equal(
      guest.guardedValidity(7, () => 1000),
      undefined,
      'alone it is trusted for other reasons',
    );
  });

  test('the daemon after this one is to know of pages of a lease that was lost, while their files are open', () => {
    const lost = trust();
    lost.begin(() => 10_000);
    lost.opened(7, 1, () => ({ inode: 7, size: 6, changed: { seconds: 1, nanoseconds: 0 } }) as Attributes);
    assert.equal(lost.hasStale, false);
    lost.end(true);
    assert.deepEqual([lost.hasStale, lost.mayWriteMapped(7)], [true, false]);
    lost.closed(1);
    assert.equal(lost.hasStale, false);
  });

  test('nothing that it cached of an open file that others changed, whatever sizes it was told meanwhile', async () => {
    const attributes = { inode: 7, size: 6, changed: { seconds: 1, nanoseconds: 0 } } as Attributes;
    const shared = trust();
    shared.begin(() => 10_000);
    assert.equal(
      shared.opened(7, 1, () => attributes),
      'kept',
    );
    await shared.end(false).dropped;
    assert.equal(shared.beforeAttributes(attributes), undefined);
    // A lookup may have told it the new size.
    const dropped = shared.beforeAttributes({ ...attributes, size: 11, changed: { seconds: 2, nanoseconds: 0 } });
    assert.ok(dropped instanceof Promise);
    await dropped;
  });

  test('what is dropped of all open files is dropped a piece a turn, and whoever opens one before its turn keeps nothing of it', async () => {
    const files = 1000;
    const notifier = new Notifier(new FakeKernel(), -1, silentLogger);
    const attributesOf = (inode: number) => (): Attributes => ({ inode, size: 6, changed: { seconds: 1, nanoseconds: 0 } }) as Attributes;
    const open = (isGuarded: boolean): KernelTrust => {
      const kernel = new KernelTrust(notifier, false);
      if (!isGuarded) kernel.begin(() => 10_000);
      for (let inode = 1; inode <= files; inode++) kernel.opened(inode, inode, attributesOf(inode), isGuarded);
      return kernel;
    };
    const guest = open(true);
    assert.equal(guest.opened(files, files + 1, attributesOf(files), true), 'kept');
    guest.dropOpen();
    assert.ok(notifier.statistics.sent < files, 'not all in one turn');
    assert.equal(guest.opened(files, files + 2, attributesOf(files), true), 'cached');
    while (notifier.statistics.sent < files) await new Promise((resolve) => setImmediate(resolve));

    const { dropped } = open(false).end(false);
    assert.ok(notifier.statistics.sent < 2 * files, 'not all in one turn');
    await dropped;
    assert.equal(notifier.statistics.sent, 2 * files);
  });
});
