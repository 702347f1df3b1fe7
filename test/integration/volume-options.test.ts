import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { ClusterProcesses } from './cluster-processes.ts';
import { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

async function startDaemon(flags: readonly string[] = []): Promise<DaemonProcess> {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-options-'));
  await chmod(directory, 0o711);
  return DaemonProcess.start(directory, flags);
}

test('access=onewriter lets one host mount, names it to the others, and goes on at another once that one lets go', async () => {
  await using cluster = await ClusterProcesses.start(2);
  const [first, second] = cluster.hosts;
  const place = await first!.mount('data', { access: 'onewriter' });
  await sh(`echo one > ${place}/f; sync ${place}/f`);
  await assert.rejects(second!.mount('data', { access: 'onewriter' }), {
    code: 'in-use',
    message: /^volume "data" is mounted on h0, and access=onewriter/,
  });
  await first!.client.unmountVolume('data', 'test');
  const there = await second!.mount('data', { access: 'onewriter' });
  assert.equal(await sh(`cat ${there}/f`), 'one\n');
  assert.deepEqual((await first!.client.listVolumes())[0]?.hosts, ['h1']);
});

test('a frozen host that had a volume with access=onewriter can neither read nor write it once another has it', async () => {
  await using cluster = await ClusterProcesses.start(3);
  const [first, second] = cluster.hosts;
  const place = await first!.mount('data', { access: 'onewriter' });
  await sh(`echo one > ${place}/f; sync ${place}/f`);
  const frozen = Number(readFileSync(`/proc/${first!.pid}/task/${first!.pid}/children`, 'utf8').trim().split(' ')[0]);
  process.kill(frozen, 'SIGSTOP');
  const there = await second!.mount('data', { access: 'onewriter' });
  await sh(`echo two > ${there}/f; sync ${there}/f`);
  process.kill(frozen, 'SIGCONT');
  await assert.rejects(sh(`for i in 1 2 3; do cat ${place}/f; sleep 1; done`), /Permission denied/);
  await assert.rejects(sh(`echo three > ${place}/f`), /Permission denied/);
  assert.equal(await sh(`cat ${there}/f`), 'two\n');
});

test('access=readonly and readonly mount without the right to write, for root too', async () => {
  await using daemon = await startDaemon();
  for (const [name, options] of [
    ['by-access', { access: 'readonly' }],
    ['by-option', { readonly: 'true' }],
  ] as const) {
    const place = await daemon.mount(name, options);
    await assert.rejects(sh(`touch ${place}/f`), /Read-only file system/);
  }
});

test('compression=zstd keeps text small, and reads back what was written', async () => {
  await using daemon = await startDaemon();
  const place = await daemon.mount('data', { compression: 'zstd', encryption: 'true' });
  const before = (await daemon.client.status()).disk.liveBytes;
  await sh('yes "the quick brown fox jumps over the lazy dog" | head -c 32000000 > text; sync text; sha256sum text > sum; sync sum', { cwd: place });
  assert.ok((await daemon.client.status()).disk.liveBytes - before < 8_000_000);
  await daemon.stop();
  await daemon.restart();
  assert.match(await sh('sha256sum -c sum', { cwd: await daemon.mount('data', { compression: 'zstd', encryption: 'true' }) }), /OK/);
});

test('another number of copies than the daemon’s is refused, not ignored', async () => {
  await using daemon = await startDaemon();
  await assert.rejects(daemon.client.createVolume('data', { replicas: '3' }), { code: 'bad-argument', message: /1 here; leave the option out/ });
  assert.equal((await daemon.client.createVolume('data', { replicas: '1' })).options['replicas'], '1');
});
