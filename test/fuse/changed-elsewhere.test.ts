import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import * as sys from '../suites/posix/syscalls.ts';
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

  test('a mapped file shows what another host wrote once a lock is taken, and what is changed in it is written before a lock is given back', async () => {
    const [page, source, shown] = [4096, at('source'), at('shown')];
    const [none, exclusive, unlock] = [0, 2, 8];
    writeFileSync(at('file'), Buffer.alloc(page, '-'));
    writeFileSync(source, 'mapped');
    for (const lock of [
      (fd: number, take: boolean) => sys.flock(fd, take ? exclusive : unlock),
      (fd: number, take: boolean) => sys.lock(fd, sys.F.OFD_SETLK, { type: take ? 'write' : 'unlock', start: 0, length: 1 }).result,
      (fd: number, take: boolean) => sys.lock(fd, sys.F.SETLKW, { type: take ? 'write' : 'unlock', start: 0, length: 1 }).result,
    ]) {
      const [fd, from, into] = [openSync(at('file'), 'r+'), openSync(source, 'r'), openSync(shown, 'w+')];
      const mapping = new sys.Mapping(fd, page);
      const seen = (): string => {
        mapping.copyTo(into, 6);
        return readFileSync(shown, 'latin1');
      };
      for (const text of ['first.', 'second']) {
        assert.equal(lock(fd, true), none);
        seen();
        assert.equal(lock(fd, false), none);
        await change('file', text);
        assert.equal(lock(fd, true), none);
        assert.equal(seen(), text);
        mapping.copyFrom(from, 6);
        const writes = await count('write');
        assert.equal(lock(fd, false), none);
        assert.equal((await count('write')) - writes, 1, 'written back');
        assert.equal(textOf(fd).slice(0, 6), 'mapped');
      }
      mapping[Symbol.dispose]();
      for (const each of [fd, from, into]) closeSync(each);
    }
  });

  test('what a program changed in mapped memory does not bring back what another host cut off', async () => {
    const [pages, page] = [4, 4096];
    writeFileSync(at('file'), Buffer.alloc(pages * page, '-'));
    writeFileSync(at('source'), 'mapped');
    const [fd, from] = [openSync(at('file'), 'r+'), openSync(at('source'), 'r')];
    const mapping = new sys.Mapping(fd, pages * page);
    for (const [size, text] of [
      [page + 3, 'map'],
      [page, ''],
    ] as const) {
      for (const index of [0, 1, 3]) mapping.copyFrom(from, 6, index * page);
      await mounted.command({ do: 'truncate', path: '/file', size });
      assert.equal(mapping.sync(), 0);
      assert.equal(statSync(at('file')).size, size);
      assert.deepEqual(readFileSync(at('file'), 'latin1').slice(page), text);
      assert.ok(readFileSync(at('file'), 'latin1').startsWith('mapped-'));
      await mounted.command({ do: 'truncate', path: '/file', size: pages * page });
      assert.equal(statSync(at('file')).size, pages * page);
    }
    mapping[Symbol.dispose]();
    for (const each of [fd, from]) closeSync(each);
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

    test('munmap does not say that it was refused: the next close does, and takes it from nobody who syncs', async () => {
      await alone();
      writeFileSync(at('file'), 'before');
      const [fd, other] = [openSync(at('file'), 'r+'), openSync(at('file'), 'r+')];
      {
        using mapping = new sys.Mapping(fd, 4096);
        mapping.copyFrom(source, 6);
        await shared(true);
        await change('file', 'behind');
      }
      assert.equal(sys.close(other), 'EIO');
      for (const said of ['EIO', 0]) assert.equal(sys.fsync(fd), said);
      assert.equal(sys.close(fd), 0);
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
