import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { ClusterStatus } from '../../src/api/index.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import type { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

const deadlineMs = 60_000;

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!(await isSo())) {
    assert.ok(performance.now() < deadline, what);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

test(
  'with two of three disks full the cluster is READ-ONLY by name, what is there is read, and removing something ends it',
  { timeout: 300_000 },
  async () => {
    await using cluster = await ClusterProcesses.start(1);
    const small = ['--capacity', '64M'];
    const [h1, h2] = [await cluster.add(small), await cluster.add(small)];
    const [h0] = cluster.hosts as [DaemonProcess];
    await cluster.complete();
    const place = await h0.mount('data');
    await sh('head -c 5000000 /dev/urandom > kept; sync kept; sha256sum kept > sum; sync sum', { cwd: place });
    // Whole files until none fits any more, smaller and smaller ones: what could not be written is removed, and nothing of it waits in memory.
    const fill = (size: string): string =>
      `i=0; while head -c ${size} /dev/urandom > new && sync new; do mv new full-${size}-$i; i=$((i+1)); done; rm -f new`;
    const said = await sh(`{ ${['4M', '512K', '64K'].map(fill).join('; ')}; } 2>&1`, { cwd: place });
    assert.match(said, /No space left/);

    let seen: ClusterStatus | undefined;
    await until('both say that they are full', async () => {
      seen = await h0.client.clusterStatus();
      return seen.hosts.filter(({ disk }) => disk.state === 'read-only').length === 2;
    });
    const { state, reasons } = seen!.health;
    assert.equal(state, 'READ-ONLY', reasons.join('; '));
    for (const name of ['h1', 'h2'])
      assert.ok(
        reasons.some((reason) => reason.startsWith(`${name} takes no writes: `) && reason.includes('is full')),
        reasons.join('; '),
      );
    assert.equal((await h0.says('status')).split('\n')[0], 'READ-ONLY');

    for (const host of [h0, h1, h2]) assert.match(await sh('sha256sum -c sum', { cwd: await host.client.mountVolume('data', 'test') }), /OK/);
    // What is taken back meanwhile of files that did not fit is soon used up.
    let refused: unknown;
    for (let file = 0; file < 20 && refused === undefined; file++)
      await sh(`head -c 3000000 /dev/urandom > more-${file}; sync more-${file}`, { cwd: place }).catch((error: unknown) => (refused = error));
    assert.match(String(refused), /No space left/);

    await sh('rm -f full-* more-*', { cwd: place });
    // A new file that cannot be written stands ahead of a removal in the log, and holds it up: first the removal, then what it makes room for.
    await until('it is writable', async () => (await h0.client.clusterStatus()).health.state !== 'READ-ONLY');
    await until('there is room again', () =>
      sh('rm -f f; head -c 3000000 /dev/urandom > f; sync f', { cwd: place }).then(
        () => true,
        () => false,
      ),
    );
    assert.match(await sh('sha256sum -c sum', { cwd: place }), /OK/);
  },
);
