import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ClusterProcesses } from './cluster-processes.ts';
import type { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

/** Giving blocks up and taking them again may take so long on a busy machine, in ms. */
const drainDeadlineMs = 90_000;

/** Writes some data of all kinds to a volume on this host. */
async function fill(host: DaemonProcess, volume: string): Promise<void> {
  const place = await host.mount(volume);
  await sh(
    `cd ${place}; mkdir d; for i in $(seq 40); do echo $i > d/$i; done; head -c 3000000 /dev/urandom > big; find . -type f | sort | xargs sha256sum > ../sums; mv ../sums sums; sync`,
  );
  await host.client.unmountVolume(volume, 'test');
}

/** All that {@link fill} wrote is there, seen from this host. */
async function check(host: DaemonProcess, volume: string): Promise<void> {
  const place = await host.mount(volume);
  await sh(`cd ${place}; test $(ls d | wc -l) = 40; sha256sum -c --quiet sums`);
  await host.client.unmountVolume(volume, 'test');
}

const blocksOf = async (host: DaemonProcess): Promise<number> => (await host.client.status()).disk.blocks;

test('a host with volumes becomes three: every block gets three copies, and any one host may die', async () => {
  await using cluster = await ClusterProcesses.start(1);
  const [first] = cluster.hosts;
  await fill(first!, 'data');
  await cluster.add();
  await cluster.add();
  await cluster.complete();
  const counts = await Promise.all(cluster.hosts.map(blocksOf));
  assert.ok(Math.min(...counts) > 40, counts.join());
  await first!.kill();
  await check(cluster.hosts[1]!, 'data');
  await check(cluster.hosts[2]!, 'data');
});

test('a host that stays away is replaced and comes back as a new one; one that drains leaves nothing behind', async () => {
  await using cluster = await ClusterProcesses.start(4, undefined, ['--eviction-delay', '3s']);
  const [h0, h1, h2, h3] = cluster.hosts as [DaemonProcess, DaemonProcess, DaemonProcess, DaemonProcess];
  await fill(h0, 'data');
  await h3.kill();
  await cluster.settled([h0, h1, h2]);
  assert.deepEqual((await h0.client.status()).roster.countedOut, ['h3']);
  // With three hosts left each has everything: one more may go.
  const counts = await Promise.all([h0, h1, h2].map(blocksOf));
  assert.ok(Math.min(...counts) > 40, counts.join());
  await h3.restart();
  await cluster.settled(cluster.hosts);
  assert.deepEqual((await h3.client.status()).roster.countedOut, []);
  await check(h3, 'data');

  await assert.rejects(h1.client.drainNode('h2'), { code: 'denied', message: /host h1 has no right to invite and expel/ });
  await h0.client.drainNode('h0');
  await cluster.settled([h1, h2, h3]);
  for (let tries = 0; (await h0.client.status()).roster.standing !== 'fresh'; tries++) {
    assert.ok(tries < 200, JSON.stringify((await h0.client.status()).roster));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await h0.stop();
  await check(h2, 'data');
});

test('a drain goes on over restarts; cancelled, the host stays a member over restarts and has its copies again', async () => {
  await using cluster = await ClusterProcesses.start(3);
  const [h0, h1, h2] = cluster.hosts as [DaemonProcess, DaemonProcess, DaemonProcess];
  const stateOf = async (name: string): Promise<string | undefined> => (await h0.client.listNodes()).find((node) => node.name === name)?.state;
  const until = async (what: string, condition: () => Promise<boolean>): Promise<void> => {
    const deadline = performance.now() + drainDeadlineMs;
    while (!(await condition())) {
      assert.ok(performance.now() < deadline, `${what}: ${JSON.stringify((await h2.client.status()).roster)}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  await fill(h0, 'data');
  await h0.client.drainNode('h2');
  await h2.stop();
  await h2.restart();
  await until('it drains on', async () => (await stateOf('h2')) === 'draining');
  await cluster.settled([h0, h1]);
  await h0.client.drainNode('h2', false);
  await h2.stop();
  await h2.restart();
  await cluster.complete();
  await until('it has its copies again', async () => (await blocksOf(h2)) >= (await blocksOf(h0)));
  assert.equal(await stateOf('h2'), 'up');
  await h0.kill();
  await check(h2, 'data');
});
