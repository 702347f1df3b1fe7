import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { assembleRootfs } from '../../plugin/managed-rootfs.ts';
import { ControlClient } from '../../src/api/index.ts';
import { buildAddon } from '../../src/fuse/native/index.ts';

const projectRoot = path.resolve(import.meta.dirname, '../..');

/** What each process, and thread, of a daemon said of its cache, in the order of their starts; the daemon is stopped. */
async function saidOfCache(command: string, args: readonly string[], env: NodeJS.ProcessEnv, controlSocket: string): Promise<readonly string[]> {
  const child = spawn(command, args, { env: { ...env, NODE_DEBUG_NATIVE: 'COMPILE_CACHE' }, stdio: ['ignore', 'pipe', 'pipe'] });
  const said: string[] = [];
  let line = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      const lines = (line + text).split('\n');
      line = lines.pop()!;
      for (const each of lines)
        if (/resolved path/.test(each)) said.push('begins');
        else if (/saving transpilation/.test(each)) said.push(/file:\S+/.exec(each)![0]);
    });
  try {
    const client = new ControlClient(controlSocket);
    while (child.exitCode === null && !(await client.status().then(Boolean, () => false))) await sleep(100);
    await client.initCluster();
    await client.createVolume('data', {});
    await client.mountVolume('data', 'test');
    await client.unmountVolume('data', 'test');
  } finally {
    child.kill();
    await new Promise((resolve) => child.once('exit', resolve));
  }
  assert.equal(said.filter((each) => each === 'begins').length, 4, 'the command, the holder, the daemon, the thread');
  return said;
}

function temporaryDirectory(): Disposable & { at(name: string): string } {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-compiled-'));
  return { at: (name) => path.join(directory, name), [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }) };
}

test('at the first start of a host neither the holder, nor the daemon, nor the thread of a volume strips types, also where the host founds a cluster', async () => {
  using directory = temporaryDirectory();
  const { at } = directory;
  const places = { STATE_DIR: at('state'), MOUNT_DIR: at('volumes'), CONTROL_SOCKET: at('control.sock') };
  const settings = { ...places, PLUGIN_SOCKET: at('plugin.sock'), DOCKER_SOCKET: 'none', LISTEN: '127.0.0.1:0' };
  const env = {
    ...process.env,
    ...Object.fromEntries(Object.entries(settings).map(([name, value]) => [`INFINIT_${name}`, value])),
    NODE_COMPILE_CACHE: at('cache'),
  };
  const said = await saidOfCache(path.join(projectRoot, 'src/cli/infinit.sh'), ['daemon'], env, at('control.sock'));
  assert.deepEqual(
    said.slice(said.indexOf('begins', 1)).filter((each) => each !== 'begins'),
    [],
  );
});

test('the managed plugin strips no types at all, not even at its first start', async () => {
  using directory = temporaryDirectory();
  const root = directory.at('rootfs');
  buildAddon();
  assembleRootfs({ projectRoot, target: root, nodeBinary: process.execPath });
  const config = JSON.parse(readFileSync(path.join(projectRoot, 'config.json'), 'utf8')) as {
    readonly entrypoint: readonly string[];
    readonly env: readonly { readonly name: string; readonly value?: string }[];
  };
  const env = {
    PATH: process.env['PATH'],
    ...Object.fromEntries(config.env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]]))),
    INFINIT_LISTEN: '127.0.0.1:0',
  };
  const script = 'mount -t proc none "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"';
  // As the engine does it: in a mount namespace of its own, with the host's processes.
  const args = ['--mount', '--propagation', 'private', 'sh', '-c', script, root, ...config.entrypoint];
  const said = await saidOfCache('unshare', args, env, path.join(root, 'var/lib/infinit/control.sock'));
  assert.deepEqual(
    said.filter((each) => each !== 'begins'),
    [],
  );
});
