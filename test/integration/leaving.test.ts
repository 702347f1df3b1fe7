import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { ClusterProcesses, freePort } from './cluster-processes.ts';
import { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

test('a join is refused while it would lose the trash, can be taken back, and ends with a host that leaves', { timeout: 120_000 }, async () => {
  await using stack = new AsyncDisposableStack();
  const cluster = stack.use(await ClusterProcesses.start(2));
  const [first] = cluster.hosts as [DaemonProcess];
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-leaving-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const token = path.join(directory, 'token');
  await first.says('cluster', 'token', 'create', token);
  const flags = ['--listen', `127.0.0.1:${await freePort()}`, '--name', 'late', '--replicas', '3'];
  const late = stack.use(await DaemonProcess.start(path.join(directory, 'late'), flags));
  await sh(`echo mine > ${await late.mount('old')}/f`);
  await late.client.unmountVolume('old', 'test');
  await late.says('volume', 'rm', 'old');

  const refused = await late.infinit('cluster', 'join', token, cluster.address);
  assert.equal(refused.code, 4);
  assert.match(refused.err, /trash of this host holds volumes \("old"\)/);
  assert.match((await late.infinit('cluster', 'leave')).err, /bad-argument: this host belongs to no cluster/);

  // Nobody answers there: it would go on trying.
  const nobody = `127.0.0.1:${await freePort()}`;
  const joining = late.infinit('cluster', 'join', '--force', token, nobody);
  while ((await late.client.status()).outside?.includes(nobody) !== true) await new Promise((resolve) => setTimeout(resolve, 50));
  const takenBack = await late.infinit('cluster', 'leave');
  assert.match(takenBack.err, /alone again/);
  assert.match((await joining).err, /cancelled: the join was taken back/);
  await late.client.restoreVolume('old');
  const place = await late.client.mountVolume('old', 'test');
  assert.equal(await sh(`cat ${place}/f; echo works > ${place}/g; cat ${place}/g`), 'mine\nworks\n');
  await late.client.unmountVolume('old', 'test');
  await late.says('volume', 'rm', 'old');

  await late.says('cluster', 'join', '--force', token, cluster.address);
  await cluster.settled([first, cluster.hosts[1]!, late]);
  const stores = await late.infinit('cluster', 'leave');
  assert.equal(stores.code, 4);
  assert.match(stores.err, /stores blocks: drain it first/);
  await late.says('node', 'drain', 'late');
  assert.equal(await late.says('cluster', 'leave'), 'left');
  assert.doesNotMatch(await first.says('node', 'ls'), /late/);
  await late.stop();
  await late.restart();
  const { outside } = await late.client.status();
  assert.equal(outside, 'this host has left the cluster');
  await cluster.settled(cluster.hosts);
  await first.client.createVolume('data');
  const lines = (await first.says('node', 'ls', '-q')).split('\n');
  assert.equal(lines.length, 2);
  await writeFile(path.join(directory, 'again'), await sh(`cat ${token}`), { mode: 0o600 });
  const again = await late.infinit('cluster', 'join', path.join(directory, 'again'), cluster.address);
  assert.match(again.err, /has left the cluster/);
});
