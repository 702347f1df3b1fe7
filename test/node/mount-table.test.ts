import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import { type Disk, MemoryDisk } from '../../src/disk/index.ts';
import { MountTable } from '../../src/node/mounts/mount-table.ts';

test('who holds which volume outlives the daemon, and of another volume under the same name nobody is said to hold it', async () => {
  await using disk = new MemoryDisk();
  const table = await MountTable.open(disk);
  await table.add('data', '1'.repeat(32), 'docker:a');
  await table.add('data', '1'.repeat(32), 'docker:b');
  const again = await MountTable.open(disk);
  assert.deepEqual([again.holders('data'), again.idOf('data')], [['docker:a', 'docker:b'], '1'.repeat(32)]);
  await again.add('data', '2'.repeat(32), 'docker:c');
  const last = await MountTable.open(disk);
  assert.deepEqual([last.holders('data'), last.idOf('data')], [['docker:c'], '2'.repeat(32)]);
});

test('what an earlier version wrote has no ids, and counts', async () => {
  await using disk = new MemoryDisk();
  await (await MountTable.open(disk)).add('data', '1'.repeat(32), 'docker:a');
  const { ids: _ids, ...content } = JSON.parse(Buffer.from((await disk.readMeta('mounts'))!).toString('utf8')) as Record<string, unknown>;
  await disk.write([{ type: 'put-meta', key: 'mounts', bytes: Buffer.from(JSON.stringify(content)) }]);
  const table = await MountTable.open(disk);
  assert.equal(table.idOf('data'), undefined);
  await table.add('data', '1'.repeat(32), 'docker:b');
  assert.deepEqual([table.holders('data'), table.idOf('data')], [['docker:a', 'docker:b'], '1'.repeat(32)]);
});

test('a holder that the disk could not note, whose mount failed by that, holds nothing', async () => {
  let fails = true;
  const write = (): Promise<void> => (fails ? Promise.reject(new InfinitError('disk-failed', 'broken')) : Promise.resolve());
  const table = await MountTable.open({ readMeta: () => Promise.resolve(undefined), write } as unknown as Disk);
  await assert.rejects(table.add('data', '1'.repeat(32), 'docker:a'), { code: 'disk-failed' });
  assert.deepEqual([table.volumes(), table.idOf('data')], [[], undefined]);
  fails = false;
  await table.add('data', '1'.repeat(32), 'docker:a');
  fails = true;
  // Given back it is given back: the engine does not say so twice.
  await assert.rejects(table.delete('data', 'docker:a'), { code: 'disk-failed' });
  assert.deepEqual(table.holders('data'), []);
});

test('a holder that is given back while the disk takes nothing is off the disk once it does: by saying so again, or with the next change', async () => {
  for (const next of ['again', 'another']) {
    await using disk = new MemoryDisk();
    let fails = false;
    const write: Disk['write'] = (...entries) => (fails ? Promise.reject(new InfinitError('disk-full', 'full')) : disk.write(...entries));
    const table = await MountTable.open({ readMeta: (key: string) => disk.readMeta(key), write } as unknown as Disk);
    await table.add('data', '1'.repeat(32), 'docker:a');
    fails = true;
    await assert.rejects(table.delete('data', 'docker:a'), { code: 'disk-full' });
    await assert.rejects(table.delete('data', 'docker:a'), { code: 'disk-full' }, 'said again it is not done either');
    fails = false;
    await (next === 'again' ? table.delete('data', 'docker:a') : table.add('other', '2'.repeat(32), 'docker:b'));
    assert.deepEqual((await MountTable.open(disk)).holders('data'), [], next);
  }
});
