import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { eventually } from '../docker/process.ts';
import { DaemonProcess } from './daemon-process.ts';
import { Postgres, sh } from './programs.ts';

async function startDaemon(): Promise<DaemonProcess> {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-one-'));
  // Programs of other users come by on their way to the mount.
  await chmod(directory, 0o711);
  return DaemonProcess.start(directory);
}

test('what was written is there after unmount, restart of the daemon and remount', async () => {
  await using daemon = await startDaemon();
  const first = await daemon.mount('data');
  await sh('echo hello > f; mkdir -p a/b; head -c 3000000 /dev/urandom > a/b/big; sha256sum a/b/big > sum; ln -s f link; mkfifo pipe; chmod 600 f', {
    cwd: first,
  });
  await daemon.stop();
  await daemon.restart();
  const again = await daemon.mount('data');
  assert.equal(await sh('cat link; sha256sum -c sum >/dev/null && stat -c %a f; ls -A', { cwd: again }), 'hello\n600\na\nf\nlink\npipe\nsum\n');
});

test('several readers of more than any cache holds get what was written, under writes and afterwards', async () => {
  await using daemon = await startDaemon();
  const place = await daemon.mount('data');
  await sh('for i in 1 2 3 4 5 6; do head -c 24000000 /dev/urandom > f$i; done; sha256sum f* > sum; sync f* sum', { cwd: place });
  // Past the kernel's cache: each read is the daemon's.
  const readers = ['', '-r', '-R'].map((order) =>
    sh(`for i in $(seq 6 | sort ${order}); do dd if=f$i iflag=direct bs=1M 2>/dev/null | sha256sum | cut -d' ' -f1 | grep -qf - sum; done`, {
      cwd: place,
    }),
  );
  await Promise.all([...readers, sh('for i in 1 2 3; do head -c 24000000 /dev/urandom > other; sync other; done', { cwd: place })]);
  await daemon.stop();
  await daemon.restart();
  assert.doesNotMatch(await sh('sha256sum -c sum', { cwd: await daemon.mount('data') }), /FAILED/);
});

test('an open file goes on after kill -9 of the daemon, and no dead mount stays behind', async () => {
  await using daemon = await startDaemon();
  const place = await daemon.mount('data');
  // What was in the dead daemon's memory alone is lost, and the first sync says so; the second finds all in order.
  const script =
    'exec 3> log; sync log; i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo line $i >&3; sleep 0.05; done; sync log 2>/dev/null || true; echo end >&3; sync log; wc -l < log';
  const writer = sh(script, { cwd: place });
  await new Promise((resolve) => setTimeout(resolve, 500));
  await daemon.crash();
  assert.equal((await writer).trim(), '61');
  assert.equal((await sh('tail -1 log', { cwd: place })).trim(), 'end');
});

test('a daemon that is stopped while it mounts again what was mounted leaves no dead mount', async () => {
  await using daemon = await startDaemon();
  await daemon.mount('data');
  await daemon.kill();
  await daemon.restart();
  await daemon.stop();
  assert.ok(!readFileSync('/proc/self/mounts', 'utf8').includes(` ${path.join(daemon.mountDir, 'data')} `));
});

test('a directory of volume mount is dead after a stop, takes no writes beneath it, and shows the volume again after the next start', async () => {
  await using daemon = await startDaemon();
  await daemon.client.createVolume('data', {});
  const bound = path.join(daemon.directory, 'bound');
  await daemon.says('volume', 'mount', 'data', bound);
  await sh('echo kept > f; sync f', { cwd: bound });
  await daemon.stop();
  await assert.rejects(sh(`echo lost > ${bound}/g`), /not connected/);
  await daemon.restart();
  await eventually('it is bound again', () => (/shows the volume again/.test(daemon.log) ? true : undefined));
  assert.equal(await sh('ls; cat f', { cwd: bound }), 'f\nkept\n');
  await daemon.says('volume', 'unmount', 'data', bound);
  assert.doesNotMatch(readFileSync('/proc/self/mounts', 'utf8'), new RegExp(` ${bound} `));
});

test('SQLite loses no committed transaction when the daemon is killed again and again', async () => {
  await using daemon = await startDaemon();
  const place = await daemon.mount('data');
  const database = path.join(place, 'test.db');
  await sh(`sqlite3 ${database} 'PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(n INTEGER PRIMARY KEY)'`);
  let committed = 0;
  let stop = false;
  const writer = (async () => {
    while (!stop) {
      const next = committed + 1;
      // A failed commit (EIO after a crash) may or may not have taken effect: it is put in again.
      const ok = await sh(`sqlite3 ${database} 'PRAGMA synchronous=FULL; INSERT OR IGNORE INTO t VALUES(${next})'`).then(
        () => true,
        () => false,
      );
      if (ok) committed = next;
    }
  })();
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => setTimeout(resolve, 700));
    await daemon.crash();
  }
  await new Promise((resolve) => setTimeout(resolve, 700));
  stop = true;
  await writer;
  assert.ok(committed > 3, `only ${committed} commits`);
  assert.equal((await sh(`sqlite3 ${database} 'PRAGMA integrity_check; SELECT count(*), max(n) FROM t'`)).trim(), `ok\n${committed}|${committed}`);
});

test('PostgreSQL runs on a volume and loses no committed transaction when the daemon is killed again and again', async () => {
  await using daemon = await startDaemon();
  const place = await daemon.mount('data');
  await using postgres = await Postgres.create(path.join(place, 'pg'), path.join(daemon.directory, 'sockets'));
  await postgres.query('CREATE TABLE t(writer int, n int, PRIMARY KEY (writer, n))');
  // Of each writer, how many of its transactions are known to be committed.
  const committed = [0, 0, 0];
  let stop = false;
  const write = async (writer: number): Promise<void> => {
    while (!stop) {
      const ok = await postgres.query(`INSERT INTO t VALUES(${writer}, ${committed[writer]! + 1}) ON CONFLICT DO NOTHING`).then(
        () => true,
        () => false,
      );
      if (ok) committed[writer]!++;
      else await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const writing = Promise.all(committed.keys().map(write));
  // A server that met a lost write stops itself, as it should; its own recovery then finds every commit.
  const progress = async (): Promise<void> => {
    const before = [...committed];
    const done = eventually('every writer commits', async () => {
      if (!postgres.running) await postgres.start();
      return committed.every((count, writer) => count > before[writer]! + 3) ? true : undefined;
    });
    // Nobody would end the writers otherwise.
    await done.finally(() => (stop ||= !committed.every((count, writer) => count > before[writer]!)));
  };
  for (let round = 0; round < 3; round++) {
    await progress();
    await daemon.crash();
  }
  await progress();
  stop = true;
  await writing;
  await eventually('the server has recovered', async () => {
    if (!postgres.running) await postgres.start();
    return postgres.query('SELECT 1').then(
      () => true,
      () => undefined,
    );
  });
  const rows = (await postgres.query('SELECT count(*), max(n) FROM t GROUP BY writer ORDER BY writer')).trim().split('\n');
  for (const [writer, row] of rows.entries()) {
    const [count, last] = row.split('|').map(Number) as [number, number];
    // The last one may have been committed without its writer learning of it.
    assert.ok(count === last && last - committed[writer]! <= 1 && last >= committed[writer]!, `writer ${writer}: ${row}, ${committed[writer]} known`);
  }
  assert.equal(rows.length, committed.length);
});

test('git clones, commits, collects and finds nothing wrong', async () => {
  await using daemon = await startDaemon();
  const place = await daemon.mount('data');
  await sh(
    'git clone -q --no-hardlinks "$OLDPWD" repo 2>/dev/null || git clone -q ' +
      process.cwd() +
      ' repo; cd repo; echo x > new; git add new; git -c user.name=t -c user.email=t@example.invalid commit -qm new; git gc -q; git fsck --full --strict',
    { cwd: place },
  );
  assert.equal((await sh('git -C repo status --porcelain | wc -l', { cwd: place })).trim(), '0');
});

test('fifty volumes are mounted at once, and after holder and daemon were killed again, and each keeps its own files', async () => {
  await using daemon = await startDaemon();
  const names = Array.from({ length: 50 }, (_, index) => `volume-${index}`);
  const places = await Promise.all(names.map((name) => daemon.mount(name)));
  await Promise.all(places.map((place, index) => sh(`echo ${index} > f; sync f`, { cwd: place })));
  await daemon.kill();
  await daemon.restart();
  for (const [index, name] of names.entries()) assert.equal((await sh('cat f', { cwd: await daemon.mount(name) })).trim(), String(index));
});

test('a volume in use is not removed, and the message says by whom', async () => {
  await using daemon = await startDaemon();
  const place = await daemon.mount('data');
  await assert.rejects(daemon.client.removeVolume('data'), { code: 'in-use', message: /in use on .* by test/ });
  const user = spawn('sleep', ['30'], { cwd: place, stdio: 'ignore' });
  await daemon.client.unmountVolume('data', 'test');
  await assert.rejects(daemon.client.removeVolume('data'), { code: 'in-use' });
  const gone = new Promise((resolve) => user.once('exit', resolve));
  user.kill('SIGKILL');
  await gone;
  await daemon.client.removeVolume('data');
  assert.deepEqual(await daemon.client.listVolumes(), []);
});
