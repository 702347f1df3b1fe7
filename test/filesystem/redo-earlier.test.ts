/** What daemons of earlier versions left in memory when they were killed is read by this one. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';

import type { Address } from '../../src/block/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { contentOf, errnoOf, look, namesOf, open, root } from './harness.ts';
import { Memory } from './redo-host.ts';

/** As a daemon of b0edc5e, the last to write format 1, left it: in a ring of 32 KiB, whose fifth turn it had begun. */
const recorded = JSON.parse(readFileSync(path.join(import.meta.dirname, 'redo-format-1.json'), 'utf8')) as {
  readonly memory: string;
  readonly blocks: readonly (readonly [address: Address, payload: string])[];
};
const recordedSession = 7;

test('a log of format 1 is made again, and goes on', async () => {
  const store = new MemoryBlockStore();
  const update = recorded.blocks.map(([address, payload]) => ({ address, expect: 'absent' as const, payload: Buffer.from(payload, 'base64') }));
  assert.ok((await store.commit([{ update }])).done);
  let memory = new Memory(gunzipSync(Buffer.from(recorded.memory, 'base64')));
  for (let later = 1; later <= 3; later++) {
    const volume = await open(store, {}, { session: recordedSession + later, memory, inherits: true, resumed: true });
    assert.ok(volume.survived);
    assert.deepEqual((await namesOf(volume, root)).sort(), ['fill', 'new', 'renamed']);
    const [fill, fresh, renamed] = await Promise.all(['fill', 'new', 'renamed'].map((name) => look(volume, root, name)));
    const contents = await Promise.all([fill, fresh, renamed].map(async (inode) => (await contentOf(volume, inode!)).toString()));
    const written = `unsynced${later === 1 ? '' : later - 1}`;
    assert.deepEqual(contents, [written + 'E'.repeat(3000 - written.length), 'made and not synced', 'kept but not this']);
    assert.equal(Buffer.from(await volume.getxattr(fresh!, 'user.a')).toString(), 'value');
    assert.equal(await errnoOf(() => volume.fsync(fresh!, 0, false)), 'none');
    // More than the memory holds goes through it.
    for (let turn = 0; turn < 8; turn++) {
      for (let count = 0; count < 2; count++) await volume.write(fresh!, 0, 4096, Buffer.alloc(3000, turn), false);
      await volume.setattr(fresh!, { size: 'made and not synced'.length });
      await volume.syncfs();
    }
    await volume.write(fill!, 0, 8, Buffer.from(String(later)), false);
    memory = memory.copy();
    store.restart();
  }
});
