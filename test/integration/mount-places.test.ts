/** Where a daemon mounts volumes: a path that leads there by a symbolic link is as good as any, a link in the place of a volume's own directory is not. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, rmdir, symlink } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

test('volumes are mounted below a symbolic link, and never on one', { timeout: 120_000 }, async (t) => {
  const above = await mkdtemp(path.join(tmpdir(), 'infinit-places-'));
  t.after(() => rm(above, { recursive: true, force: true }));
  const really = path.join(above, 'daemon', 'really');
  await mkdir(really, { recursive: true });
  await symlink('daemon', path.join(above, 'way'));
  await using daemon = await DaemonProcess.start(path.join(above, 'daemon'), ['--mount-dir', path.join(above, 'way', 'really')]);
  const place = await daemon.mount('data');
  assert.equal(place, path.join(really, 'data'));
  await sh(`echo hello > ${place}/f`);
  await daemon.crash();
  assert.equal((await sh(`cat ${place}/f`)).trim(), 'hello');
  await daemon.client.unmountVolume('data', 'test');
  const elsewhere = path.join(above, 'daemon', 'elsewhere');
  await mkdir(elsewhere);
  await symlink(elsewhere, place);
  await assert.rejects(daemon.mount('data'), { code: 'denied', message: /is a symbolic link, on which no volume is mounted/ });
  assert.ok(!readFileSync('/proc/self/mounts', 'utf8').includes(elsewhere));
  await rm(place);
  await daemon.mount('data');
  await daemon.client.unmountVolume('data', 'test');
  await rmdir(place).catch(() => {});
});
