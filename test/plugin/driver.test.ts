import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';

import { Driver } from '../../plugin/driver.ts';
import { silentLogger } from '../../src/base/index.ts';
import { servePlugin } from './calls.ts';
import { MemoryVolumes } from './memory-volumes.ts';

const never = new AbortController().signal;

async function untilTrue(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !condition(); i++) await sleep(10);
  assert.ok(condition());
}

test('the same mount twice is one, and unmounting what is not mounted is fine', async () => {
  const volumes = new MemoryVolumes();
  const driver = new Driver(volumes, silentLogger);
  await driver.create('v', null);
  for (let i = 0; i < 2; i++) assert.equal(await driver.mount('v', 'one', never), '/mounts/v');
  assert.deepEqual([...volumes.volumes.get('v')!.holders], ['docker:one']);
  for (let i = 0; i < 2; i++) await driver.unmount('v', 'one');
  await driver.unmount('gone', 'one');
  assert.equal(driver.path('v'), '');
});

test('a mount that takes too long fails within the deadline and is taken back', async () => {
  const volumes = new MemoryVolumes();
  const driver = new Driver(volumes, silentLogger, { mountDeadlineMs: 50 });
  await driver.create('v', null);
  volumes.mountDelay = () => sleep(200);
  await assert.rejects(driver.mount('v', 'one', never), { code: 'deadline-exceeded', message: /"v" took too long/ });
  await untilTrue(() => volumes.calls.includes('unmount v docker:one'));
  assert.equal(driver.path('v'), '');
});

test('a mount that nobody waits for any more is taken back before the next one begins', async () => {
  await using plugin = await servePlugin();
  const { volumes } = plugin;
  await plugin.call('VolumeDriver.Create', { Name: 'v' });
  const release = Promise.withResolvers<void>();
  let aborted = false;
  volumes.mountDelay = async (signal) => {
    signal?.addEventListener('abort', () => (aborted = true));
    await release.promise;
  };
  const client = new AbortController();
  const first = plugin.call('VolumeDriver.Mount', { Name: 'v', ID: 'one' }, client.signal).catch(() => 'left');
  await untilTrue(() => volumes.calls.includes('mount v docker:one'));
  client.abort();
  assert.equal(await first, 'left');
  await untilTrue(() => aborted);
  volumes.mountDelay = async () => {};
  const again = plugin.call('VolumeDriver.Mount', { Name: 'v', ID: 'one' });
  await sleep(30);
  release.resolve();
  assert.notEqual(await again, 'hung up');
  assert.deepEqual(volumes.calls, ['create v', 'mount v docker:one', 'unmount v docker:one', 'mount v docker:one']);
  assert.deepEqual([...volumes.volumes.get('v')!.holders], ['docker:one']);
});

test('taking a mount back leaves the hold that a running container had under the same ID', async () => {
  const volumes = new MemoryVolumes();
  const driver = new Driver(volumes, silentLogger);
  await driver.create('v', null);
  await driver.mount('v', 'one', never);
  const client = new AbortController();
  volumes.mountDelay = async () => client.abort(new Error('hung up'));
  await assert.rejects(driver.mount('v', 'one', client.signal), { code: 'cancelled' });
  assert.deepEqual([...volumes.volumes.get('v')!.holders], ['docker:one']);
});

test('a removal drops mounts that a crash of the engine left over, but not those of people', async () => {
  const volumes = new MemoryVolumes();
  const driver = new Driver(volumes, silentLogger);
  await driver.create('v', null);
  await driver.mount('v', 'left over', never);
  await volumes.mount('v', 'shell of root');
  await assert.rejects(driver.remove('v', never), { code: 'in-use', message: /held by shell of root/ });
  await volumes.unmount('v', 'shell of root');
  await driver.remove('v', never);
  assert.equal(await driver.get('v'), undefined);
});

test('calls that change one volume run one at a time, in order', async () => {
  const volumes = new MemoryVolumes();
  const driver = new Driver(volumes, silentLogger);
  await driver.create('v', null);
  volumes.mountDelay = () => sleep(20);
  await Promise.all([driver.mount('v', 'a', never), driver.unmount('v', 'a'), driver.mount('v', 'b', never), driver.unmount('v', 'b')]);
  assert.deepEqual(volumes.calls.slice(1), ['mount v docker:a', 'unmount v docker:a', 'mount v docker:b', 'unmount v docker:b']);
});

test('a creation that has to wait is answered before the engine gives up, and goes on', async () => {
  const volumes = new MemoryVolumes();
  const driver = new Driver(volumes, silentLogger, { mountDeadlineMs: 50, answerDeadlineMs: 20 });
  await driver.create('v', null);
  const release = Promise.withResolvers<void>();
  volumes.mountDelay = () => release.promise;
  // What was given up keeps its turn until it has ended.
  const mounted = driver.mount('v', 'one', never);
  await assert.rejects(mounted, { code: 'deadline-exceeded' });
  await assert.rejects(driver.create('v', null), { code: 'deadline-exceeded', message: /creating "v" takes long and goes on/ });
  release.resolve();
  await untilTrue(() => volumes.calls.filter((call) => call === 'create v').length === 2);
});

test('an unmount or removal that has to wait is answered before the engine gives up, and goes on', async () => {
  const volumes = new MemoryVolumes();
  const driver = new Driver(volumes, silentLogger, { answerDeadlineMs: 50 });
  await driver.create('v', null);
  await driver.mount('v', 'one', never);
  const release = Promise.withResolvers<void>();
  volumes.mountDelay = () => release.promise;
  const mounted = driver.mount('v', 'two', never);
  await assert.rejects(driver.unmount('v', 'one'), { code: 'deadline-exceeded', message: /unmounting "v" takes long and goes on/ });
  await assert.rejects(driver.remove('v', never), { code: 'deadline-exceeded', message: /removing "v" takes long and goes on/ });
  release.resolve();
  await mounted;
  await untilTrue(() => !volumes.volumes.has('v'));
  assert.ok(volumes.calls.includes('unmount v docker:one'));
});
