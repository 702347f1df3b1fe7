import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { containerMounts, deadInContainers } from '../../src/cli/container-mounts.ts';

test('containers whose volumes are dead are named, each once in the advice; the host and services are not', async () => {
  const proc = mkdtempSync(path.join(tmpdir(), 'infinit-proc-'));
  const processOf = (pid: number, namespace: string, cgroup: string, mounts: string): void => {
    const directory = path.join(proc, String(pid));
    mkdirSync(path.join(directory, 'ns'), { recursive: true });
    symlinkSync(namespace, path.join(directory, 'ns/mnt'));
    writeFileSync(path.join(directory, 'cgroup'), cgroup);
    writeFileSync(path.join(directory, 'mountinfo'), mounts);
  };
  try {
    const [web, db] = ['a'.repeat(64), 'b'.repeat(64)];
    processOf(1, 'mnt:[1]', '0::/init.scope\n', '30 1 0:51 / /run/volumes/data rw - fuse.infinit data rw\n');
    processOf(
      20,
      'mnt:[2]',
      `0::/system.slice/docker-${web}.scope\n`,
      '31 1 0:51 / /d rw - fuse.infinit data rw\n32 1 0:52 / /my\\040logs rw - fuse.infinit logs rw\n',
    );
    processOf(21, 'mnt:[2]', `0::/system.slice/docker-${web}.scope\n`, '31 1 0:51 / /d rw - fuse.infinit data rw\n');
    processOf(30, 'mnt:[3]', `4:memory:/docker/${db}\n`, '33 1 0:53 / /db rw - fuse.infinit db rw\n34 1 0:54 / /proc rw - proc proc rw\n');
    mkdirSync(path.join(proc, '40'));
    const mounts = await containerMounts(
      [
        { id: web, name: 'web' },
        { id: db, name: 'db' },
      ],
      proc,
    );
    assert.deepEqual(
      mounts.map(({ path: there, ...mount }) => ({ ...mount, there: path.relative(proc, there) })),
      [
        { container: 'web', place: '/d', there: '20/root/d' },
        { container: 'web', place: '/my logs', there: '20/root/my logs' },
        { container: 'db', place: '/db', there: '30/root/db' },
      ],
    );
    assert.deepEqual(deadInContainers(mounts, ['live', 'silent', 'live'], true), []);
    const [finding, ...more] = deadInContainers(mounts, ['dead', 'dead', 'live'], true);
    assert.equal(more.length, 0);
    assert.equal(finding!.finding, 'dead in containers: /d in web, /my logs in web');
    assert.equal(finding!.advice, '`docker restart web`');
    assert.equal(deadInContainers(mounts, ['dead', 'live', 'live'], false)[0]!.advice, 'once the daemon runs: `docker restart web`');
  } finally {
    rmSync(proc, { recursive: true });
  }
});
