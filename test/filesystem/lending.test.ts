import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Sealer } from '../../src/block/index.ts';
import type { Written, WrittenPiece } from '../../src/filesystem/inodes/written.ts';
import { versionOf } from '../../src/filesystem/inodes/written.ts';
import { contentOf, errnoOf, put, root, volumeId } from './harness.ts';
import { Host } from './redo-host.ts';

const kibibyte = 1024;

/** A block as a guest puts it, and where the file is to have it. */
async function block(host: Host, inode: number, sequence: number, letter: string, offset: number): Promise<WrittenPiece> {
  const owner = { volume: Buffer.from(volumeId, 'hex'), inode, epoch: 0, session: 1, sequence };
  const { address, sealed } = new Sealer().seal(owner, Buffer.alloc(600 * kibibyte, letter));
  await host.store.commit([{ put: [{ address, sealed }] }]);
  return { offset, length: 600 * kibibyte, address, at: 0, blockBytes: 600 * kibibyte };
}

async function lend(host: Host, inode: number): Promise<(...pieces: readonly WrittenPiece[]) => Written> {
  const { image, session } = (await host.volume.lending.lend(inode, () => {}))!;
  let version = versionOf(image.attributes);
  return (...pieces) => {
    const expect = version;
    version = { ...expect, changed: { seconds: expect.changed.seconds + 1, nanoseconds: 7 }, size: 600 * kibibyte };
    return { expect, version, session, pieces, changes: {} };
  };
}

test('what a guest put into the store and said is there after the death of the process, durable or not, and said again changes nothing', async () => {
  for (const isDurable of [false, true]) {
    const host = await Host.start();
    const inode = await put(host.volume, root, 'f', 'first', true);
    const written = await lend(host, inode);
    const said = written(await block(host, inode, 1, 'a', 0));
    await host.volume.lending.apply(inode, said, () => true);
    if (isDurable) await host.volume.lending.persist(inode);
    await host.volume.write(inode, 0, 10, Buffer.from('over'), false);
    const expected = Buffer.alloc(600 * kibibyte, 'a');
    expected.set(Buffer.from('over'), 10);
    const { memory } = host.volume.calls;
    for (let death = 0; death < 2; death++) {
      await host.die();
      assert.ok(host.volume.survived);
      assert.equal(host.volume.calls.memory, memory, 'which calls were done is known still');
      assert.ok((await contentOf(host.volume, inode)).equals(expected), `${isDurable} ${death}`);
    }
    assert.equal(await errnoOf(async () => host.volume.lending.apply(inode, said)), 'EIO', 'somebody has changed the file since');
    await host.volume.syncfs();
    assert.ok((await contentOf(host.volume, inode)).equals(expected));
    // Its block may go by now: the store has what came of it.
    await host.volume.setattr(inode, { size: 0 });
    await host.volume.syncfs();
    await host.die();
    assert.equal((await contentOf(host.volume, inode)).length, 0);
  }
});

test('what is said twice is taken once, also where another piece of the file was written meanwhile by the same host', async () => {
  const host = await Host.start();
  const inode = await put(host.volume, root, 'f', '', true);
  const written = await lend(host, inode);
  const said = written(await block(host, inode, 1, 'a', 0));
  await host.volume.lending.apply(inode, said, () => true);
  await host.volume.lending.persist(inode);
  await host.volume.lending.apply(inode, said);
  await host.volume.lending.persist(inode);
  await host.volume.recall();
  assert.ok((await contentOf(host.volume, inode)).equals(Buffer.alloc(600 * kibibyte, 'a')));
  await host.volume.lending.apply(inode, written({ offset: 0, bytes: Buffer.from('b') }));
  assert.equal(await errnoOf(async () => host.volume.lending.apply(inode, said)), 'EIO');
  assert.equal((await contentOf(host.volume, inode))[0], 'b'.charCodeAt(0));
});
