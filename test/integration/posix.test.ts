import assert from 'node:assert/strict';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { suiteFailures } from '../suites/posix/suite-failures.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import { DaemonProcess } from './daemon-process.ts';

test('a volume of a daemon by itself passes the POSIX suite', { timeout: 300_000 }, async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-posix-'));
  // Programs of other users come by on their way to the mount.
  await chmod(directory, 0o711);
  await using daemon = await DaemonProcess.start(directory);
  assert.deepEqual(await suiteFailures(await daemon.mount('data')), [], daemon.log);
});

test('a volume of a cluster passes the POSIX suite on the host that serves it', { timeout: 300_000 }, async () => {
  await using cluster = await ClusterProcesses.start(1);
  const [host] = cluster.hosts;
  assert.deepEqual(await suiteFailures(await host!.mount('data')), [], host!.log);
});
