import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { ControlClient } from '../../src/api/index.ts';

test('at the first start of a host neither the holder, nor the daemon, nor the thread of a volume strips types, also where the host founds a cluster', async () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-compiled-'));
  const at = (name: string): string => path.join(directory, name);
  const places = { STATE_DIR: at('state'), MOUNT_DIR: at('volumes'), CONTROL_SOCKET: at('control.sock') };
  const settings = { ...places, PLUGIN_SOCKET: at('plugin.sock'), DOCKER_SOCKET: 'none', LISTEN: '127.0.0.1:0' };
  const child = spawn(path.resolve(import.meta.dirname, '../../src/cli/infinit.sh'), ['daemon'], {
    env: {
      ...process.env,
      ...Object.fromEntries(Object.entries(settings).map(([name, value]) => [`INFINIT_${name}`, value])),
      NODE_COMPILE_CACHE: at('cache'),
      NODE_DEBUG_NATIVE: 'COMPILE_CACHE',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  /** What each process, and thread, said of its cache, in the order of their starts. */
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
    const client = new ControlClient(at('control.sock'));
    while (child.exitCode === null && !(await client.status().then(Boolean, () => false))) await sleep(100);
    await client.initCluster();
    await client.createVolume('data', {});
    await client.mountVolume('data', 'test');
    await client.unmountVolume('data', 'test');
  } finally {
    child.kill();
    await new Promise((resolve) => child.once('exit', resolve));
    rmSync(directory, { recursive: true, force: true });
  }
  assert.equal(said.filter((each) => each === 'begins').length, 4, 'the command, the holder, the daemon, the thread');
  assert.deepEqual(
    said.slice(said.indexOf('begins', 1)).filter((each) => each !== 'begins'),
    [],
  );
});
