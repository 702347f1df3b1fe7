import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { MappedPages } from '../../src/fuse/mapped-pages.ts';

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
