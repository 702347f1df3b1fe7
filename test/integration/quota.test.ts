import assert from 'node:assert/strict';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { ClusterProcesses } from './cluster-processes.ts';
import { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

const mebibyte = 1024 * 1024;

test('on a host alone no more than the size is ever kept, and sync says so, whatever the kernel took in before', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-quota-'));
  await chmod(directory, 0o711);
  await using daemon = await DaemonProcess.start(directory);
  const place = await daemon.mount('data', { size: '16M' });
  await assert.rejects(sh('dd if=/dev/urandom of=f bs=1M count=40 conv=fsync', { cwd: place }), /No space left/);
  await assert.rejects(sh('head -c 40000000 /dev/urandom > g; sync g', { cwd: place }), /No space left/);
  const { usedBytes } = await daemon.client.volumeUsage('data');
  assert.ok(usedBytes <= 16 * mebibyte && usedBytes > 8 * mebibyte, `${usedBytes} bytes`);
  // The rest, in the smallest writes there are.
  await sh(
    'for i in $(seq 600); do head -c 60000 /dev/zero > z$i && sync z$i || break; done 2>/dev/null; for i in $(seq 40); do head -c 4096 /dev/zero > y$i && sync y$i || break; done 2>/dev/null; true',
    {
      cwd: place,
    },
  );
  await assert.rejects(sh('echo important > h', { cwd: place }), /No space left/);
  await sh('rm f; echo important > h; sync h', { cwd: place });
  assert.equal(await sh('cat h', { cwd: place }), 'important\n');
});

test('in a cluster the write itself is refused at the size', async () => {
  await using cluster = await ClusterProcesses.start(2);
  const [first] = cluster.hosts;
  const place = await first!.mount('data', { size: '16M' });
  await assert.rejects(sh('dd if=/dev/urandom of=f bs=1M count=40', { cwd: place }), /No space left/);
  await sh('sync f', { cwd: place });
  const { usedBytes } = await first!.client.volumeUsage('data');
  assert.ok(usedBytes <= 16 * mebibyte && usedBytes > 14 * mebibyte, `${usedBytes} bytes`);
});
