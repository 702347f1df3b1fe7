/** Three hosts in one swarm and, as the daemon, in one cluster. With INFINIT_TEST_PLUGIN=directories it is Swarm's side of the contract alone that is tried. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';

import { announce, type SwarmMember } from '../../plugin/index.ts';
import { silentLogger } from '../../src/base/index.ts';
import { socketPlugin } from './chosen-form.ts';
import { clusterForm, complete, formCluster, type HostDaemon } from './cluster-hosts.ts';
import { DockerLab, labImage } from './lab.ts';
import { directoryForm } from './plugin-forms.ts';
import { eventually } from './process.ts';
import { lingering, Scene } from './scene.ts';

const alone = socketPlugin === directoryForm;
const form = alone ? directoryForm : clusterForm;
/** A host is missed by Swarm, its task started elsewhere, and the volume opened there. */
const movedMs = 90_000;

suite('in a swarm of three hosts', () => {
  const stack = new AsyncDisposableStack();
  let lab: DockerLab;
  let scenes: readonly Scene[];
  let manager: Scene;
  let daemons: readonly HostDaemon[] = [];

  before(async () => {
    lab = stack.use(await DockerLab.up({ hosts: 3 }));
    if (!alone) daemons = await formCluster(lab);
    scenes = await Promise.all(lab.hosts.map(async (host, index) => new Scene(host, form, daemons[index] ?? (await form.start(host)))));
    manager = scenes[0]!;
    await lab.swarm();
  });
  after(() => stack.disposeAsync());

  /** A service whose tasks run `script` and stay. */
  async function service(name: string, mount: string, replicas: number, script: string, ...flags: string[]): Promise<void> {
    const command = ['sh', '-c', `${script}; ${lingering.at(-1)!}`];
    const spread = ['--replicas', String(replicas), '--replicas-max-per-node', '1', '--mount', `type=volume,target=/data,${mount}`];
    await manager.docker('service', 'create', '-d', '--no-resolve-image', '--name', name, ...spread, ...flags, labImage, ...command);
  }

  async function running(name: string, replicas: number): Promise<void> {
    await eventually(
      `${replicas} tasks of ${name} run`,
      async () => {
        const states = await manager.docker('service', 'ps', '--filter', 'desired-state=running', '--format', '{{.CurrentState}}', name);
        return states.split('\n').filter((state) => state.startsWith('Running')).length === replicas ? true : undefined;
      },
      60_000,
    );
  }

  /** The volume is no longer held by any host. */
  async function released(volume: string): Promise<void> {
    await eventually(`nobody holds ${volume}`, async () => ((await manager.inspect(volume)).Status.hosts.length === 0 ? true : undefined), 40_000);
  }

  test('a service has one volume on all hosts, although no host has used the plugin before', async () => {
    await service('shared', `source=shared,volume-driver=${form.driver},volume-opt=size=1G`, 3, 'echo here > /data/$(hostname)');
    await running('shared', 3);
    for (const s of scenes) {
      const container = await s.docker('ps', '-q', '--filter', 'name=shared');
      await eventually('each task sees what all wrote', async () =>
        (await s.docker('exec', container, 'sh', '-c', 'ls /data | wc -l')) === '3' ? true : undefined,
      );
      assert.equal((await s.inspect('shared')).Status.options['size'], '1G', 'the options show on every host');
    }
    const { hosts } = (await manager.inspect('shared')).Status;
    assert.deepEqual(hosts.toSorted(), ['h1', 'h2', 'h3']);
    await manager.docker('service', 'rm', 'shared');
    await released('shared');
  });

  test('each task has a volume of its own by a template, and finds it again on another host', async () => {
    await service('slots', `source=slot-{{.Task.Slot}},volume-driver=${form.driver}`, 2, 'echo $SLOT >> /data/slot', '--env', 'SLOT={{.Task.Slot}}');
    await running('slots', 2);
    await manager.docker('service', 'update', '-d', '--force', 'slots');
    for (const slot of ['1', '2']) {
      await eventually(
        `slot ${slot} wrote twice`,
        async () => ((await manager.sh(`slot-${slot}`, 'cat /data/slot 2> /dev/null || true')) === `${slot}\n${slot}` ? true : undefined),
        60_000,
      );
    }
    await manager.docker('service', 'rm', 'slots');
    for (const slot of ['1', '2']) await released(`slot-${slot}`);
  });

  test('templates stand in the source, the target, the options and the labels', async () => {
    const mount = [
      'source={{.Service.Name}}-{{.Node.Hostname}}-{{.Task.Slot}},target=/data/{{.Service.Name}}',
      `volume-driver=${form.driver},volume-opt=size={{.Task.Slot}}G,volume-label=node={{.Node.ID}},volume-label=task={{.Task.Name}}`,
    ].join(',');
    await service('drawn', mount, 1, 'echo here > /data/drawn/f', '--constraint', 'node.hostname==h2');
    await running('drawn', 1);
    const volume = await scenes[1]!.inspect('drawn-h2-1');
    assert.equal(volume.Status.options['size'], '1G');
    assert.equal(volume.Labels!['node'], await scenes[1]!.docker('info', '--format', '{{.Swarm.NodeID}}'));
    assert.match(volume.Labels!['task']!, /^drawn\.1\./);
    await eventually('the task wrote at its target', async () =>
      (await manager.sh('drawn-h2-1', 'cat /data/f 2> /dev/null || true')) === 'here' ? true : undefined,
    );
    await manager.docker('service', 'rm', 'drawn');
    await released('drawn-h2-1');
  });

  test('a volume that another host has mounted is not removed, and the message says who has it', async () => {
    await manager.create('elsewhere');
    await scenes[1]!.linger('holder', 'elsewhere');
    await manager.refused(/mounted on h2/, 'volume', 'rm', 'elsewhere');
    assert.ok((await manager.names()).includes('elsewhere'));
    await scenes[1]!.docker('rm', '-f', 'holder');
    await manager.removes('elsewhere');
  });

  test('a volume made on one host is there on the others, and gone there when it is removed', async () => {
    await manager.create('roaming', 'mode=0700');
    assert.equal(await scenes[2]!.sh('roaming', 'echo here > /data/f; stat -c %a /data'), '700');
    assert.equal(await scenes[1]!.sh('roaming', 'cat /data/f'), 'here');
    await scenes[2]!.removes('roaming');
    await manager.refused(/no such volume/i, 'volume', 'inspect', 'roaming');
  });

  test('a worker whose engine was restarted gets tasks again', async () => {
    await scenes[2]!.host.restartDocker('SIGKILL');
    await service('returns', `source=returns,volume-driver=${form.driver}`, 1, 'true', '--constraint', 'node.hostname==h3');
    await running('returns', 1);
    await manager.docker('service', 'rm', 'returns');
    await released('returns');
  });

  test("the plugin learns the swarm's hosts from its engine", async () => {
    const ask = async (index: number): Promise<readonly SwarmMember[]> => {
      await using announcement = announce({ socketPath: lab.hosts[index]!.dockerSocket, logger: silentLogger });
      return await announcement.swarmMembers(AbortSignal.timeout(10_000));
    };
    const all = await ask(0);
    assert.deepEqual(
      all.map(({ hostname, address, self }) => [hostname, address, self]).toSorted((a, b) => String(a[0]).localeCompare(String(b[0]))),
      [
        ['h1', lab.addressOf(0), true],
        ['h2', lab.addressOf(1), false],
        ['h3', lab.addressOf(2), false],
      ],
    );
    assert.deepEqual(
      (await ask(1)).map(({ address, self }) => [address, self]),
      [
        [lab.addressOf(1), true],
        [lab.addressOf(0), false],
      ],
    );
  });

  /** The container of a service on a host; undefined where there is none. */
  async function containerOf(name: string, scene: Scene): Promise<string | undefined> {
    return (await scene.docker('ps', '-q', '--filter', `name=${name}`)).split('\n')[0] || undefined;
  }

  test(
    'tasks on all hosts append to one file and make files of their own, and all see all; more and fewer of them do too',
    { skip: alone },
    async () => {
      // One line a tenth of a second through one descriptor that stays open, as a log is written.
      const script = 'touch /data/$(hostname); exec 3>> /data/log; for i in $(seq 30); do echo "$(hostname) $i" >&3; done; sleep 1000 & wait $!';
      await service('appends', `source=appends,volume-driver=${form.driver}`, 2, script);
      await running('appends', 2);
      await manager.docker('service', 'scale', '-d', 'appends=3');
      await running('appends', 3);
      for (const scene of scenes) {
        await eventually(`${scene.host.name} sees all`, async () =>
          (await scene.sh('appends', 'busybox sort /data/log | busybox uniq | wc -l; ls /data | wc -l')) === '90\n4' ? true : undefined,
        );
        assert.ok((await scene.names()).includes('appends'));
      }
      assert.equal(await manager.sh('appends', 'wc -l < /data/log'), '90', 'no line is there twice');
      await manager.docker('service', 'scale', '-d', 'appends=1');
      await running('appends', 1);
      await manager.docker('service', 'rm', 'appends');
      await released('appends');
    },
  );

  test('daemons are restarted and replaced one after another, and a program on another host has no error', { skip: alone }, async () => {
    await manager.create('rolling');
    for (const scene of scenes) await scene.linger(`rolling-${scene.host.name}`, 'rolling');
    const writer =
      'i=0; while [ ! -e /data/stop ]; do i=$((i+1)); echo $i | dd of=/data/n conv=fsync 2> /dev/null && [ "$(cat /data/n)" = $i ] && echo $i >> /data/kept || { echo "failed at $i"; exit 1; }; sleep 0.1; done; echo $i';
    // The container of a host whose daemon stops loses its mount, so the program runs on the one that is restarted last, and then on the first.
    for (const [rolled, other] of [
      [[0, 1], 2],
      [[2], 0],
    ] as const) {
      await scenes[other]!.sh('rolling', 'rm -f /data/stop /data/kept /data/n');
      const program = scenes[other]!.docker('exec', `rolling-h${other + 1}`, 'sh', '-c', writer);
      program.catch(() => {});
      await scenes[other]!.docker('exec', `rolling-h${other + 1}`, 'sh', '-c', 'until [ -e /data/kept ]; do sleep 0.1; done');
      for (const index of rolled) {
        await daemons[index]!.replace();
        await complete(daemons);
        await scenes[index]!.docker('exec', `rolling-h${index + 1}`, 'cat', '/data/n');
        await daemons[index]!.stop();
        await daemons[index]!.start();
        await complete(daemons);
        await scenes[index]!.docker('rm', '-f', `rolling-h${index + 1}`);
        await scenes[index]!.linger(`rolling-h${index + 1}`, 'rolling');
      }
      await scenes[other]!.docker('exec', `rolling-h${other + 1}`, 'touch', '/data/stop');
      const last = await program;
      assert.equal(await scenes[rolled[0]]!.sh('rolling', 'tail -n 1 /data/kept; cat /data/n; wc -l < /data/kept'), `${last}\n${last}\n${last}`);
    }
    for (const scene of scenes) await scene.docker('rm', '-f', `rolling-${scene.host.name}`);
  });

  test('a host is lost, and its task finds its data on another', { skip: alone }, async () => {
    // Its workers are told apart by the constraint; the manager runs on.
    await service(
      'moves',
      `source=moves,volume-driver=${form.driver}`,
      1,
      'echo $(hostname) >> /data/log; sync /data/log',
      '--constraint',
      'node.role==worker',
      '--hostname',
      '{{.Node.Hostname}}',
    );
    await running('moves', 1);
    const at = (await containerOf('moves', scenes[1]!)) === undefined ? 2 : 1;
    await eventually('the task wrote', async () =>
      (await manager.sh('moves', 'cat /data/log 2> /dev/null || true')) === `h${at + 1}` ? true : undefined,
    );
    await lab.hosts[at]![Symbol.asyncDispose]();
    const left = 3 - at;
    await eventually(
      'the task runs on the other worker and sees what it wrote before',
      async () => ((await scenes[left]!.sh('moves', 'cat /data/log')) === `h${at + 1}\nh${left + 1}` ? true : undefined),
      movedMs,
    );
  });
});
