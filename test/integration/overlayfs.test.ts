/** Layers of containers on a volume: overlayfs asks more of a file system that it is to write to than programs do. */
import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

test('overlayfs has its layers on a volume, both those that it reads and the one that it writes, and goes on when the daemon is killed', async () => {
  await using daemon = await DaemonProcess.start(await mkdtemp(path.join(tmpdir(), 'infinit-overlay-')));
  const place = await daemon.mount('data');
  const merged = path.join(daemon.directory, 'merged');
  await sh(`mkdir lower upper work ${merged}; echo low > lower/kept; echo low > lower/moved; mkdir lower/gone; echo low > lower/gone/file`, {
    cwd: place,
  });
  const mount = `mount -t overlay overlay -o lowerdir=${place}/lower,upperdir=${place}/upper,workdir=${place}/work ${merged}`;
  await sh(mount);
  try {
    await sh('echo more >> moved; mv moved moved-on; rm -r gone; mkdir gone; echo new > gone/new; mkdir a; mv a b; ln kept linked', { cwd: merged });
    await daemon.crash();
    const seen = 'find . -type f | sort | xargs grep -H .; ls';
    const expected = ['./gone/new:new', './kept:low', './linked:low', './moved-on:low', './moved-on:more', 'b', 'gone', 'kept', 'linked', 'moved-on'];
    assert.deepEqual((await sh(seen, { cwd: merged })).trim().split('\n'), expected);
    await sh(`umount ${merged}; ${mount}`);
    assert.deepEqual((await sh(seen, { cwd: merged })).trim().split('\n'), expected);
  } finally {
    await sh(`umount ${merged}`);
  }
  assert.equal((await sh('stat -c "%F %t:%T" upper/moved', { cwd: place })).trim(), 'character special file 0:0');
  assert.deepEqual((await daemon.client.checkVolume('data')).problems, []);
});
