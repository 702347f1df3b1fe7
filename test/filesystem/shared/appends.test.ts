import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import type { Attributes } from '../../../src/filesystem/index.ts';
import type { Written } from '../../../src/filesystem/inodes/written.ts';
import { bytes, contentOf, open, put, root } from '../harness.ts';
import { Serving } from './serving.ts';

const openAppend = 0o2001;

test('hosts that append to one file through files open for long lose nothing', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'log', '');
  const writers = [serving.own, serving.guest('a'), serving.guest('b')];
  const handles = await Promise.all(writers.map(async (writer) => writer.open(inode, openAppend)));
  // Each kernel believes that the file ends where it last wrote.
  await Promise.all(
    writers.map(async (writer, index) => {
      for (let line = 0; line < 10; line++) await writer.write(inode, handles[index]!, line * 2, bytes(`${index}\n`), false, true);
    }),
  );
  const lines = (await contentOf(serving.volume, inode)).toString().split('\n').filter(Boolean);
  assert.deepEqual(
    [0, 1, 2].map((index) => lines.filter((line) => line === String(index)).length),
    [10, 10, 10],
  );
});

test('what a file that is open for appending writes to a place of its own lands there', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', '0123456789');
  for (const host of [serving.own, serving.guest('a')]) {
    const handle = await host.open(inode, openAppend);
    // A page of mapped memory, or pwrite after O_APPEND was cleared.
    await host.write(inode, handle, 2, bytes('XY'), false);
    assert.equal((await contentOf(serving.volume, inode)).toString(), '01XY456789');
  }
});

test('what is appended comes behind what another host says meanwhile that it wrote', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const { volume } = serving;
  const inode = await put(volume, root, 'log', 'first\n', true);
  const written = behind(await volume.getattr(inode), 'second\n');
  const saying = async (): Promise<void> => {
    // Nobody waits for it any more, as for a host whose daemon is being started again.
    volume.guard(free);
    await volume.lending.put(inode, '', written, false);
  };
  for (const writer of [serving.own, serving.guest('a')]) {
    const handle = await writer.open(inode, openAppend);
    volume.guard(writer === serving.own ? { ...free, inode: saying } : free);
    await writer.write(inode, handle, 0, bytes('third\n'), false, true);
  }
  assert.equal((await contentOf(volume, inode)).toString(), 'first\nsecond\nthird\nthird\n');
});

const free = { inode: () => undefined, names: () => undefined, shown: () => undefined, isLent: () => false, locks: () => undefined };

/** What a host says that wrote this behind a file which is as it says. */
function behind(attributes: Attributes, text: string): Written {
  const { changed, modified, size } = attributes;
  const now = { seconds: changed.seconds + 1, nanoseconds: 0 };
  const pieces = [{ offset: size, bytes: bytes(text) }];
  return { expect: { changed, modified, size }, version: { changed: now, modified: now, size: size + text.length }, session: 0, pieces, changes: {} };
}
