import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { InfinitError } from '../../../src/base/index.ts';
import { SharedFileSystem } from '../../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { open, root, user } from '../harness.ts';
import { none, Serving } from './serving.ts';

for (const [kind, size] of [
  ['small', 30_000],
  ['large', 100_000],
] as const) {
  test(`what a program reads of a ${kind} file while its host comes to serve the volume is what is there`, async () => {
    const store = new MemoryBlockStore();
    const serving = new Serving(await open(store));
    const content = randomBytes(size);
    const { attributes, handle } = await serving.volume.create(root, 'f', 0o644, 0, 2, user);
    const { inode } = attributes;
    await serving.volume.write(inode, handle, 0, content, false);
    await serving.volume.syncfs();
    const host = new SharedFileSystem('host', () => true, { clock: serving.time.clock });
    serving.welcome(host, 'host', store);
    await serving.keeps(host);
    assert.equal((await host.lookup(root, 'f'))?.size, size);
    const opened = await host.open(inode, 0);
    assert.ok(!serving.calls.includes('open'), 'it was opened from memory');

    const asked = Promise.withResolvers<void>();
    serving.server.serve = async () => {
      asked.resolve();
      throw new InfinitError('unavailable', 'the host died');
    };
    const read = host.read(inode, opened, 0, size);
    await asked.promise;
    await serving.volume.abandon();
    const volume = await open(store);
    // What is in memory lies in several pieces.
    content.set(randomBytes(100), 5000);
    await volume.write(inode, await volume.open(inode, 2), 5000, content.subarray(5000, 5100), false);
    host.setBacking({ kind: 'local', volume, grace: none });
    const parts = await read;
    assert.ok(parts.length > 1);
    assert.deepEqual(Buffer.concat(parts), content);
    assert.deepEqual(Buffer.concat(await host.read(inode, opened, 0, size)), content);
  });
}
