import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { managedPlugin, remappedRoot } from '../../src/cli/docker-engine.ts';
import { dockerFindings, hiddenVolumes, startAdvice } from '../../src/cli/docker-findings.ts';

test('a local volume of Docker that hides one of the cluster is named; others, and an engine that does not answer, are not', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-engine-'));
  const socketPath = path.join(directory, 'docker.sock');
  let answer = '';
  const engine = createServer((_request, response) => response.end(answer)).listen(socketPath);
  try {
    const volumes = [
      { Name: 'data', Driver: 'local' },
      { Name: 'mine', Driver: 'local' },
      { Name: 'db', Driver: 'infinit' },
    ];
    answer = JSON.stringify({ Volumes: volumes });
    const [found, ...more] = await hiddenVolumes(socketPath, ['data', 'db']);
    assert.equal(more.length, 0);
    assert.match(`${found!.level}: ${found!.finding}`, /^warning: .*hide those of the cluster: data$/);
    assert.deepEqual(await hiddenVolumes(socketPath, ['db']), []);
    for (const odd of ['{"Volumes":null}', 'no JSON']) {
      answer = odd;
      assert.deepEqual(await hiddenVolumes(socketPath, ['data']), []);
    }
    assert.deepEqual(await hiddenVolumes(path.join(directory, 'nobody.sock'), ['data']), []);
  } finally {
    engine.close();
    await rm(directory, { recursive: true });
  }
});

test('doctor looks whether Docker finds the plugin, and never has a second daemon started beside the managed one', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-engine-'));
  const [engineSocket, pluginSocket] = [path.join(directory, 'docker.sock'), path.join(directory, 'infinit.sock')];
  let plugins: readonly object[] = [];
  let sockets: readonly string[] = ['local'];
  const engine = createServer((request, response) =>
    response.end(JSON.stringify(request.url === '/info' ? { Plugins: { Volume: sockets } } : plugins)),
  );
  const plugin = createServer();
  const said = async (socket: string | undefined): Promise<string[]> =>
    (await dockerFindings(engineSocket, socket, await managedPlugin(engineSocket))).map(({ topic, level }) => `${topic} ${level}`);
  const advised = async (): Promise<string> => startAdvice('/run/infinit/control.sock', await managedPlugin(engineSocket));
  try {
    assert.deepEqual(await said(pluginSocket), ['docker warning'], 'there is no engine');
    await new Promise<void>((resolve) => engine.listen(engineSocket, resolve));
    assert.deepEqual(await said(pluginSocket), ['docker ok', 'plugin warning']);
    assert.deepEqual(await said(undefined), ['docker ok', 'plugin warning']);
    assert.match(await advised(), /npm start/);
    await new Promise<void>((resolve) => plugin.listen(pluginSocket, resolve));
    assert.deepEqual(await said(pluginSocket), ['docker ok', 'plugin ok']);
    const settings = {
      Env: ['INFINIT_CONTROL_SOCKET=/var/lib/infinit/control.sock', 'INFINIT_ZONE='],
      Mounts: [{ Name: 'state', Source: '/srv/state', Destination: '/var/lib/infinit' }],
    };
    plugins = [
      { Name: 'other:latest', Enabled: true },
      { Name: 'infinit:latest', Enabled: false, Settings: settings },
    ];
    assert.match(await advised(), /`docker plugin enable infinit`/);
    plugins = [{ Name: 'infinit:latest', Enabled: true, Settings: settings }];
    assert.deepEqual(await said(undefined), ['docker ok', 'plugin ok']);
    sockets = ['infinit', 'local'];
    assert.deepEqual(await said(undefined), ['docker ok', 'plugin error'], "the engine remembers a daemon's socket");
    assert.match(await advised(), /infinit --control-socket \/srv\/state\/control\.sock doctor/);
    assert.match(startAdvice('/srv/state/control.sock', await managedPlugin(engineSocket)), /log/);
  } finally {
    engine.close();
    plugin.close();
    await rm(directory, { recursive: true });
  }
});

test('doctor says who root is in the containers of an engine that maps users, and how volumes are made for it', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-engine-'));
  const engineSocket = path.join(directory, 'docker.sock');
  let info: object = { SecurityOptions: ['name=seccomp,profile=default', 'name=userns'], DockerRootDir: '/var/lib/docker/100000.200000' };
  const engine = createServer((_request, response) => response.end(JSON.stringify(info)));
  await new Promise<void>((resolve) => engine.listen(engineSocket, resolve));
  try {
    const [, found] = await dockerFindings(engineSocket, undefined, undefined);
    assert.match(
      `${found!.level}: ${found!.finding} → ${found!.advice}`,
      /^warning: .* 100000:200000 .*userns-remap.* → .*-o uid=100000 -o gid=200000/,
    );
    for (const other of [{ SecurityOptions: ['name=seccomp'], DockerRootDir: '/srv/1.2' }, { SecurityOptions: null }, {}]) {
      info = other;
      assert.equal(await remappedRoot(engineSocket), undefined);
    }
  } finally {
    engine.close();
    await rm(directory, { recursive: true });
  }
});
