import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { MappedPages } from '../../src/fuse/mapped-pages.ts';
import { opcodes } from '../../src/fuse/wire/index.ts';
import { created, start as startSession } from './fake-session.ts';

/** More than are remembered. */
const tooMany = 70_000;

suite('pages of mapped files', () => {
  const start = (adopted: boolean): { pages: MappedPages; dropped: number[] } => {
    const dropped: number[] = [];
    const drop = (inode: number): Promise<void> => {
      dropped.push(inode);
      return Promise.resolve();
    };
    return { pages: new MappedPages(drop, adopted), dropped };
  };

  test('are dropped where the kernel was given any since the last time, and where it was not nobody waits', async () => {
    const { pages, dropped } = start(false);
    assert.equal(pages.drop(1), undefined);
    pages.given(1);
    await pages.drop(1);
    assert.equal(pages.drop(1), undefined);
    pages.given(1);
    await pages.drop(1);
    assert.deepEqual(dropped, [1, 1]);
  });

  test('that an earlier daemon of the mount may have given are dropped once', async () => {
    const { pages, dropped } = start(true);
    await pages.drop(1);
    assert.equal(pages.drop(1), undefined);
    pages.given(1);
    await pages.drop(1);
    await pages.drop(2);
    assert.deepEqual(dropped, [1, 1, 2]);
  });

  test('of more files than are remembered are dropped all the same', async () => {
    const { pages, dropped } = start(false);
    for (let inode = 1; inode <= tooMany; inode++) pages.given(inode);
    for (const inode of [1, tooMany]) {
      await pages.drop(inode);
      assert.equal(pages.drop(inode), undefined);
    }
    assert.deepEqual(dropped, [1, tooMany]);
  });
});

suite('a lock of a mapped file', () => {
  /** struct fuse_lk_in: a record lock on all of the file. */
  const lockOf = (type: number): Buffer => {
    const body = Buffer.alloc(48);
    body.writeBigUInt64LE(0x7fff_ffff_ffff_ffffn, 24);
    body.writeUInt32LE(type, 32);
    return body;
  };
  const [exclusive, unlock] = [1, 2];
  /** As flock(2) and fcntl(2) say it, with and without the word that they will not wait: the kernel may ask for an unlock either way. */
  for (const opcode of [opcodes.setlk, opcodes.setlkw])
    test(`is taken before the kernel drops the file's pages, and given back after that (${opcode === opcodes.setlk ? 'at once' : 'waiting'})`, async () => {
      const { kernel, session, fileSystem } = startSession({ options: { leased: true } });
      const asked: string[] = [];
      fileSystem.setlk = (_inode, { type }) => void asked.push(type);
      kernel.request(opcodes.create, 1, created(2, 'file'));
      for (const [type, name] of [
        [exclusive, 'write'],
        [unlock, 'unlock'],
      ] as const) {
        // A page, since nobody is named who may have locks.
        const read = Buffer.alloc(40);
        read.writeUInt32LE(4096, 16);
        kernel.request(opcodes.read, 2, read);
        asked.length = 0;
        const unique = kernel.request(opcode, 2, lockOf(type));
        assert.deepEqual(asked, type === unlock ? [] : [name]);
        assert.equal(kernel.answerTo(unique), undefined, 'not before the kernel has dropped the pages');
        await setImmediate();
        assert.deepEqual([asked, kernel.answerTo(unique)?.errno], [[name], 0]);
        // There are none now.
        assert.equal(kernel.answerTo(kernel.request(opcode, 2, lockOf(type)))?.errno, 0);
      }
      session.stop();
    });
});
