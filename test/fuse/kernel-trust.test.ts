import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { silentLogger } from '../../src/base/index.ts';
import type { Attributes } from '../../src/filesystem/index.ts';
import { KernelTrust } from '../../src/fuse/kernel-trust.ts';
import { Notifier } from '../../src/fuse/notifier.ts';
import * as sys from '../suites/posix/syscalls.ts';
import { FakeKernel } from './fake-kernel.ts';
import { Mounted } from './mounted.ts';

/** Far longer than a test. */
const forLong = 3_600_000;
/** What is asked within a second of its answer is trusted; on a busy machine that takes some attempts. */
const attempts = 20;

describe('a mount whose files other hosts change from time to time', () => {
  let mounted: Mounted;
  const at = (...names: string[]): string => mounted.path(...names);
  const count = async (name: string): Promise<number> => (await mounted.statistics()).operations[name] ?? 0;
  const alone = (forMs = forLong): Promise<unknown> => mounted.command({ do: 'alone', forMs });
  const shared = (lost = false): Promise<unknown> => mounted.command({ do: 'shared', lost });
  /** As another host would. */
  const change = (name: string, text: string, secretly = false): Promise<unknown> =>
    mounted.command({ do: 'write', path: `/${name}`, text, secretly });
  function textOf(fd: number): string {
    const buffer = Buffer.alloc(100);
    return buffer.toString('latin1', 0, readSync(fd, buffer, 0, 100, 0));
  }
  async function asksNothing(action: () => void): Promise<boolean> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      action();
      const before = (await mounted.statistics()).operations;
      action();
      const after = (await mounted.statistics()).operations;
      if (['lookup', 'getattr', 'read', 'readdir', 'readdirplus'].every((name) => after[name] === before[name])) return true;
    }
    return false;
  }
  beforeEach(async () => {
    mounted = await Mounted.start({ leased: true });
  });
  afterEach(async () => {
    const { handles } = await mounted.statistics();
    await mounted[Symbol.asyncDispose]();
    assert.equal(handles, 0, 'no handle was left open');
  });

  test('alone, the kernel reads, looks up and lists what it knows without asking, over closes too', async () => {
    await alone();
    mkdirSync(at('directory'));
    writeFileSync(at('directory', 'file'), 'content');
    assert.ok(await asksNothing(() => assert.equal(readFileSync(at('directory', 'file'), 'utf8'), 'content')));
    assert.ok(await asksNothing(() => statSync(at('directory', 'file'))));
    assert.ok(await asksNothing(() => assert.ok(!existsSync(at('absent')))));
    assert.ok(await asksNothing(() => assert.deepEqual(readdirSync(at('directory')), ['file'])));
  });

  test('not alone, it asks every time, and pages of a file that is open are not kept', async () => {
    writeFileSync(at('file'), 'before');
    const fd = openSync(at('file'), 'r');
    assert.equal(textOf(fd), 'before');
    await change('file', 'behind', true);
    assert.equal(textOf(fd), 'behind');
    assert.equal(readFileSync(at('file'), 'utf8'), 'behind');
    closeSync(fd);
    assert.ok(!(await asksNothing(() => statSync(at('file')))));
  });

  test('of a file that is guarded the kernel keeps pages over closes, until it is about to change; and it asks whether they are right', async () => {
    writeFileSync(at('file'), 'before');
    await mounted.command({ do: 'guard' });
    const read = (): string => readFileSync(at('file'), 'utf8');
    assert.equal(read(), 'before');
    const reads = await count('read');
    assert.equal(read(), 'before');
    assert.equal(await count('read'), reads, 'it has the pages');
    const fd = openSync(at('file'), 'r');
    assert.equal(textOf(fd), 'before');
    await mounted.command({ do: 'drop', path: '/file' });
    await change('file', 'behind', true);
    assert.equal(textOf(fd), 'behind');
    assert.equal(read(), 'behind');
    // We were not told of it: its time of change alone is another one.
    await change('file', 'unsaid', true);
    assert.equal(textOf(fd), 'unsaid');
    assert.equal(read(), 'unsaid');
    writeFileSync(at('file'), 'by us.');
    assert.equal(textOf(fd), 'by us.');
    closeSync(fd);
    await change('file', 'closed', true);
    assert.equal(read(), 'closed');
  });

  test('a file that is written is not cached, guarded or not', async () => {
    writeFileSync(at('file'), 'before');
    await mounted.command({ do: 'guard' });
    const fd = openSync(at('file'), 'r+');
    assert.equal(textOf(fd), 'before');
    const reads = await count('read');
    assert.equal(textOf(fd), 'before');
    assert.ok((await count('read')) > reads);
    closeSync(fd);
  });

  test('once others are let in nothing that it knew is believed: contents, names that are gone or were absent, listings, files that stayed open', async () => {
    await alone();
    for (const name of ['open', 'closed', 'gone']) writeFileSync(at(name), 'before');
    const fd = openSync(at('open'), 'r');
    assert.equal(textOf(fd), 'before');
    for (const name of ['closed', 'gone']) assert.equal(readFileSync(at(name), 'utf8'), 'before');
    assert.equal(readdirSync(mounted.directory).length, 3);
    await shared();
    await mounted.command({ do: 'remove', path: '/gone' });
    for (const name of ['open', 'closed']) await change(name, 'behind', true);
    assert.ok(!existsSync(at('gone')));
    assert.deepEqual(readdirSync(mounted.directory).toSorted(), ['closed', 'open']);
    assert.equal(readFileSync(at('closed'), 'utf8'), 'behind');
    assert.equal(textOf(fd), 'behind');
    // And again, with what it has read by now.
    await change('open', 'anew..', true);
    assert.equal(textOf(fd), 'anew..');
    closeSync(fd);
  });

  test('alone again, it starts from what is there, and not from what it had cached the time before', async () => {
    await alone();
    writeFileSync(at('file'), 'before');
    const fd = openSync(at('file'), 'r');
    assert.equal(textOf(fd), 'before');
    await shared();
    assert.equal(textOf(fd), 'before');
    await change('file', 'behind', true);
    await alone();
    // Its attributes are looked up before anybody asks for those of the open file.
    statSync(at('file'));
    assert.equal(textOf(fd), 'behind');
    assert.equal(readFileSync(at('file'), 'utf8'), 'behind');
    await shared();
    await change('file', 'again.', true);
    await alone();
    assert.equal(readFileSync(at('file'), 'utf8'), 'again.');
    assert.equal(textOf(fd), 'again.');
    closeSync(fd);
    assert.ok(await asksNothing(() => assert.equal(readFileSync(at('file'), 'utf8'), 'again.')));
  });

  test('alone, a write leaves cached what lies beside it, and whoever asks for the time of writing hears the true one', async () => {
    await alone();
    const [page, pages] = [4096, 16];
    writeFileSync(at('file'), Buffer.alloc(pages * page, 1));
    const fd = openSync(at('file'), 'r+');
    const buffer = Buffer.alloc(page);
    const read = (index: number): number => readSync(fd, buffer, 0, page, index * page) && buffer[0]!;
    let before = statSync(at('file')).mtimeMs;
    for (let index = 0; index < pages; index++) assert.equal(read(index), 1);
    const reads = await count('read');
    for (let index = 0; index < pages; index += 2) {
      await setTimeout(10);
      writeSync(fd, Buffer.alloc(page, 2), 0, page, index * page);
      assert.equal(read(index), 2);
      assert.equal(read(index + 1), 1);
    }
    assert.equal(await count('read'), reads);
    for (let times = 0; times < 2; times++) {
      const { mtimeMs } = statSync(at('file'));
      assert.ok(mtimeMs > before);
      before = mtimeMs;
      await setTimeout(10);
      writeSync(fd, Buffer.alloc(page, 2), 0, page, 0);
      assert.equal(read(1), 1);
    }
    closeSync(fd);
    assert.deepEqual([...new Set(readFileSync(at('file')))].toSorted(), [1, 2]);
  });

  test('alone, what a program wrote of a large file stays cached when it is opened, looked up and asked for its times, which are the true ones', async () => {
    await alone();
    const [page, pages] = [4096, 256];
    const file = at('file');
    let fd = openSync(file, 'w');
    writeSync(fd, Buffer.alloc(page * pages, 1));
    let reads = await count('read');
    let written = 0;
    for (let round = 0; round < 2; round++) {
      // What the kernel was told of the name before holds for a second.
      await setTimeout(1100);
      const { mtimeMs } = statSync(file);
      assert.ok(mtimeMs > written, 'its time of writing is the true one');
      written = mtimeMs;
      closeSync(fd);
      fd = openSync(file, 'r+');
      const buffer = Buffer.alloc(page * pages);
      assert.equal(readSync(fd, buffer, 0, buffer.length, 0), buffer.length);
      assert.equal(buffer[round * page], round === 0 ? 1 : 2);
      await setTimeout(10);
      writeSync(fd, Buffer.alloc(page, 2), 0, page, (round + 1) * page);
    }
    closeSync(fd);
    // On a busy machine the kernel reads once again now and then; without its cache it would in each round.
    assert.ok((await count('read')) - reads <= 1);
    // Others' writes are seen none the less, and what this program wrote between.
    await shared();
    await change('file', 'of another', true);
    await alone();
    assert.equal(readFileSync(file).subarray(0, 10).toString(), 'of another');
    reads = await count('read');
    assert.ok(reads > 0);
  });

  test('alone, what is written past the cache is read through it', async () => {
    writeFileSync(at('file'), 'before');
    const past = openSync(at('file'), 'r+');
    await alone();
    const fd = openSync(at('file'), 'r+');
    assert.equal(textOf(fd), 'before');
    statSync(at('file'));
    await setTimeout(10);
    writeSync(fd, 'B', 0);
    assert.equal(textOf(fd), 'Before');
    await setTimeout(10);
    writeSync(past, 'behind', 0);
    assert.equal(textOf(fd), 'behind');
    closeSync(past);
    closeSync(fd);
  });

  test('nothing is trusted beyond the lease, also where nobody tells the kernel', async () => {
    await alone(0);
    writeFileSync(at('file'), 'before');
    const fd = openSync(at('file'), 'r');
    assert.equal(textOf(fd), 'before');
    await change('file', 'behind');
    assert.equal(textOf(fd), 'behind');
    assert.equal(readFileSync(at('file'), 'utf8'), 'behind');
    assert.ok(!(await asksNothing(() => statSync(at('file')))));
    closeSync(fd);
  });

  describe('mapped memory', () => {
    let source: number;
    beforeEach(() => {
      const file = path.join(tmpdir(), `infinit-mapped-${process.pid}`);
      source = openSync(file, 'w+');
      sys.must(sys.unlink(file));
      writeSync(source, 'mapped', 0);
    });

    test('what a program changed there is written before others are let in', async () => {
      await alone();
      writeFileSync(at('file'), 'before');
      const fd = openSync(at('file'), 'r+');
      using mapping = new sys.Mapping(fd, 4096);
      mapping.copyFrom(source, 6);
      const writes = await count('write');
      await shared();
      assert.equal(await count('write'), writes + 1);
      assert.equal(readFileSync(at('file'), 'utf8'), 'mapped');
      closeSync(fd);
      closeSync(source);
    });

    test('where the lease was lost it is not written over what others wrote, and the program hears of it', async () => {
      await alone();
      writeFileSync(at('file'), 'before');
      const fd = openSync(at('file'), 'r+');
      {
        using mapping = new sys.Mapping(fd, 4096);
        mapping.copyFrom(source, 6);
        await shared(true);
        await change('file', 'behind');
        assert.equal(mapping.sync(), 'EIO');
      }
      closeSync(fd);
      closeSync(source);
      assert.equal(readFileSync(at('file'), 'utf8'), 'behind');
    });

    test('while it is not known whether the lease comes back it waits', async () => {
      await alone(0);
      writeFileSync(at('file'), 'before');
      // Started before there is something to be written: closing what it inherits would wait for that.
      const syncer = spawn('sh', ['-c', 'read go; sync "$0"', at('file')], { stdio: ['pipe', 'ignore', 'ignore'] });
      const fd = openSync(at('file'), 'r+');
      using mapping = new sys.Mapping(fd, 4096);
      mapping.copyFrom(source, 6);
      const writes = await count('write');
      const syncing = once(syncer, 'exit');
      syncer.stdin.end('go\n');
      while ((await count('write')) === writes) await setTimeout(5);
      await change('file', 'behind');
      await shared(true);
      assert.notDeepEqual(await syncing, [0, null]);
      closeSync(fd);
      closeSync(source);
      assert.equal(readFileSync(at('file'), 'utf8'), 'behind');
    });
  });
});

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
      const given = guest.guardedValidity(7, guardedMs);
      if (given === undefined) return 0;
      assert.deepEqual([given.entrySeconds, given.entryNanoseconds, given.negativeNanoseconds], [0, 0, 0]);
      return given.attributeSeconds * 1000 + given.attributeNanoseconds / 1e6;
    };
    assert.equal(msOf(1000), 0, 'it is not open');
    guest.opened(7, 1, () => attributes, true);
    assert.deepEqual([1000, 650, 610, 600, 0].map(msOf), [50, 50, 10, 0, 0]);
    assert.equal(guest.mayTrust(7), true);
    assert.equal(guest.mayTrust(8), false);
    guest.closed(1);
    assert.ok(guest.drop(7) instanceof Promise);
    assert.ok(guest.drop(8) instanceof Promise, 'while there may be trust in anything');
    assert.equal(guest.guardedValidity(7, 1000), undefined, 'it is not open any more');
    guest.begin(() => 10_000);
    guest.opened(7, 2, () => attributes, true);
    assert.equal(guest.guardedValidity(7, 1000), undefined, 'alone it is trusted for other reasons');
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
});
