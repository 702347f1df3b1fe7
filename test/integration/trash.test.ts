import assert from 'node:assert/strict';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { ClusterProcesses } from './cluster-processes.ts';
import { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

const deadlineMs = 60_000;

async function startDaemon(flags: readonly string[] = []): Promise<DaemonProcess> {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-trash-'));
  await chmod(directory, 0o711);
  return DaemonProcess.start(directory, flags);
}

async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + deadlineMs; !(await holds());) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function removeMounted(daemon: DaemonProcess, name: string): Promise<void> {
  await daemon.client.unmountVolume(name, 'test');
  await daemon.client.removeVolume(name);
}

const trashed = async (daemon: DaemonProcess): Promise<string[]> => (await daemon.client.listTrash()).map(({ name }) => name);

test('a removed volume comes back with all that was on it, under its name or another', async () => {
  await using daemon = await startDaemon();
  await sh('mkdir d; echo kept > d/f; sync d/f', { cwd: await daemon.mount('data', { encryption: 'true' }) });
  await removeMounted(daemon, 'data');
  assert.deepEqual([await daemon.client.listVolumes(), await trashed(daemon)], [[], ['data']]);
  await sh('echo new > f', { cwd: await daemon.mount('data') });
  await assert.rejects(daemon.client.restoreVolume('data'), { code: 'already-exists', message: /--as/ });
  assert.equal((await daemon.client.restoreVolume('data', 'old')).name, 'old');
  assert.deepEqual(await trashed(daemon), []);
  assert.equal(await sh('cat d/f', { cwd: await daemon.mount('old', { encryption: 'true' }) }), 'kept\n');
  await assert.rejects(daemon.client.restoreVolume('data'), { code: 'not-found' });
});

test('what is deleted gives its space back, on the disk and in df', async () => {
  await using daemon = await startDaemon(['--capacity', '512M']);
  const other = await daemon.mount('other');
  const freeMiB = async (): Promise<number> => Number((await sh(`df --output=avail -m ${other} | tail -1`)).trim());
  const place = await daemon.mount('data', { 'on-remove': 'delete' });
  await sh('head -c 200000000 /dev/urandom > big; mkdir d; for i in $(seq 300); do echo $i > d/$i; done; sync big', { cwd: place });
  await eventually('df of the other volume shows less', async () => (await freeMiB()) < 320);
  assert.deepEqual((await daemon.client.volumeUsage('data')).inodes, 303);
  await removeMounted(daemon, 'data');
  await eventually('the data is gone', async () => (await trashed(daemon)).length === 0);
  await eventually('the disk has given the space back', async () => (await daemon.client.status()).disk.usedBytes < 60_000_000);
  await eventually('df shows it', async () => (await freeMiB()) > 400);
});

test('emptying deletes what is kept for some days, spares what was to be retained, and survives kill -9', async () => {
  await using daemon = await startDaemon();
  for (const [name, options] of [
    ['kept', {}],
    ['retained', { 'on-remove': 'retain' }],
  ] as const) {
    await sh('for i in $(seq 2000); do echo $i > $i; done; sync 1', { cwd: await daemon.mount(name, options) });
    await removeMounted(daemon, name);
  }
  assert.deepEqual(
    (await daemon.client.emptyTrash()).map(({ name, state }) => [name, state]),
    [['kept', 'deleting']],
  );
  await assert.rejects(daemon.client.restoreVolume('kept'), { code: 'not-found' });
  await new Promise((resolve) => setTimeout(resolve, 100));
  await daemon.kill();
  await daemon.restart();
  await eventually('only the retained one is left', async () => (await trashed(daemon)).join() === 'retained');
  await daemon.client.emptyTrash('retained');
  await eventually('nothing is left', async () => (await trashed(daemon)).length === 0);
  // What stays are the catalogue and its notes, and tombstones.
  assert.ok((await daemon.client.status()).disk.liveBytes < 2_000_000);
});

test('size can change while the volume is mounted: df shows it, and writes go on or are refused', async () => {
  await using daemon = await startDaemon();
  const place = await daemon.mount('data', { size: '2M' });
  await assert.rejects(sh('head -c 4000000 /dev/urandom > f', { cwd: place }), /No space left/);
  await daemon.client.updateVolume('data', { size: '16M' });
  await sh('rm f; head -c 4000000 /dev/urandom > f; sync f', { cwd: place });
  assert.equal((await sh(`df --output=size -k ${place} | tail -1`)).trim(), String(16 * 1024));
  await assert.rejects(daemon.client.updateVolume('data', { size: '3M' }), { code: 'bad-argument', message: /holds 4\d{6} bytes: .* 3145728 bytes/ });
  await daemon.client.updateVolume('data', { size: '4M' });
  await assert.rejects(sh('echo more > g; head -c 300000 /dev/urandom >> g; sync g', { cwd: place }), /No space left/);
  assert.equal((await sh('wc -c < f', { cwd: place })).trim(), '4000000');
  await assert.rejects(daemon.client.updateVolume('data', { access: 'readonly' }), { code: 'in-use' });
  await assert.rejects(daemon.client.updateVolume('data', { compression: 'zstd' }), { code: 'bad-argument', message: /fixed when/ });
  await daemon.client.unmountVolume('data', 'test');
  await daemon.client.updateVolume('data', { access: 'readonly', sticky: 'true' });
  await assert.rejects(daemon.client.removeVolume('data'), { code: 'in-use', message: /sticky=false/ });
  await assert.rejects(sh('touch h', { cwd: await daemon.client.mountVolume('data', 'test') }), /Read-only/);
  await daemon.client.updateVolume('data', { size: '16M' });
  const usage = await daemon.client.volumeUsage('data');
  await daemon.client.unmountVolume('data', 'test');
  // Not mounted, it is read from the volume itself.
  const { usedBytes, ...rest } = await daemon.client.volumeUsage('data');
  assert.deepEqual({ ...rest, usedBytes: Math.ceil(usedBytes / 4096) * 4096 }, usage);
});

test('in a cluster any host lists, restores and empties, and a change of size reaches the host that serves the volume', async () => {
  await using cluster = await ClusterProcesses.start(2);
  const [first, second] = cluster.hosts;
  const place = await first!.mount('data', { size: '2M' });
  await second!.client.updateVolume('data', { size: '64M' });
  await eventually('df shows the new size', async () => (await sh(`df --output=size -m ${place} | tail -1`)).trim() === '64');
  await sh('head -c 4000000 /dev/urandom > f; sync f', { cwd: place });
  await first!.client.unmountVolume('data', 'test');
  await second!.client.removeVolume('data');
  assert.deepEqual(await trashed(first!), ['data']);
  await first!.client.restoreVolume('data');
  assert.equal((await sh('wc -c < f', { cwd: await second!.client.mountVolume('data', 'test') })).trim(), '4000000');
  await removeMounted(second!, 'data');
  await assert.rejects(first!.client.mountVolume('data', 'test'), { code: 'not-found' });
  const before = (await second!.client.status()).disk.liveBytes;
  assert.equal((await first!.client.emptyTrash()).length, 1);
  await eventually('the data is gone', async () => (await trashed(second!)).length === 0);
  await eventually('on all hosts', async () => before - (await second!.client.status()).disk.liveBytes > 3_900_000);
});

test('a full disk says so, keeps what is there readable, and works on once something was removed', async () => {
  await using daemon = await startDaemon(['--capacity', '128M']);
  const [place, other] = [await daemon.mount('data'), await daemon.mount('other')];
  await sh('head -c 20000000 /dev/urandom > kept; sync kept; sha256sum kept > sum; sync sum', { cwd: place });
  await assert.rejects(sh('head -c 200000000 /dev/urandom > big; sync big', { cwd: place }), /No space left/);
  await eventually('df says so, on every volume', async () => (await sh(`df --output=avail -m ${other} | tail -1`)).trim() === '0');
  await assert.rejects(sh('head -c 2000000 /dev/urandom > f; sync f', { cwd: other }), /No space left/);
  assert.match(await sh('sha256sum -c sum', { cwd: place }), /OK/);
  assert.equal((await daemon.client.status()).health.state, 'READ-ONLY');
  await sh('rm -f big', { cwd: place });
  await eventually('there is room again', () =>
    sh('rm -f f; head -c 5000000 /dev/urandom > f; sync f', { cwd: other }).then(
      () => true,
      () => false,
    ),
  );
  assert.match(await sh('sha256sum -c sum', { cwd: place }), /OK/);
});
