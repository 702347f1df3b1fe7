/** The daemon alone is killed, again and again; the machine, the holder and the programs live on. They notice nothing. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat, statfs, symlink, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { ClusterProcesses } from './cluster-processes.ts';
import { DaemonProcess } from './daemon-process.ts';

const mebibyte = 1024 * 1024;

// Between some of the crashes the volume is looked at, past the kernel's memory: what three daemons in a row died over, while they took it over, is left alone, and
// a busy machine may take so long for that.

async function startDaemon(): Promise<DaemonProcess> {
  return DaemonProcess.start(mkdtempSync(path.join(tmpdir(), 'infinit-killed-')));
}

/** One file on the volume, and what it must contain. */
class Twin {
  readonly handle: FileHandle;
  expected = Buffer.alloc(0);

  constructor(handle: FileHandle) {
    this.handle = handle;
  }

  async write(offset: number, data: Buffer): Promise<void> {
    if (offset + data.length > this.expected.length) this.expected = Buffer.concat([this.expected], offset + data.length);
    data.copy(this.expected, offset);
    const { bytesWritten } = await this.handle.write(data, 0, data.length, offset);
    assert.equal(bytesWritten, data.length);
  }

  async truncate(size: number): Promise<void> {
    this.expected = Buffer.concat([this.expected], size);
    await this.handle.truncate(size);
  }

  /** Past the kernel's cache, which the daemon has to fill again. */
  async compare(file: string): Promise<void> {
    const seen = await readFile(file);
    assert.equal(seen.length, this.expected.length);
    assert.ok(seen.equals(this.expected), 'every byte is as it was written');
  }
}

/** Waits for something that a daemon does. */
async function until(what: () => boolean, daemon: DaemonProcess): Promise<void> {
  for (const deadline = performance.now() + 30_000; !what(); await sleep(50)) assert.ok(performance.now() < deadline, daemon.log);
}

function random(limit: number): number {
  return Math.floor(Math.random() * limit);
}

test('what was written and not synced is there after kill -9 of the daemon, in the midst of writes and again and again, and fsync succeeds', async () => {
  await using daemon = await startDaemon();
  const place = await daemon.mount('data');
  const files = await Promise.all(['small', 'random', 'stream'].map(async (name) => new Twin(await open(path.join(place, name), 'w+'))));
  const [small, scattered, stream] = files as [Twin, Twin, Twin];
  let stop = false;
  const writers = [
    async () => {
      await small.write(random(4000), randomBytes(1 + random(300)));
      if (random(10) === 0) await small.truncate(random(4000));
      // The kernel has it: only the size of a file, and what it writes back, is the daemon's.
      await small.handle.datasync().then(
        () => {},
        (error: unknown) => assert.fail(`fsync of what no daemon may lose: ${String(error)}`),
      );
      await sleep(1);
    },
    async () => {
      await scattered.write(random(20 * mebibyte), randomBytes(1 + random(20_000)));
      if (random(200) === 0) await scattered.truncate(random(20 * mebibyte));
    },
    async () => {
      if (stream.expected.length < 96 * mebibyte) await stream.write(stream.expected.length, randomBytes(mebibyte));
      await sleep(20);
    },
  ].map(async (step) => {
    while (!stop) await step();
  });
  for (let round = 0; round < 4; round++) {
    await sleep(300 + random(900));
    if (round % 2 === 1) await statfs(place);
    await daemon.crash();
  }
  stop = true;
  await Promise.all(writers);
  const compare = (): Promise<unknown> =>
    Promise.all(['small', 'random', 'stream'].map((name, index) => files[index]!.compare(path.join(place, name))));
  await compare();
  // What the kernel still had is the daemon's from now on; then it dies, unsynced, and the kernel's pages are dropped.
  await sleep(50);
  await daemon.crash();
  await writeFile('/proc/sys/vm/drop_caches', '1').catch(() => {});
  await compare();
  for (const { handle } of files) {
    await handle.sync();
    await handle.close();
  }
  // With the holder dead as well only what is durable is left.
  await daemon.kill();
  await daemon.restart();
  await daemon.mount('data');
  await compare();
});

test('names, attributes and files without a name are as they were after kill -9 of the daemon', async () => {
  await using daemon = await startDaemon();
  const place = await daemon.mount('data');
  const at = (...names: string[]): string => path.join(place, ...names);
  const nameless = await open(at('nameless'), 'w+');
  await nameless.write('still here');
  const expected = new Map<string, string>();
  let next = 0;
  let stop = false;
  await mkdir(at('a'));
  await mkdir(at('b'));
  const work = (async () => {
    while (!stop) {
      const names = [...expected.keys()];
      const some = names[random(names.length)];
      const directory = random(2) === 0 ? 'a' : 'b';
      const fresh = path.join(directory, `f${next++}`);
      const what = random(4);
      if (some === undefined || what === 0) {
        await writeFile(at(fresh), fresh, { flag: 'wx' });
        expected.set(fresh, fresh);
      } else if (what === 1) {
        await unlink(at(some));
        expected.delete(some);
      } else if (what === 2) {
        await truncate(at(some), 1);
        expected.set(some, expected.get(some)!.slice(0, 1));
      } else {
        await rename(at(some), at(fresh));
        expected.set(fresh, expected.get(some)!);
        expected.delete(some);
      }
      if (random(50) === 0) await sleep(20);
    }
  })();
  await unlink(at('nameless'));
  for (let round = 0; round < 4; round++) {
    await sleep(100 + random(600));
    if (round % 2 === 1) await statfs(place);
    await daemon.crash();
  }
  stop = true;
  await work;
  await symlink('a', at('link'));
  await rm(at('link'));
  const compare = async (): Promise<void> => {
    const listed = await Promise.all(['a', 'b'].map(async (name) => (await readdir(at(name))).map((file) => path.join(name, file))));
    assert.deepEqual(listed.flat().sort(), [...expected.keys()].sort());
    for (const [name, content] of expected) assert.equal(await readFile(at(name), 'utf8'), content);
    assert.equal((await stat(at('a'))).nlink, 2);
  };
  await daemon.crash();
  await writeFile('/proc/sys/vm/drop_caches', '3').catch(() => {});
  await compare();
  assert.equal((await nameless.read(Buffer.alloc(20), 0, 20, 0)).buffer.toString('utf8', 0, 10), 'still here');
  await nameless.sync();
  await nameless.close();
  const { out } = await daemon.infinit('volume', 'check', 'data');
  const problems = out.split('\n').filter((line) => line.startsWith('data: '));
  assert.match(out, /^data +3 +\d+ /m);
  assert.deepEqual(problems, []);
});

test('a daemon that cannot take a mount over yet keeps it, says so, and tries again: nothing is lost', async () => {
  await using daemon = await startDaemon();
  const place = await daemon.mount('data');
  const twin = new Twin(await open(path.join(place, 'file'), 'w+'));
  await twin.write(0, randomBytes(mebibyte));
  // The thread of the volume cannot begin without that directory.
  const dirty = path.join(daemon.directory, 'run', 'dirty');
  await rename(dirty, `${dirty}.away`);
  await writeFile(dirty, '');
  await daemon.crash();
  const waiting = async (): Promise<readonly string[]> => (await daemon.client.status()).waiting ?? [];
  // For two attempts at least.
  await until(() => daemon.log.split('cannot be served again yet').length > 2, daemon);
  assert.match((await waiting()).join(), /"data".*is not served again yet.*(EEXIST|ENOTDIR)/);
  // No commands: a new process would close its copy of the open file, and wait for that.
  const { health } = await daemon.client.clusterStatus();
  assert.deepEqual([health.state, /"data".*is not served again yet/.test(health.reasons.join())], ['DEGRADED', true]);
  await assert.rejects(daemon.client.removeVolume('data'), { code: 'unavailable' });
  const written = twin.handle.write(Buffer.from('meanwhile'), 0, 9, mebibyte);
  await unlink(dirty);
  await rename(`${dirty}.away`, dirty);
  assert.equal((await written).bytesWritten, 9);
  twin.expected = Buffer.concat([twin.expected, Buffer.from('meanwhile')]);
  await twin.handle.sync();
  await twin.compare(path.join(place, 'file'));
  assert.deepEqual(await waiting(), []);
  await twin.handle.close();
  await daemon.client.unmountVolume('data', 'test');
});

test('in a cluster the host that gets its volume back has what was not synced, and fsync succeeds', async () => {
  await using cluster = await ClusterProcesses.start(1);
  const host = cluster.hosts[0]!;
  const place = await host.mount('data');
  const file = new Twin(await open(path.join(place, 'file'), 'w+'));
  for (let round = 0; round < 3; round++) {
    for (let write = 0; write < 20; write++) await file.write(random(4 * mebibyte), randomBytes(1 + random(200_000)));
    await file.truncate(3 * mebibyte);
    await writeFile(path.join(place, `file-${round}`), 'words');
    await host.crash();
    await file.compare(path.join(place, 'file'));
    for (let other = 0; other <= round; other++) assert.equal(await readFile(path.join(place, `file-${other}`), 'utf8'), 'words');
  }
  await file.handle.sync();
  await file.handle.close();
});
