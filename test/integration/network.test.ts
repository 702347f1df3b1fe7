/** Three daemons on a network of their own that fails in every way: what was acknowledged stays, nobody waits for ever, and everything comes back by itself. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';

import { complete, formCluster, type HostDaemon } from '../docker/cluster-hosts.ts';
import { DockerLab } from '../docker/lab.ts';
import { eventually } from '../docker/process.ts';
import { Starvation } from './starved.ts';
import { slowMs, Workload } from './workload.ts';

/** No program waits longer than this, whatever happens. */
const patienceMs = 150_000;
/** The smallest disk on which a store has some room. */
const smallDisk = '48m';

suite('on a network that fails', () => {
  const stack = new AsyncDisposableStack();
  let lab: DockerLab;
  let daemons: readonly HostDaemon[];
  let volume = '';
  let count = 0;

  before(async () => {
    lab = stack.use(await DockerLab.up({ hosts: 3, engines: false, network: true }));
    const small = path.join(lab.hosts[2]!.directory, 'state');
    mkdirSync(small);
    await lab.hosts[2]!.must('mount', ['-t', 'tmpfs', '-o', `size=${smallDisk}`, 'small', small]);
    daemons = await formCluster(lab);
  });
  after(() => stack.disposeAsync());
  afterEach(async () => {
    // Whatever a test that failed has left.
    await lab.heal(0);
    await lab.hosts[0]!.run('iptables', ['-F', 'INPUT']);
    daemons[0]!.freeze('SIGCONT');
    await complete(daemons);
    for (const daemon of daemons) await daemon.client.unmountVolume(volume, 'test');
  });

  /** A new volume on all hosts; the first to mount it holds its lease. */
  async function mountAll(...order: readonly number[]): Promise<void> {
    volume = `v${++count}`;
    for (const index of order) await daemons[index]!.mount(volume);
  }

  /** A command that may not hang. */
  async function timely<T>(what: string, action: Promise<T>): Promise<T> {
    const began = performance.now();
    const result = await action;
    const took = performance.now() - began;
    assert.ok(took < patienceMs, `${what} took ${Math.round(took)} ms`);
    return result;
  }

  test('a host that served the volume and is cut off acknowledges nothing, the others go on, and it comes back with nothing stale', async () => {
    await mountAll(0, 1, 2);
    await using workload = new Workload(daemons, volume);
    await workload.runFor(1000);
    await lab.cut(0);
    const alone = timely('a write of the lost host', daemons[0]!.try(volume, 'echo lost > lost && sync lost'));
    await timely('a write of the majority', daemons[1]!.sh(volume, 'echo new > fresh; sync fresh'));
    const { code, stderr } = await alone;
    assert.notEqual(code, 0, 'nothing is acknowledged without a majority');
    assert.match(stderr, /Input\/output error/);
    assert.equal((await daemons[0]!.client.clusterStatus()).silent.length, 2);
    await lab.heal(0);
    await complete(daemons);
    assert.equal(await timely('a read of the host that came back', daemons[0]!.sh(volume, 'cat fresh')), 'new');
    await workload.runFor(500);
    await workload.verify();
  });

  test('a host that served the volume and hears nobody, though it is heard, comes back with nothing stale', async () => {
    await mountAll(0, 1, 2);
    await daemons[0]!.sh(volume, 'echo old > fresh; sync fresh');
    await using workload = new Workload(daemons, volume);
    for (const index of [1, 2]) await lab.hosts[0]!.must('iptables', ['-A', 'INPUT', '-s', lab.addressOf(index), '-j', 'DROP']);
    await timely('a write of the majority', daemons[1]!.sh(volume, 'echo new > fresh; sync fresh'));
    await lab.hosts[0]!.must('iptables', ['-F', 'INPUT']);
    assert.equal(await timely('a read of the host that came back', daemons[0]!.sh(volume, 'cat fresh')), 'new');
    await complete(daemons);
    await workload.verify();
  });

  test('a frozen host that held the lease serves nothing stale after the thaw', async () => {
    await mountAll(0, 1, 2);
    await daemons[0]!.sh(volume, 'echo old > f; sync f');
    await using workload = new Workload(daemons, volume);
    await workload.runFor(1000);
    daemons[0]!.freeze('SIGSTOP');
    try {
      await timely('a write while the holder is frozen', daemons[1]!.sh(volume, 'echo new > f; sync f'));
      // Asked while frozen, answered after the thaw.
      const read = daemons[0]!.sh(volume, 'cat f');
      await new Promise((resolve) => setTimeout(resolve, 500));
      daemons[0]!.freeze('SIGCONT');
      assert.equal(await timely('a read of the thawed host', read), 'new');
    } finally {
      daemons[0]!.freeze('SIGCONT');
    }
    await complete(daemons);
    await workload.runFor(1000);
    await workload.verify();
  });

  test('kill -9 of the host that serves the volume loses nothing acknowledged, and the others stand still for five seconds at the most', async (t) => {
    await mountAll(0, 1, 2);
    using starvation = new Starvation(daemons);
    await using workload = new Workload(daemons, volume);
    await workload.runFor(1500);
    await daemons[0]!.kill();
    await timely('the next write', daemons[1]!.sh(volume, 'echo x > after; sync after'));
    await workload.runFor(500);
    await daemons[0]!.start();
    await complete(daemons);
    await daemons[0]!.mount(volume);
    await workload.runFor(500);
    await workload.verify();
    for (const slow of workload.slow.filter(({ host }) => host !== daemons[0]!.host.name)) {
      const took = Math.round(slow.to - slow.from);
      const starvedMs = starvation.during(slow);
      t.diagnostic(`${slow.host}: ${slow.script}: ${took} ms, in which the daemons had no processor for ${starvedMs}`);
      assert.ok(
        took <= slowMs + starvedMs + workload.usualMs,
        `${slow.host}: ${slow.script}: ${took} ms, though a processor lacked for ${starvedMs} only`,
      );
    }
  });

  test('a volume is not removed where the host that has it mounted is cut off from the one that is asked to', async () => {
    await mountAll(2);
    await daemons[2]!.sh(volume, 'echo kept > f; sync f');
    await lab.hosts[0]!.must('iptables', ['-A', 'INPUT', '-s', lab.addressOf(2), '-j', 'DROP']);
    await eventually('they have lost each other', async () => {
      const nodes = await daemons[0]!.client.listNodes();
      return nodes.some(({ name, state }) => name === 'h3' && state === 'down') ? true : undefined;
    });
    await assert.rejects(daemons[0]!.client.removeVolume(volume), { code: 'in-use', message: /mounted on h3/ });
    assert.equal(await daemons[2]!.sh(volume, 'cat f'), 'kept');
  });

  test('a slow and lossy network makes it slow, and nothing else', async () => {
    await mountAll(0, 1, 2);
    // Queues instead of netem, which few kernels of test machines have.
    for (const host of lab.hosts) {
      await host.must('tc', ['qdisc', 'add', 'dev', 'eth0', 'root', 'tbf', 'rate', '8mbit', 'burst', '32k', 'latency', '200ms']);
      await host.must('iptables', ['-A', 'INPUT', '-m', 'statistic', '--mode', 'random', '--probability', '0.01', '-j', 'DROP']);
    }
    await using workload = new Workload(daemons, volume);
    try {
      await timely('a megabyte', daemons[1]!.sh(volume, 'head -c 1000000 /dev/urandom > big; sync big'));
      await workload.runFor(3000);
    } finally {
      for (const host of lab.hosts) {
        await host.must('tc', ['qdisc', 'del', 'dev', 'eth0', 'root']);
        await host.must('iptables', ['-F', 'INPUT']);
      }
    }
    await workload.verify();
    assert.equal(workload.failures, 0, workload.lastFailure);
  });

  test('a host whose disk is full takes part without it, and the others lose nothing', async () => {
    await mountAll(0, 1, 2);
    await using workload = new Workload(daemons, volume);
    await lab.hosts[2]!.run('sh', ['-c', `cat /dev/zero > ${path.join(lab.hosts[2]!.directory, 'state', 'filler')}`]);
    await timely('writing on', daemons[0]!.sh(volume, 'head -c 8000000 /dev/urandom > big; sync big'));
    await workload.runFor(1500);
    await timely('writing from the full host', daemons[2]!.sh(volume, 'echo here > from-full; sync from-full'));
    await eventually('the full host says so', async () => ((await daemons[2]!.client.status()).health.state === 'HEALTHY' ? undefined : true));
    await lab.hosts[2]!.must('rm', [path.join(lab.hosts[2]!.directory, 'state', 'filler')]);
    await eventually(
      'the host with room again says so',
      async () => ((await daemons[2]!.client.status()).health.state === 'HEALTHY' ? true : undefined),
      60_000,
    );
    await workload.runFor(500);
    await workload.verify();
    assert.equal(workload.failures, 0, workload.lastFailure);
  });
});
