/** What programs do to names goes on without an error while the host that serves their volume is killed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { complete, formCluster } from '../docker/cluster-hosts.ts';
import { DockerLab } from '../docker/lab.ts';
import { eventually } from '../docker/process.ts';

const loop = fileURLToPath(import.meta.resolve('./names-loop.ts'));
const rounds = 1;
const programs = 4;
/** How long they go on after the host was killed, in ms: another serves the volume by then. */
const onMs = 8000;

test('no program on another host hears an error when the host that serves the volume is killed in the middle of what it asked for', async (t) => {
  await using lab = await DockerLab.up({ hosts: 3, engines: false, network: true });
  const daemons = await formCluster(lab);
  for (let round = 0; round < rounds; round++) {
    const volume = `v${round}`;
    // The first to mount it serves it.
    for (const daemon of daemons) await daemon.mount(volume);
    const running = daemons
      .slice(1)
      .flatMap((daemon) =>
        Array.from({ length: programs }, (_, index) => daemon.sh(volume, `${process.execPath} ${loop} ${daemon.host.name}-${index}`)),
      );
    const all = Promise.all(running);
    all.catch(() => {});
    for (const { host } of daemons.slice(1))
      await eventually(`programs of ${host.name} are in the middle of it`, async () =>
        (await daemons[0]!.sh(volume, 'ls')).includes(`${host.name}-`) ? true : undefined,
      );
    await daemons[0]!.kill();
    await sleep(onMs);
    await daemons[1]!.sh(volume, 'echo > stop');
    for (const operations of await all) t.diagnostic(`${operations.trim()} operations`);
    await daemons[0]!.start();
    await complete(daemons);
    await daemons[0]!.mount(volume);
    assert.equal((await daemons[0]!.sh(volume, 'ls')).trim(), 'stop');
    for (const daemon of daemons) await daemon.client.unmountVolume(volume, 'test');
  }
});
