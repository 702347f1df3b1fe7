import assert from 'node:assert/strict';
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { clearStaleMounts, detachMount, listMounts, mountFuse, unmountIdle } from '../../src/fuse/index.ts';
import { parseMountinfo } from '../../src/fuse/mount-table.ts';
import { isMounted, Mounted } from './mounted.ts';

test('a hundred mounts and unmounts leave no mount, no descriptor and no thread', { timeout: 300_000 }, async () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-cycles-'));
  try {
    const child = fork(path.join(import.meta.dirname, 'cycles.ts'), [directory, '100'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const [{ before, after }] = (await once(child, 'message')) as [Record<'before' | 'after', { descriptors: number; threads: number }>];
    await once(child, 'exit');
    assert.equal(child.exitCode, 0);
    // Of the first round something may be ending still.
    assert.ok(after.descriptors <= before.descriptors && after.threads <= before.threads, JSON.stringify({ before, after }));
    assert.ok(!isMounted(directory));
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a daemon that was killed leaves a dead mount, and the next start clears it', async () => {
  // What the kernel has cached of a mount of its own it would show all the same.
  await using mounted = await Mounted.start({ leased: true });
  writeFileSync(mounted.path('file'), 'x');
  const fd = openSync(mounted.path('file'), 'r');
  mounted.child.kill('SIGKILL');
  await once(mounted.child, 'exit');
  assert.throws(() => statSync(mounted.directory), { code: 'ENOTCONN' });
  assert.throws(() => readFileSync(mounted.path('file')), { code: 'ENOTCONN' });
  assert.deepEqual(await clearStaleMounts(mounted.directory, new Set([mounted.connection])), [], 'not one that is served');
  const cleared = await clearStaleMounts(mounted.directory, new Set());
  assert.deepEqual(
    cleared.map(({ mountPoint, connection }) => [mountPoint, connection]),
    [[mounted.directory, mounted.connection]],
  );
  assert.ok(!isMounted(mounted.directory));
  assert.deepEqual(readdirSync(mounted.directory), []);
  assert.throws(() => closeSync(fd), { code: 'ENOTCONN' });
});

test('a mount that nobody serves at all is cleared too, and who waits for it gets an error', async () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-stale-'));
  const mountPoint = path.join(directory, 'with space\\and backslash');
  mkdirSync(mountPoint);
  const mount = await mountFuse({ source: 'never served', mountPoint });
  try {
    assert.deepEqual(await listMounts(directory), [{ mountPoint, source: 'never served', connection: mount.connection }]);
    const waiting = spawn('stat', [mountPoint], { stdio: 'ignore' });
    const exited = once(waiting, 'exit') as Promise<[number | null]>;
    await clearStaleMounts(directory, new Set());
    const [status] = await exited;
    assert.notEqual(status, null);
    assert.deepEqual(await listMounts(directory), []);
  } finally {
    closeSync(mount.fd);
    rmSync(directory, { recursive: true });
  }
});

test('an unmount of what is in use is refused, a detached mount lives on until its last file is closed', async () => {
  await using mounted = await Mounted.start();
  const fd = openSync(mounted.path('file'), 'w+');
  await assert.rejects(unmountIdle(mounted.directory), { code: 'in-use' });
  await detachMount(mounted.directory);
  assert.ok(!isMounted(mounted.directory));
  writeFileSync(fd, 'still served');
  assert.equal(mounted.child.exitCode, null);
  const exited = once(mounted.child, 'exit');
  closeSync(fd);
  assert.deepEqual(await exited, [0, null]);
});

test('a file served to the end leaves nothing behind in the file system', async () => {
  await using mounted = await Mounted.start();
  for (let i = 0; i < 500; i++) writeFileSync(mounted.path(`file-${i}`), 'x');
  for (let i = 0; i < 500; i++) rmSync(mounted.path(`file-${i}`));
  let { inodes, handles } = await mounted.statistics();
  for (let wait = 0; wait < 100 && (inodes > 1 || handles > 0); wait++) ({ inodes, handles } = await mounted.statistics());
  assert.deepEqual({ inodes, handles }, { inodes: 1, handles: 0 }, 'every reference was given back');
});

test('a mount point that does not exist is a clear error', async () => {
  await assert.rejects(mountFuse({ source: 'x', mountPoint: path.join(tmpdir(), 'infinit-no-such') }), { code: 'denied', message: /no-such/ });
});

test('the mount table is read as the kernel writes it', () => {
  const text = `24 1 8:1 / / rw - ext4 /dev/sda1 rw
90 24 0:51 / /mnt/a\\040b rw,relatime shared:7 master:2 - fuse.infinit my\\134volume rw,user_id=0
91 24 0:52 / /mnt/c rw - fuse.other x rw
`;
  assert.deepEqual(parseMountinfo(text), [{ mountPoint: '/mnt/a b', source: 'my\\volume', connection: 51 }]);
});
