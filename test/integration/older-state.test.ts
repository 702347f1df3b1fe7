import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { connect } from '../../src/api/index.ts';
import { eventually } from '../docker/process.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import type { DaemonProcess } from './daemon-process.ts';

/** The state directory of one moment, as a snapshot of the disk has it: in the middle of a run, of which nothing in it tells. */
function snapshot(host: DaemonProcess, to: string): void {
  process.kill(host.daemonPid, 'SIGSTOP');
  cpSync(path.join(host.directory, 'state'), to, { recursive: true });
  process.kill(host.daemonPid, 'SIGCONT');
}

function putBack(host: DaemonProcess, backup: string): void {
  rmSync(path.join(host.directory, 'state'), { recursive: true });
  cpSync(backup, path.join(host.directory, 'state'), { recursive: true });
}

/** Three hosts, of which the last is put back to a snapshot of before `then`, which sees to it that it does not run. */
async function putBackAfter(cluster: ClusterProcesses, then: () => Promise<void>): Promise<void> {
  const [h0, , h2] = cluster.hosts as [DaemonProcess, DaemonProcess, DaemonProcess];
  const backup = path.join(h2.directory, 'backup');
  snapshot(h2, backup);
  {
    await using programs = connect(h0.controlSocket);
    for (let value = 0; value < 20; value++) await programs.blocks.modify(programs.blocks.named('counter'), () => String(value));
  }
  // A term, within which each host has asked each.
  await new Promise((resolve) => setTimeout(resolve, 2500));
  await then();
  putBack(h2, backup);
}

async function stopsTakingPart({ client }: DaemonProcess): Promise<void> {
  await eventually('it stops taking part, and says why', async () =>
    /no member of its cluster: .*older than what/.test((await client.clusterStatus()).health.reasons.join()),
  );
}

const start = (): Promise<ClusterProcesses> => ClusterProcesses.start(3, undefined, ['--eviction-delay', '8s']);

test(
  'a host whose disk is put back to a snapshot forgot what it promised since: the others tell it, and it takes no part',
  { timeout: 300_000 },
  async () => {
    await using cluster = await start();
    const [h0, h1, h2] = cluster.hosts as [DaemonProcess, DaemonProcess, DaemonProcess];
    await putBackAfter(cluster, () => h2.kill());
    await h2.restart();
    await stopsTakingPart(h2);
    // Told by the first word of another it stops, and may have told nobody how much it has: the others need not know why it is gone.
    for (const host of [h0, h1])
      await eventually('the others miss it', async () =>
        (await host.client.listNodes()).some(({ name, state }) => name === 'h2' && state === 'down'),
      );
    for (const host of [h0, h1]) {
      await using reader = connect(host.controlSocket);
      assert.equal((await reader.blocks.get(reader.blocks.named('counter')))?.text(), '19');
    }
    assert.match((await h2.infinit('doctor')).out, /infinit node rm/);
  },
);

test('so it is where all hosts are stopped, and started with it', { timeout: 300_000 }, async () => {
  await using cluster = await start();
  const [h0, h1, h2] = cluster.hosts as [DaemonProcess, DaemonProcess, DaemonProcess];
  await putBackAfter(cluster, async () => {
    for (const host of cluster.hosts) await host.stop();
  });
  await Promise.all(cluster.hosts.map((host) => host.restart()));
  await stopsTakingPart(h2);
  for (const host of [h0, h1]) {
    await using reader = connect(host.controlSocket);
    await eventually(
      'they go on without it',
      async () => (await reader.blocks.get(reader.blocks.named('counter')).catch(() => undefined))?.text() === '19',
    );
  }
});
