import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { startPlugin } from '../../plugin/index.ts';
import { PluginSocket } from '../../plugin/socket/index.ts';
import { silentLogger } from '../../src/base/index.ts';
import { post } from './calls.ts';
import { MemoryVolumes } from './memory-volumes.ts';

function temporaryDirectory(t: TestContext): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'infinit-plugin-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

async function start(socketPath: string): Promise<PluginSocket> {
  const socket = await PluginSocket.open(socketPath, silentLogger);
  startPlugin({ socket, volumes: new MemoryVolumes(), logger: silentLogger });
  return socket;
}

test('calls that come before the plugin is there wait for it', async (t) => {
  const socketPath = path.join(temporaryDirectory(t), 'infinit.sock');
  await using socket = await PluginSocket.open(socketPath, silentLogger);
  const answers: unknown[] = [];
  const calls = ['Plugin.Activate', 'VolumeDriver.List'].map(async (name) => answers.push(await post(socketPath, name, '')));
  const given = new AbortController();
  const givenUp = post(socketPath, 'VolumeDriver.List', '', given.signal);
  await sleep(50);
  given.abort();
  await assert.rejects(givenUp);
  assert.deepEqual(answers, []);
  startPlugin({ socket, volumes: new MemoryVolumes(), logger: silentLogger });
  await Promise.all(calls);
  assert.deepEqual(
    answers.map((answer) => (answer as { body: unknown }).body),
    [{ Implements: ['VolumeDriver'] }, { Volumes: [], Err: '' }],
  );
});

test('where no plugin ever comes, calls are hung up on with the socket', async (t) => {
  const socketPath = path.join(temporaryDirectory(t), 'infinit.sock');
  const socket = await PluginSocket.open(socketPath, silentLogger);
  const call = post(socketPath, 'VolumeDriver.List', '');
  await sleep(50);
  await socket[Symbol.asyncDispose]();
  assert.equal(await call, 'hung up');
  assert.equal(existsSync(socketPath), false);
});

test('the socket is made with its directories, is for root only, and goes away with the plugin', async (t) => {
  const socketPath = path.join(temporaryDirectory(t), 'run/docker/plugins/infinit.sock');
  {
    await using _plugin = await start(socketPath);
    assert.equal(statSync(socketPath).mode & 0o777, 0o600);
    assert.notEqual(await post(socketPath, 'Plugin.Activate', ''), 'hung up');
  }
  assert.equal(existsSync(socketPath), false);
});

test('the socket of a daemon that was killed is taken over', async (t) => {
  const socketPath = path.join(temporaryDirectory(t), 'infinit.sock');
  const script = `require('node:net').createServer().listen(process.argv[1], () => process.stdout.write('up'))`;
  const dead = spawn(process.execPath, ['-e', script, socketPath], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(dead.stdout, 'data');
  dead.kill('SIGKILL');
  await once(dead, 'exit');
  assert.equal(existsSync(socketPath), true);
  await using _plugin = await start(socketPath);
  assert.notEqual(await post(socketPath, 'Plugin.Activate', ''), 'hung up');
});

test('the socket of a living daemon is left alone', async (t) => {
  const socketPath = path.join(temporaryDirectory(t), 'infinit.sock');
  await using _first = await start(socketPath);
  await assert.rejects(start(socketPath), { code: 'locked', message: /another daemon answers/ });
  assert.notEqual(await post(socketPath, 'Plugin.Activate', ''), 'hung up');
});

test('a path that cannot be a socket is refused, and what lies there stays', async (t) => {
  const dir = temporaryDirectory(t);
  const file = path.join(dir, 'infinit.sock');
  writeFileSync(file, 'precious');
  await assert.rejects(start(file), { code: 'bad-argument', message: /is not a socket/ });
  assert.equal(statSync(file).size, 8);
  await assert.rejects(start(path.join(dir, 'x'.repeat(120))), { code: 'bad-argument', message: /more than 107 bytes/ });
});
