import assert from 'node:assert/strict';
import { mkdtempSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { mock, test, type TestContext } from 'node:test';

import { createVolumeKey, volumeKey } from '../../src/node/volumes/volume-key.ts';

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-key-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

test('a key is on stable storage, with the directories that lead to it, before the volume is made', async (t) => {
  const directory = directoryOf(t);
  const synced: string[] = [];
  const probe = await open(directory);
  const handles = Object.getPrototypeOf(probe) as FileHandle;
  await probe.close();
  const spy = mock.method(handles, 'sync', async function sync(this: FileHandle) {
    synced.push(path.relative(directory, readlinkSync(`/proc/self/fd/${this.fd}`)));
  });
  t.after(() => spy.mock.restore());
  const keys = path.join(directory, 'state/keys');
  await createVolumeKey(keys, 'ab');
  assert.deepEqual(synced, ['state', '', 'state/keys/ab.key.new', 'state/keys']);
  assert.equal(volumeKey(keys, { name: 'db', id: 'ab' }).length, 32);
  assert.deepEqual([statSync(keys).mode & 0o777, statSync(path.join(keys, 'ab.key')).mode & 0o777], [0o700, 0o600]);
});

test('a host without the key says of which volume, and which file is to be copied', (t) => {
  const directory = directoryOf(t);
  assert.throws(() => volumeKey(directory, { name: 'db', id: 'ab' }), {
    code: 'wrong-key',
    message: `volume "db" is encrypted and its key is not on this host: copy ${directory}/ab.key from a host that has it`,
  });
});

test('a key that cannot be written is no bug, and the message says where', async (t) => {
  const directory = directoryOf(t);
  writeFileSync(path.join(directory, 'keys'), '');
  await assert.rejects(createVolumeKey(path.join(directory, 'keys'), 'ab'), {
    code: 'disk-failed',
    message: /^the volume's key cannot be written to .*\/keys\/ab\.key: /,
  });
});
