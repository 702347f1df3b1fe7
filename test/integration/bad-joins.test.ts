import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';

import { eventually } from '../docker/process.ts';
import { freePort } from '../suites/free-port.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

const main = path.resolve(import.meta.dirname, '../../src/cli/main.ts');
suite('hosts that join in a wrong way', { timeout: 300_000 }, () => {
  let cluster: ClusterProcesses;
  let h0: DaemonProcess;
  let h1: DaemonProcess;
  let directory: string;
  const stack = new AsyncDisposableStack();
  const file = async (name: string, text: string): Promise<string> => {
    const target = path.join(directory, name);
    await writeFile(target, text, { mode: 0o600 });
    return target;
  };

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'infinit-bad-joins-'));
    stack.defer(() => rm(directory, { recursive: true, force: true }));
    cluster = stack.use(await ClusterProcesses.start(2));
    [h0, h1] = cluster.hosts as [DaemonProcess, DaemonProcess];
  });
  after(() => stack.disposeAsync());

  test('what is no token is refused by the command, and the host is alone and well afterwards', async () => {
    const late = stack.use(await DaemonProcess.start(path.join(directory, 'late'), ['--listen', `127.0.0.1:${await freePort()}`]));
    const { text } = await h0.client.createToken();
    for (const [name, content] of [
      ['empty', ''],
      ['garbage', 'let me in'],
      ['cut', text.slice(0, -20)],
      ['changed', text.slice(0, -30) + (text.at(-30) === 'A' ? 'B' : 'A') + text.slice(-29)],
    ] as const) {
      const { code, err } = await late.infinit('cluster', 'join', await file(name, content), cluster.address);
      assert.notEqual(code, 0, name);
      assert.match(err, /^infinit: (bad-argument|denied): .*token/, name);
      assert.ok(!err.includes(text.slice(20, 60)), 'the secret is not repeated');
    }
    assert.equal((await late.client.clusterStatus()).clusterId, undefined);
    await late.client.createVolume('own');
  });

  test('a daemon with a wrong INFINIT_TOKEN does not start, says why, and repeats no secret', async () => {
    const { text } = await h0.client.createToken();
    for (const [token, why] of [
      [await file('nonsense', 'let me in'), /bad-argument: .*nonsense/],
      [path.join(directory, 'nowhere'), /bad-argument: cannot read the token file .*nowhere.*infinit cluster token create/],
      [text, /bad-argument: the token itself was given in place of a file/],
    ] as const) {
      const said = await endOfDaemon(path.join(directory, 'never'), { INFINIT_TOKEN: token, INFINIT_JOIN: cluster.address });
      assert.match(said, why);
      assert.ok(!said.includes(text.slice(20, 60)), 'the secret is not repeated');
    }
  });

  test('a host that was refused with one token and joins by another stays when the first is revoked with its hosts', async () => {
    const first = await h0.client.createToken({ uses: 2 });
    assert.equal((await h0.infinit('cluster', 'token', 'revoke', first.id, '--yes')).code, 0);
    const flags = ['--listen', `127.0.0.1:${await freePort()}`, '--name', 'second', '--join', cluster.address, '--discover', 'none'];
    const refused = await file('refused', first.text);
    const host = stack.use(await DaemonProcess.start(path.join(directory, 'second'), [...flags, '--token', refused]));
    await eventually('it is refused', async () => /was revoked/.test((await host.client.status()).outside ?? ''));
    const good = await h0.client.createToken();
    await host.client.joinCluster([cluster.address], good.text);
    const usersOf = async (at: DaemonProcess, token: string): Promise<readonly string[] | undefined> =>
      (await at.client.listTokens()).find(({ id }) => id === token)?.hosts;
    for (const at of [h0, h1]) await eventually('the token that it came by is used', async () => (await usersOf(at, good.id))?.join() === 'second');
    await host.stop();
    await host.restart();
    await eventually('it is back', async () => (await host.client.status()).outside === undefined);
    for (const at of [h0, h1, host]) assert.deepEqual((await usersOf(at, first.id)) ?? [], []);
    assert.equal((await h0.infinit('cluster', 'token', 'revoke', first.id, '--hosts', '--unsafe', '--yes')).code, 0);
    assert.ok((await h0.client.listNodes()).some(({ name, state }) => name === 'second' && state === 'up'));
    assert.equal((await h0.infinit('node', 'rm', 'second', '--unsafe', '--yes')).code, 0);
    await host.stop();
  });

  test('--join to the host itself is said, with what to do', async () => {
    const own = `127.0.0.1:${await freePort()}`;
    const token = await file('for-self', (await h0.client.createToken()).text);
    const flags = ['--listen', own, '--join', own, '--token', token, '--discover', 'none'];
    const self = stack.use(await DaemonProcess.start(path.join(directory, 'self'), flags));
    await eventually('it says so', async () => /host itself/.test((await self.client.status()).outside ?? ''));
    assert.match((await self.infinit('doctor')).out, /take this host out of --join/);
    await self.stop();
  });

  test('of two daemons with one state directory the copy says so and serves nothing, and the original serves on', async () => {
    await h0.client.createVolume('data');
    await h1.stop();
    const copied = path.join(directory, 'copy');
    mkdirSync(copied);
    cpSync(path.join(h1.directory, 'state'), path.join(copied, 'state'), { recursive: true });
    await h1.restart();
    await cluster.complete();
    const place = await h1.client.mountVolume('data', 'test');
    await sh(`echo before > ${place}/f; sync ${place}/f`);
    const copy = stack.use(
      await DaemonProcess.start(copied, [
        '--listen',
        `127.0.0.1:${await freePort()}`,
        '--name',
        'copy',
        '--replicas',
        '3',
        '--join',
        cluster.address,
      ]),
    );
    await eventually('it says so', async () => /copied state directory/.test(JSON.stringify(await copy.client.clusterStatus())));
    await eventually('it takes no part', async () => (await copy.client.clusterStatus()).health.state === 'UNAVAILABLE');
    await assert.rejects(copy.client.createVolume('more'), { code: 'unavailable' });
    assert.equal(await sh(`echo after > ${place}/g; sync ${place}/g; cat ${place}/f ${place}/g`), 'before\nafter\n');
    assert.equal((await h1.client.status()).outside, undefined);
    const seen = await h0.client.mountVolume('data', 'test');
    assert.equal(await sh(`cat ${seen}/g`), 'after\n');
  });
});

/** What a daemon says that does not start with this environment. */
async function endOfDaemon(directory: string, environment: Readonly<Record<string, string>>): Promise<string> {
  const at = (name: string): string => path.join(directory, name);
  const places = ['--state-dir', at('state'), '--mount-dir', at('mounts'), '--control-socket', at('control.sock')];
  const words = ['daemon', ...places, '--plugin-socket', 'none', '--docker-socket', 'none', '--listen', `127.0.0.1:${await freePort()}`];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [main, ...words], { timeout: 30_000, env: { ...process.env, ...environment } }, (error, out, err) => {
      if (error === null || error.killed === true) reject(new Error(`it started: ${out}${err}`));
      else resolve(out + err);
    });
  });
}
