import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { eventually } from '../docker/process.ts';
import { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

// Daemons started below then do not ask the kernel for what Linux 6.9 brought.
process.env['INFINIT_AS_BEFORE_LINUX_6_9'] = '1';

/** Our mounts below a directory, as volume and place. */
function mountsBelow(directory: string): readonly string[] {
  const lines = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return lines.flatMap((line) => {
    const [source, place] = line.split(' ');
    return place?.startsWith(`${directory}/`) === true ? [`${source} ${place}`] : [];
  });
}

test('before Linux 6.9 a mount ends with its daemon; it is served anew at the same places, and programs that are started again read on', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-older-'));
  await chmod(directory, 0o711);
  await using daemon = await DaemonProcess.start(directory);
  const place = await daemon.mount('data');
  const bound = path.join(directory, 'bound');
  await daemon.says('volume', 'mount', 'data', bound);
  await sh('echo kept > f; sync f', { cwd: place });
  const before = mountsBelow(directory);
  assert.equal(before.length, 2);
  const program = spawn('sh', ['-c', 'read go; cat other'], { cwd: bound, stdio: ['pipe', 'ignore', 'pipe'] });
  let said = '';
  program.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  await once(program, 'spawn');
  const [pid] = readFileSync(`/proc/${daemon.pid}/task/${daemon.pid}/children`, 'utf8').split(' ');
  process.kill(Number(pid), 'SIGKILL');
  await daemon.answering();
  await eventually('the next daemon has served it', () => (/shows the volume again/.test(daemon.log) ? true : undefined));
  assert.equal(await sh(`cat ${place}/f ${bound}/f`), 'kept\nkept\n');
  assert.deepEqual(new Set(mountsBelow(directory)), new Set(before), 'no dead mount is left');
  program.stdin.end('\n');
  await once(program, 'close');
  assert.match(said, /not connected/, 'who was on the old mount is to be started again');
  await sh('echo more >> f; sync f', { cwd: bound });
  assert.equal(await sh('cat f', { cwd: place }), 'kept\nmore\n');
  assert.match(daemon.log, /cannot hand a mount to another daemon/);
  // The holder gone as well is the same, on every kernel; it is somebody else who starts the next one.
  await daemon.kill();
  daemon.log = '';
  await daemon.restart();
  await eventually('it is served once more', () => (/shows the volume again/.test(daemon.log) ? true : undefined));
  assert.equal(await sh('cat f', { cwd: bound }), 'kept\nmore\n');
  assert.deepEqual(new Set(mountsBelow(directory)), new Set(before));
  await daemon.says('volume', 'unmount', 'data', bound);
});
