/** Three hosts in one swarm. The plugin here shares plain directories between the hosts: what is tried is Swarm's side of the contract. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';

import { announce, type SwarmMember } from '../../plugin/index.ts';
import { silentLogger } from '../../src/base/index.ts';
import { DockerLab, labImage } from './lab.ts';
import { directoryForm } from './plugin-forms.ts';
import { eventually } from './process.ts';
import { lingering, Scene } from './scene.ts';

const form = directoryForm;

suite('in a swarm of three hosts', () => {
  const stack = new AsyncDisposableStack();
  let lab: DockerLab;
  let scenes: readonly Scene[];
  let manager: Scene;

  before(async () => {
    lab = stack.use(await DockerLab.up({ hosts: 3 }));
    scenes = await Promise.all(lab.hosts.map(async (host) => new Scene(host, form, await form.start(host))));
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
      return await announcement.swarmMembers();
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
});
