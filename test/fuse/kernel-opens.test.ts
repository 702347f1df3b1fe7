import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import * as sys from '../suites/posix/syscalls.ts';
import { Mounted } from './mounted.ts';

describe('a mount whose files the kernel opens by itself', () => {
  let mounted: Mounted;
  const at = (...names: string[]): string => mounted.path(...names);
  const count = async (name: string): Promise<number> => (await mounted.statistics()).operations[name] ?? 0;
  before(async () => {
    mounted = await Mounted.start();
  });
  after(async () => {
    const { handles, failures } = await mounted.statistics();
    await mounted[Symbol.asyncDispose]();
    assert.equal(handles, 0, 'no handle was left open');
    assert.equal(failures, 0, mounted.log);
  });

  test('neither opens nor closes are served, and a file that is cached is read without a request', async () => {
    writeFileSync(at('cached'), 'content');
    const reads = await count('read');
    for (let i = 0; i < 5; i++) assert.equal(readFileSync(at('cached'), 'utf8'), 'content');
    assert.equal(await count('read'), reads);
    mkdirSync(at('directory'));
    writeFileSync(at('directory', 'entry'), '');
    assert.deepEqual(readdirSync(at('directory')), ['entry']);
    for (const name of ['open', 'create', 'flush', 'release', 'opendir', 'releasedir']) assert.equal(await count(name), 0, name);
  });

  test('O_EXCL, O_TRUNC and O_APPEND mean what they say', () => {
    writeFileSync(at('modes'), 'long content');
    assert.equal(sys.open(at('modes'), sys.O.WRONLY | sys.O.CREAT | sys.O.EXCL), 'EEXIST');
    writeFileSync(at('modes'), 'short');
    assert.equal(readFileSync(at('modes'), 'utf8'), 'short');
    writeFileSync(at('modes'), 'er', { flag: 'a' });
    assert.equal(readFileSync(at('modes'), 'utf8'), 'shorter');
  });

  test('a file without a name lives for as long as it is open, and no longer', async () => {
    const { inodes } = await mounted.statistics();
    const fd = openSync(at('unlinked'), 'w+');
    writeSync(fd, 'still here');
    unlinkSync(at('unlinked'));
    ftruncateSync(fd, 5);
    const buffer = Buffer.alloc(20);
    assert.equal(buffer.toString('latin1', 0, readSync(fd, buffer, 0, 20, 0)), 'still');
    const unnamed = sys.must(sys.open(mounted.directory, sys.O.TMPFILE | sys.O.RDWR, 0o600));
    sys.must(sys.write(unnamed, 'nameless'));
    closeSync(fd);
    sys.must(sys.close(unnamed));
    while ((await mounted.statistics()).inodes > inodes) await setTimeout(5);
  });

  test('the blocks of a file are counted while it is being written', async () => {
    const fd = openSync(at('growing'), 'w');
    assert.equal(sys.stat(at('growing')).blocks, 0);
    writeSync(fd, Buffer.alloc(1_000_000, 1));
    sys.must(sys.fsync(fd));
    while (sys.stat(at('growing')).blocks * 512 < 1_000_000) await setTimeout(50);
    closeSync(fd);
    assert.ok(sys.stat(at('growing')).blocks * 512 >= 1_000_000);
  });
});
