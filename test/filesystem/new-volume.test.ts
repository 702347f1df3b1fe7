/** A volume that is new, or that a crash left half made, is never taken for one that lost something. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { type Address, namedAddress, Sealer } from '../../src/block/index.ts';
import { checkVolume, openWithoutLost, type Volume, type VolumeSetup } from '../../src/filesystem/index.ts';
import { claimSession } from '../../src/node/volumes/volume-session.ts';
import type { StoredBlock } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { inodesIn, namesOf, open, put, root, TestClock, user, volumeId } from './harness.ts';
import { UnreadableStore } from './unreadable-store.ts';

const named = (name: string): Address => namedAddress(volumeId, name);

function setup(store: MemoryBlockStore, session: number): VolumeSetup {
  return { store: store.way(), sealer: new Sealer(), volumeId, session, clock: new TestClock(), logger: silentLogger };
}

async function mounted(store: MemoryBlockStore): Promise<Volume> {
  return open(store, {}, { session: await claimSession(store, volumeId) });
}

/** What a first mount does; ends early where the store crashes. */
const firsts: Readonly<Record<string, (volume: Volume) => Promise<unknown>>> = {
  nothing: () => Promise.resolve(),
  'a file without a name': async (volume) => {
    const { attributes } = await volume.tmpfile(root, 0o644, 0, 1, user);
    await volume.fsync(attributes.inode, 0, false);
    await volume.recall();
  },
  'a file that is removed while it is open': async (volume) => {
    const { attributes, handle } = await volume.create(root, 'file', 0o644, 0, 1, user);
    await volume.write(attributes.inode, handle, 0, Buffer.from('text'), false);
    await volume.fsync(attributes.inode, handle, false);
    await volume.unlink(root, 'file');
    await volume.syncfs();
    await volume.release(attributes.inode, handle);
    volume.forget(attributes.inode, 1);
    await volume.recall();
  },
  'a file and a directory': async (volume) => {
    await put(volume, root, 'file', 'text', true);
    await volume.mkdir(root, 'directory', 0o755, 0, user);
    await volume.close();
  },
};

for (const [what, first] of Object.entries(firsts))
  test(`a first mount that makes ${what} may crash at any of its writes: the next one opens the volume, and nothing on it is missed`, async () => {
    for (let writes = 0; ; writes++) {
      const store = new MemoryBlockStore();
      store.crashAfter(writes);
      await mounted(store)
        .then(first)
        .catch((error: unknown) => {
          if (!store.crashed) throw error;
        });
      const { crashed } = store;
      store.restart();
      const dry = await checkVolume(setup(store, 0)).catch((error: { code: string }) => error.code);
      if (typeof dry === 'string') assert.equal(dry, 'not-found', `${writes} writes`);
      else
        assert.deepEqual(
          dry.problems.filter(({ kind }) => kind === 'lost-block'),
          [],
          `${writes} writes`,
        );
      // One that was only half made is not opened by a repair, which makes none.
      if (typeof dry !== 'string' && writes % 2 === 0) {
        const { gathered, problems } = await openWithoutLost(setup(store, await claimSession(store, volumeId)), inodesIn(store));
        assert.deepEqual([gathered, problems], [0, []], `${writes} writes`);
      }
      const volume = await mounted(store);
      // A number of more than 32 bits is one that 32-bit programs cannot be told.
      assert.ok((await put(volume, root, 'anew', 'text', true)) < 2 ** 32, `${writes} writes`);
      assert.ok(!(await namesOf(volume, root)).includes('lost+found'));
      assert.deepEqual((await volume.check()).problems, [], `${writes} writes`);
      await volume.close();
      if (!crashed) break;
    }
  });

/** The answer to the first question for the volume's own block comes after others have made it. */
class LateStore extends MemoryBlockStore {
  meanwhile: (() => Promise<unknown>) | undefined;

  override async fetch(address: Address): Promise<StoredBlock | undefined> {
    const block = await super.fetch(address);
    const { meanwhile } = this;
    if (address !== named('volume') || meanwhile === undefined) return block;
    this.meanwhile = undefined;
    await meanwhile();
    return block;
  }
}

test('a volume that another host makes while one looks whether there is one is not taken for one that lost its own block', async () => {
  for (const how of ['check', 'mount'] as const) {
    const store = new LateStore();
    const [late, session] = [await claimSession(store, volumeId), await claimSession(store, volumeId)];
    // Whoever mounts comes after the one before, whose writes are late.
    const makes = how === 'check' ? session : late;
    store.meanwhile = async () => {
      const volume = await open(store, {}, { session: makes });
      await put(volume, root, 'file', 'text', true);
      await volume.close();
    };
    if (how === 'check') {
      assert.deepEqual((await checkVolume(setup(store, 0))).problems, []);
      continue;
    }
    const volume = await open(store, {}, { session });
    assert.deepEqual(await namesOf(volume, root), ['file']);
    await volume.close();
  }
});

test('a block that is out of reach is not taken for one that is lost, nor for one that never was', async () => {
  for (const used of [false, true])
    for (const name of ['volume', 'inode:1', 'inodes', 'orphans', 'directory:1', 'journal:1', 'journal:2', 'content:0']) {
      const store = new UnreadableStore();
      if (used) {
        const volume = await mounted(store);
        await put(volume, root, 'file', 'text', true);
        await volume.close();
      }
      const session = await claimSession(store, volumeId);
      store.lacks = (address) => (address === named(name) ? 'unavailable' : undefined);
      const opened = await open(store, {}, { session }).catch((error: { code: string }) => error.code);
      if (typeof opened === 'string') assert.equal(opened, 'unavailable', name);
      else {
        if (used && name !== 'directory:1') assert.deepEqual(await namesOf(opened, root), ['file'], name);
        await opened.abandon();
      }
      store.restart();
      store.lacks = () => undefined;
      const volume = await mounted(store);
      assert.deepEqual(await namesOf(volume, root), used ? ['file'] : [], name);
      assert.deepEqual((await volume.check()).problems, [], name);
      await volume.close();
    }
});

test('a new volume that is mounted for reading alone is opened as an empty one, and is the same for whoever writes to it later', async () => {
  const store = new MemoryBlockStore();
  for (let round = 0; round < 2; round++) {
    const reader = await open(store, { readOnly: true }, { session: await claimSession(store, volumeId) });
    assert.deepEqual(await namesOf(reader, root), []);
    await reader.close();
  }
  const volume = await mounted(store);
  assert.ok((await put(volume, root, 'file', 'text', true)) < 2 ** 32);
  assert.deepEqual((await volume.check()).problems, []);
  await volume.close();
});
