/** What programs do to names goes on without an error while the host that serves their volume is killed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { complete, formCluster } from '../docker/cluster-hosts.ts';
import { DockerLab } from '../docker/lab.ts';

const loop = fileURLToPath(import.meta.resolve('./names-loop.ts'));
const rounds = 3;
const programs = 4;
/** How long they go on, and when the host is killed, in ms. */
const [wholeMs, killMs] = [9000, 1500];

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
        Array.from({ length: programs }, (_, index) => daemon.sh(volume, `${process.execPath} ${loop} ${daemon.host.name}-${index} ${wholeMs}`)),
      );
    const all = Promise.all(running);
    all.catch(() => {});
    await sleep(killMs + 100 * round);
    await daemons[0]!.kill();
    for (const operations of await all) t.diagnostic(`${operations.trim()} operations`);
    await daemons[0]!.start();
    await complete(daemons);
    await daemons[0]!.mount(volume);
    assert.equal((await daemons[0]!.sh(volume, 'ls')).trim(), '');
    for (const daemon of daemons) await daemon.client.unmountVolume(volume, 'test');
  }
});
