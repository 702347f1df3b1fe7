import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { labImage } from './lab.ts';
import { eventually } from './process.ts';
import { lingering, type Scene } from './scene.ts';

/** What every plugin must do on a healthy host. Every case has volumes of its own, so that they may run at the same time. */
export function everydayCases(scene: () => Scene): void {
  creationCases(scene);
  contentCases(scene);
  containerCases(scene);
}

function creationCases(scene: () => Scene): void {
  test('ls and inspect tell the truth', async () => {
    const s = scene();
    await s.docker('volume', 'create', '-d', s.form.driver, '-o', 'quota=1024M', '-o', 'on_remove=delete', '--label', 'team=blue', 'truth');
    const volume = await s.inspect('truth');
    assert.deepEqual([volume.Driver, volume.Scope, volume.Labels], [s.form.reportedDriver, 'global', { team: 'blue' }]);
    assert.deepEqual([volume.Status.options['size'], volume.Status.options['on-remove'], volume.Status.options['mode']], ['1G', 'delete', '0755']);
    assert.ok(Math.abs(Date.now() - Date.parse(volume.CreatedAt)) < 120_000, volume.CreatedAt);
    assert.ok((await s.names()).includes('truth'));
    await s.removes('truth');
    assert.ok(!(await s.names()).includes('truth'));
  });

  test('a volume of another driver with that name is a conflict', async () => {
    const s = scene();
    await s.docker('volume', 'create', 'taken');
    await s.refused(/conflict|must be unique|already exists/i, 'volume', 'create', '-d', s.form.driver, 'taken');
    await s.docker('volume', 'rm', 'taken');
    await s.create('taken');
    await s.refused(/conflict|must be unique|already exists/i, 'volume', 'create', '-d', 'local', 'taken');
    await s.removes('taken');
  });

  test('creating again changes nothing, and the status says what is in effect', async () => {
    const s = scene();
    await s.create('again', 'size=1G');
    await s.create('again', 'size=1G');
    // The engine finds the volume and never asks: only the status can tell.
    await s.create('again', 'size=2G');
    assert.equal((await s.inspect('again')).Status.options['size'], '1G');
    const reply = await s.plugin.call('VolumeDriver.Create', { Name: 'again', Opts: { size: '2G' } });
    assert.match(JSON.stringify(reply), /other options/);
    await s.removes('again');
  });

  test('a bad option is refused with a suggestion and leaves no volume', async () => {
    const s = scene();
    await s.refused(
      /unknown volume option \\?"sise\\?": did you mean \\?"size\\?"/,
      'volume',
      'create',
      '-d',
      s.form.driver,
      '-o',
      'sise=1G',
      'refused',
    );
    await s.refused(/is not a size/, 'volume', 'create', '-d', s.form.driver, '-o', 'size=big', 'refused');
    await s.refused(/no such volume/i, 'volume', 'inspect', 'refused');
  });

  test('a bad name is refused, and the message says what is allowed', async () => {
    const s = scene();
    for (const name of ['a b', 'x'.repeat(256), '../up', '-']) {
      await s.refused(/volume name|at most 255|invalid|letters, digits/, 'volume', 'create', '-d', s.form.driver, '--', name);
    }
  });

  test('what does not exist is said not to exist', async () => {
    const s = scene();
    await s.refused(/no such volume/i, 'volume', 'inspect', 'never-made');
    await s.refused(/no such volume/i, 'volume', 'rm', 'never-made');
  });

  test('--mount with volume-driver and volume-opt makes the volume', async () => {
    const s = scene();
    const mount = `type=volume,source=on-the-fly,target=/data,volume-driver=${s.form.driver},volume-opt=size=3G,volume-opt=mode=0700`;
    assert.equal(await s.docker('run', '--rm', '--network=none', '--mount', mount, labImage, 'stat', '-c', '%a', '/data'), '700');
    assert.equal((await s.inspect('on-the-fly')).Status.options['size'], '3G');
    await s.removes('on-the-fly');
  });

  test('a volume that was deleted behind the engine can be made again', async () => {
    const s = scene();
    await s.create('behind');
    await s.plugin.call('VolumeDriver.Remove', { Name: 'behind' });
    await s.refused(/no such volume/i, 'volume', 'inspect', 'behind');
    await s.docker('volume', 'create', '-d', 'local', 'behind');
    await s.docker('volume', 'rm', 'behind');
    await s.create('behind');
    await s.removes('behind');
  });
}

function contentCases(scene: () => Scene): void {
  test('what one container writes, the next one reads', async () => {
    const s = scene();
    await s.create('hello');
    await s.sh('hello', 'echo hello > /data/f');
    assert.equal(await s.sh('hello', 'cat /data/f'), 'hello');
    await s.removes('hello');
    await s.create('hello');
    assert.equal(await s.sh('hello', 'ls /data'), '', 'a new volume of that name is empty');
    await s.removes('hello');
  });

  test('owner, group and mode of the root are as asked for, and a user who is not root can write', async () => {
    const s = scene();
    await s.create('owned', 'uid=1000', 'gid=100', 'mode=2770');
    assert.equal(
      await s.sh('owned', 'stat -c %u:%g:%a /data; echo x > /data/f; stat -c %u:%g /data/f', '--user', '1000:1000'),
      '1000:100:2770\n1000:100',
    );
    await s.removes('owned');
  });

  test('a readonly volume, and a readonly mount of a volume, cannot be written to', async () => {
    const s = scene();
    await s.create('written');
    await s.sh('written', 'echo x > /data/f');
    await s.refused(/read-only/i, 'run', '--rm', '--network=none', '-v', 'written:/data:ro', labImage, 'touch', '/data/g');
    await s.removes('written');
    await s.create('unwritten', 'ro=true');
    await s.refused(/read-only/i, 'run', '--rm', '--network=none', '-v', 'unwritten:/data', labImage, 'touch', '/data/g');
    await s.removes('unwritten');
  });

  test("an empty volume gets what the image has there, unless 'volume-nocopy' is said", async () => {
    const s = scene();
    const cat = ['sh', '-c', 'cat /seeded/file || echo nothing'];
    for (const name of ['seeded', 'unseeded']) await s.create(name);
    assert.equal(await s.docker('run', '--rm', '--network=none', '-v', 'seeded:/seeded', labImage, ...cat), 'from the image');
    assert.equal(await s.sh('seeded', 'cat /data/file'), 'from the image');
    assert.equal(await s.docker('run', '--rm', '--network=none', '-v', 'unseeded:/seeded:nocopy', labImage, ...cat), 'nothing');
    for (const name of ['seeded', 'unseeded']) await s.removes(name);
  });

  test('docker cp into and out of a running container leaves its data alive', async () => {
    const s = scene();
    await s.create('copied');
    await s.linger('cp', 'copied');
    const file = path.join(s.host.directory, 'copied');
    writeFileSync(file, 'from outside');
    await s.docker('exec', 'cp', 'sh', '-c', 'echo before > /data/before');
    await s.docker('cp', file, 'cp:/data/in');
    await s.docker('cp', 'cp:/data/before', `${file}.out`);
    assert.equal(await s.docker('exec', 'cp', 'sh', '-c', 'echo after > /data/after; cat /data/in'), 'from outside');
    assert.equal(await s.sh('copied', 'cat /data/after /data/before'), 'after\nbefore', 'a second container sees the same');
    assert.equal(await s.docker('exec', 'cp', 'cat', '/data/after'), 'after');
    await s.docker('rm', '-f', 'cp');
    await s.removes('copied');
  });

  test('docker cp to a container that does not run, and an out-of-turn removal of it, leave nothing held', async () => {
    const s = scene();
    await s.create('idle');
    await s.docker('create', '--name', 'idle', '--network=none', '-v', 'idle:/data', labImage, 'cat', '/data/in');
    const file = path.join(s.host.directory, 'idle');
    writeFileSync(file, 'early');
    await s.docker('cp', file, 'idle:/data/in');
    assert.equal(await s.docker('start', '-a', 'idle'), 'early');
    await s.docker('rm', 'idle');
    assert.deepEqual((await s.inspect('idle')).Status.holders, []);
    await s.removes('idle');
  });
}

function containerCases(scene: () => Scene): void {
  test('an anonymous volume lives and dies with its container', async () => {
    const s = scene();
    await s.docker('run', '-d', '--network=none', '--name', 'anonymous', '--volume-driver', s.form.driver, '-v', '/data', labImage, ...lingering);
    const [mount] = JSON.parse(await s.docker('inspect', '-f', '{{json .Mounts}}', 'anonymous')) as [{ Name: string; Driver: string }];
    assert.equal(mount.Driver, s.form.reportedDriver);
    assert.ok((await s.names()).includes(mount.Name));
    await s.docker('rm', '-fv', 'anonymous');
    assert.ok(!(await s.names()).includes(mount.Name));
  });

  test('volumes-from gives a second container the same volume', async () => {
    const s = scene();
    await s.create('lent');
    await s.linger('lender', 'lent');
    await s.docker('exec', 'lender', 'sh', '-c', 'echo mine > /data/f');
    assert.equal(await s.docker('run', '--rm', '--network=none', '--volumes-from', 'lender', labImage, 'cat', '/data/f'), 'mine');
    assert.equal(await s.docker('exec', 'lender', 'cat', '/data/f'), 'mine');
    await s.docker('rm', '-f', 'lender');
    await s.removes('lent');
  });

  test('inspecting a container and its volume says who holds what, and where it is', async () => {
    const s = scene();
    await s.create('shown');
    await s.linger('shown', 'shown');
    const [mount] = JSON.parse(await s.docker('inspect', '-f', '{{json .Mounts}}', 'shown')) as [Record<string, string>];
    assert.deepEqual([mount['Type'], mount['Name'], mount['Driver'], mount['Destination']], ['volume', 'shown', s.form.reportedDriver, '/data']);
    const held = await s.inspect('shown');
    assert.match(held.Mountpoint, /shown$/);
    assert.equal(held.Status.holders.length, 1);
    await s.docker('rm', '-f', 'shown');
    assert.deepEqual((await s.inspect('shown')).Status.holders, []);
    await eventually('it is no longer mounted', async () => ((await s.inspect('shown')).Mountpoint === '' ? true : undefined));
    await s.removes('shown');
  });

  test('a volume in use is not removed, neither from under a running nor from under a stopped container', async () => {
    const s = scene();
    await s.create('used');
    await s.linger('user', 'used');
    await s.refused(/volume is in use/, 'volume', 'rm', 'used');
    await s.refused(/volume is in use/, 'volume', 'rm', '-f', 'used');
    await s.docker('stop', 'user');
    await s.refused(/volume is in use/, 'volume', 'rm', 'used');
    await s.docker('rm', 'user');
    await s.removes('used');
  });

  test('a sticky volume is not removed at all', async () => {
    const s = scene();
    await s.create('stuck', 'sticky=true');
    await s.refused(/sticky/, 'volume', 'rm', 'stuck');
    assert.ok((await s.names()).includes('stuck'));
  });

  test('a container finds its data again after its restart', async () => {
    const s = scene();
    await s.create('restarted');
    await s.linger('restarted', 'restarted');
    await s.docker('exec', 'restarted', 'sh', '-c', 'echo kept > /data/f');
    await s.docker('restart', 'restarted');
    assert.equal(await s.docker('exec', 'restarted', 'cat', '/data/f'), 'kept');
    await s.docker('kill', 'restarted');
    await s.docker('start', 'restarted');
    assert.equal(await s.docker('exec', 'restarted', 'cat', '/data/f'), 'kept');
    await s.docker('rm', '-f', 'restarted');
    await s.removes('restarted');
  });

  test('a service that got a copy of the mount into its own namespace does not hold the volume', async () => {
    const s = scene();
    await s.create('propagated');
    const service = await s.host.spawn('service', 'unshare', ['--mount', '--propagation', 'slave', 'sleep', '1000']);
    try {
      await s.sh('propagated', 'echo x > /data/f');
      await s.removes('propagated');
    } finally {
      await service.kill('SIGKILL');
    }
  });

  test('twenty containers are on one volume at once, and nothing stays held', async () => {
    const s = scene();
    await s.create('crowded');
    const letters = 'abcdefghijklmnopqrst'.split('');
    await Promise.all(letters.map((letter) => s.sh('crowded', `echo ${letter} > /data/${letter}; sleep 1; ls /data > /dev/null`)));
    assert.equal(await s.sh('crowded', 'cat /data/*'), letters.join('\n'));
    assert.deepEqual((await s.inspect('crowded')).Status.holders, []);
    await s.removes('crowded');
  });

  test('bad input does no harm', async () => {
    const s = scene();
    for (const body of ['{', '[]', '', 'null', '{"Name":""}', '{"Name":"a/b"}', '{"Name":7}']) {
      for (const call of ['Create', 'Remove', 'Mount', 'Unmount', 'Path', 'Get', 'Explode']) await s.plugin.call(`VolumeDriver.${call}`, body);
    }
    await s.create('survivor');
    await s.removes('survivor');
  });
}
