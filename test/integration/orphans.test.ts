import assert from 'node:assert/strict';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import type { VolumeCheck } from '../../src/api/index.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

/** Writes without end; what it writes is lost when the host is. */
function writeOn(place: string): Promise<string> {
  return sh(`cd ${place}; i=0; while :; do i=$((i+1)); head -c 30000000 /dev/urandom > big$((i%2)) || exit 0; done`, { timeoutMs: 60_000 });
}

/** A kill may fall between the commit of all that is in the store and the next block: then there is another one. Returns where the volume is mounted, and what is found in it. */
async function killedWhileWriting(daemon: DaemonProcess, place: string): Promise<[string, VolumeCheck]> {
  for (let at = place; ;) {
    const writer = writeOn(at).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 2500));
    await daemon.kill();
    await writer;
    await daemon.restart();
    at = await daemon.client.mountVolume('data', 'test');
    // The first close of a file with lost writes says so, as after a failed disk.
    await sh('cat big0 big1 > /dev/null 2>&1 || true', { cwd: at });
    const report = await daemon.client.checkVolume('data');
    if (report.unreferenced! > 0) return [at, report];
  }
}

test('what a killed daemon was writing is found and freed, and nothing else', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-orphans-'));
  await chmod(directory, 0o711);
  await using daemon = await DaemonProcess.start(directory);
  const place = await daemon.mount('data');
  await sh('head -c 5000000 /dev/urandom > kept; sha256sum kept > sum; sync kept sum', { cwd: place });
  const [again, before] = await killedWhileWriting(daemon, place);
  const content = await sh('sha256sum big0 big1', { cwd: again });
  // A crash may leave the counters a little off, and nothing else.
  assert.deepEqual(
    before.problems.filter((problem) => !/^the volume counts \d+ bytes/.test(problem)),
    [],
  );
  const freed = await daemon.client.checkVolume('data', true);
  assert.equal(freed.unreferenced, before.unreferenced);
  const after = await daemon.client.checkVolume('data');
  assert.deepEqual([after.problems, after.unreferenced], [[], 0]);
  await daemon.client.unmountVolume('data', 'test');
  const fresh = await daemon.client.mountVolume('data', 'test');
  assert.match(await sh('sha256sum -c sum', { cwd: fresh }), /OK/);
  assert.equal(await sh('sha256sum big0 big1', { cwd: fresh }), content);
  await daemon.client.unmountVolume('data', 'test');
  const report = await daemon.client.checkVolume('data');
  assert.deepEqual([report.problems, report.unreferenced], [[], undefined]);
});

/** One host writes and is lost, and another one serves the volume. False: the crash left nothing, as it may. */
async function freesAfterLoss(): Promise<boolean> {
  await using cluster = await ClusterProcesses.start(3);
  const [first, second, third] = cluster.hosts;
  const place = await first!.mount('data');
  await sh('head -c 5000000 /dev/urandom > kept; sha256sum kept > sum; sync kept sum', { cwd: place });
  const writer = writeOn(place).catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 4000));
  await first!.kill();
  await writer;
  const there = await second!.client.mountVolume('data', 'test');
  await sh(`ls ${there}`);
  await third!.client.mountVolume('data', 'test');
  await assert.rejects(third!.client.checkVolume('data'), { code: 'in-use', message: /mounted on .*h1/ });
  const freed = await second!.client.checkVolume('data', true);
  // A crash may leave the counters a little off, and nothing else.
  assert.deepEqual(
    freed.problems.filter((problem) => !/^the volume counts \d+ bytes/.test(problem)),
    [],
  );
  const after = await second!.client.checkVolume('data');
  assert.deepEqual([after.problems, after.unreferenced], [[], 0]);
  assert.match(await sh('sha256sum -c sum', { cwd: there }), /OK/);
  return freed.unreferenced! > 0;
}

test('a host that serves a volume after another was lost frees what that one had been writing, on all hosts', async () => {
  for (let left = 3; left > 0; left--) if (await freesAfterLoss()) return;
  assert.fail('no crash left anything');
});
