import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { eventually } from '../docker/process.ts';
import { freePort } from '../suites/free-port.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import { DaemonProcess } from './daemon-process.ts';

/** A cluster of one host that has a volume, and a directory for another. */
async function clusterWithVolume(stack: AsyncDisposableStack): Promise<{ first: DaemonProcess; directory: string }> {
  const cluster = stack.use(await ClusterProcesses.start(1));
  const [first] = cluster.hosts as [DaemonProcess];
  await first.client.createVolume('data');
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-joining-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  return { first, directory };
}

test('a host that nobody lets in says that it is no member, lists no volumes, and is let in once it knows an address', async () => {
  await using stack = new AsyncDisposableStack();
  const { first, directory } = await clusterWithVolume(stack);
  const token = path.join(directory, 'token');
  const { text } = await first.client.createToken();
  await writeFile(token, text, { mode: 0o600 });
  const nobody = `127.0.0.1:${await freePort()}`;
  const listen = `127.0.0.1:${await freePort()}`;
  const flags = ['--listen', listen, '--name', 'late', '--join', nobody, '--token', token, '--discover', 'none'];
  const late = stack.use(await DaemonProcess.start(path.join(directory, 'late'), flags));

  const { health, hosts } = await late.client.clusterStatus();
  assert.equal(health.state, 'UNAVAILABLE');
  assert.match(health.reasons[0]!, /^this host is no member of its cluster: /);
  assert.equal(hosts[0]!.volumes, 0);
  await assert.rejects(late.client.listVolumes(), { code: 'unavailable', message: /no member of its cluster/ });
  await eventually('it says whom it cannot reach', async () => (await late.client.status()).outside?.includes(nobody) === true);

  await late.client.joinCluster([(await first.client.listNodes())[0]!.address], text);
  assert.equal((await late.client.status()).outside, undefined);
  assert.deepEqual(
    (await late.client.listVolumes()).map(({ name }) => name),
    ['data'],
  );
});

test('a host that is expelled says so, also after a restart, and refuses work with that reason', async () => {
  await using cluster = await ClusterProcesses.start(3);
  const [h0, , h2] = cluster.hosts as [DaemonProcess, DaemonProcess, DaemonProcess];
  await h0.client.createVolume('data');
  await h0.client.removeNode('h2');
  const saysSo = async (): Promise<void> => {
    const { health, hosts } = await h2.client.clusterStatus();
    assert.equal(health.state, 'UNAVAILABLE');
    assert.match(hosts[0]!.outside!, /was expelled/);
    for (const work of [() => h2.client.createVolume('more'), () => h2.client.mountVolume('data', 'test')])
      await assert.rejects(work, { code: 'unavailable', message: /was expelled/ });
  };
  await eventually('it is told', async () => (await h2.client.status()).outside !== undefined);
  await saysSo();
  assert.match(h2.log, /error .*expelled from the cluster/);
  await h2.stop();
  await h2.restart();
  await saysSo();
});

test('a host that did more while it was alone than its cluster ever did sees the cluster’s volumes once it has joined', async () => {
  await using stack = new AsyncDisposableStack();
  const { first, directory } = await clusterWithVolume(stack);
  const late = stack.use(
    await DaemonProcess.start(path.join(directory, 'late'), ['--listen', `127.0.0.1:${await freePort()}`, '--name', 'late', '--discover', 'none']),
  );
  for (let index = 0; index < 12; index++) {
    await late.client.createVolume(`own${index}`);
    await late.client.removeVolume(`own${index}`);
  }
  const { text } = await first.client.createToken();
  await late.client.joinCluster([(await first.client.listNodes())[0]!.address], text, { force: true });
  assert.deepEqual(
    (await late.client.listVolumes()).map(({ name }) => name),
    ['data'],
  );
});
