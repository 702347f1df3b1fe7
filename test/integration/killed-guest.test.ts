/** The daemon of a host that another one serves is killed, again and again; the machine, its holder and the programs live on. They notice nothing. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdtempDisposable, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { shareMounts } from './shared-mounts.ts';
import { startToldProgram, type ToldProgram } from './told-program.ts';

const mebibyte = 1024 * 1024;

function random(limit: number): number {
  return Math.floor(Math.random() * limit);
}

/** Does something over and over until it is stopped. */
class Program {
  #stop = false;
  readonly #over: Promise<void>;

  constructor(step: () => Promise<void>) {
    this.#over = (async () => {
      while (!this.#stop) await step();
    })();
    this.#over.catch(() => {});
  }

  async stop(): Promise<void> {
    this.#stop = true;
    await this.#over;
  }
}

/** Lines at the end of a file that is open. */
class Log {
  readonly #handle: FileHandle;
  text = '';
  #lines = 0;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async line(): Promise<void> {
    const line = `line ${this.#lines++}\n`;
    const { bytesWritten } = await this.#handle.write(line);
    assert.equal(bytesWritten, line.length);
    this.text += line;
  }
}

test('a program that writes lines and syncs none does not notice that the daemon of its host is killed, and all of them are there on all hosts', async () => {
  await using hosts = await shareMounts();
  const guest = hosts.cluster.hosts[1]!;
  const place = hosts.places[1];
  const files = await Promise.all(['appended', 'written'].map((name, index) => open(path.join(place, name), index === 0 ? 'a' : 'w')));
  const logs = files.map((handle) => new Log(handle));
  const programs = logs.map(
    (log) =>
      new Program(async () => {
        await log.line();
        if (random(50) === 0) await sleep(1);
      }),
  );
  for (let round = 0; round < 4; round++) {
    await sleep(200 + random(900));
    await guest.crash();
  }
  for (const program of programs) await program.stop();
  // What they wrote last is not said yet.
  await guest.crash();
  for (const file of files) await file.sync();
  for (const [index, name] of ['appended', 'written'].entries()) {
    for (const each of hosts.places) assert.equal(await readFile(path.join(each, name), 'utf8'), logs[index]!.text);
  }
  for (const file of files) await file.close();
});

test('where somebody removed the notes of what a killed daemon had not said, what is in its memory is there all the same, and a sync says that more may be lost', async () => {
  await using hosts = await shareMounts();
  const guest = hosts.cluster.hosts[1]!;
  await using file = await open(path.join(hosts.places[1], 'f'), 'w');
  const log = new Log(file);
  await log.line();
  await file.sync();
  await log.line();
  // No daemon comes while they are removed.
  process.kill(guest.pid, 'SIGSTOP');
  process.kill(guest.daemonPid, 'SIGKILL');
  await rm(path.join(path.dirname(guest.controlSocket), 'dirty'), { recursive: true });
  process.kill(guest.pid, 'SIGCONT');
  await guest.answering();
  await assert.rejects(file.sync(), { code: 'EIO' });
  await file.sync();
  for (const place of hosts.places) assert.equal(await readFile(path.join(place, 'f'), 'utf8'), log.text);
});

test('large and small writes, modes and times of a guest are as they were after its daemon was killed, and a close that comes then is heard', async () => {
  await using hosts = await shareMounts();
  const guest = hosts.cluster.hosts[1]!;
  const [first, second, third] = hosts.places;
  const file = await open(path.join(second, 'f'), 'w', 0o644);
  let expected = Buffer.alloc(0);
  const write = async (offset: number, data: Buffer): Promise<void> => {
    if (offset + data.length > expected.length) expected = Buffer.concat([expected], offset + data.length);
    data.copy(expected, offset);
    for (let at = 0; at < data.length; at += mebibyte) {
      const part = data.subarray(at, at + mebibyte);
      assert.equal((await file.write(part, 0, part.length, offset + at)).bytesWritten, part.length);
    }
  };
  for (let round = 0; round < 3; round++) {
    await write(expected.length, randomBytes(random(20) * 100_000));
    for (let small = 0; small < 200; small++) await write(random(10 * mebibyte), randomBytes(1 + random(9000)));
    await file.chmod(0o600 + round);
    await file.utimes(1000, 2000 + round);
    await guest.crash();
    // The first of what comes then.
    if (round === 0) await rename(path.join(second, 'f'), path.join(second, 'g'));
    else if (round === 1) await write(random(mebibyte), randomBytes(5000));
    else await file.close();
    for (const place of [second, first, third]) {
      const seen = await stat(path.join(place, 'g'));
      assert.deepEqual([seen.mode & 0o777, seen.size], [0o600 + round, expected.length]);
      if (round !== 1) assert.equal(seen.mtimeMs, (2000 + round) * 1000);
      assert.ok((await readFile(path.join(place, 'g'))).equals(expected), 'every byte is as it was written');
    }
  }
});

test('what somebody else wrote to a file while the daemon of a guest was dead stays, and the program of the guest hears of it', async () => {
  await using hosts = await shareMounts();
  const guest = hosts.cluster.hosts[1]!;
  const [first, second] = hosts.places;
  const file = await open(path.join(second, 'f'), 'w');
  await file.write('synced');
  await file.sync();
  await file.write(' and not');
  const pid = guest.daemonPid;
  process.kill(guest.pid, 'SIGSTOP');
  process.kill(pid, 'SIGKILL');
  const other = await open(path.join(first, 'f'), 'r+');
  await other.write('theirs', 0);
  await other.sync();
  process.kill(guest.pid, 'SIGCONT');
  await guest.answering();
  await assert.rejects(file.sync(), { code: 'EIO' });
  await file.sync();
  await other.close();
  for (const place of hosts.places) assert.equal(await readFile(path.join(place, 'f'), 'utf8'), 'theirs');
  await file.write('!');
  await file.close();
  assert.equal((await stat(path.join(first, 'f'))).size, 'synced and not!'.length);
});

test('a program of a guest never finds its mapped memory as it was before it changed it, and one that opens the file afterwards finds the file', async () => {
  await using hosts = await shareMounts();
  const guest = hosts.cluster.hosts[1]!;
  const place = hosts.places[1];
  await using temporary = await mkdtempDisposable(path.join(tmpdir(), 'infinit-mapped-'));
  const [source, seen] = [path.join(temporary.path, 'source'), path.join(temporary.path, 'seen')];
  await Promise.all([writeFile(source, 'mapped'), writeFile(path.join(place, 'f'), 'before')]);
  const start = (): ToldProgram => startToldProgram('mapper.ts', path.join(place, 'f'), source, seen);
  const before = start();
  try {
    assert.equal(await before.said(), 'mapped');
    await guest.crash();
    const looked = before.said();
    before.child.stdin!.end('go');
    const said = await looked;
    if (said === 'copied') assert.equal(await readFile(seen, 'utf8'), 'mapped');
    else assert.equal(said, 'an unexpected EFAULT');
    await before.ended;
    const after = start();
    assert.equal(await after.said(), 'mapped');
    const shown = after.said();
    after.child.stdin!.end('go');
    assert.deepEqual([await shown, await readFile(seen, 'utf8')], ['copied', 'mapped']);
    await after.ended;
    for (const each of hosts.places) assert.equal(await readFile(path.join(each, 'f'), 'utf8'), 'mapped');
  } finally {
    before.child.kill('SIGKILL');
  }
});

test('the host that serves the volume dies as well: what a guest wrote is there, whichever of them is back first', async () => {
  await using hosts = await shareMounts();
  const [holder, guest] = hosts.cluster.hosts as [(typeof hosts.cluster.hosts)[0], (typeof hosts.cluster.hosts)[0]];
  const files = await Promise.all([open(path.join(hosts.places[1], 'appended'), 'a'), open(path.join(hosts.places[1], 'written'), 'w')]);
  // That they are there is durable.
  for (const file of files) await file.sync();
  const logs = files.map((file) => new Log(file));
  for (let round = 0; round < 4; round++) {
    const programs = logs.map(
      (log) =>
        new Program(async () => {
          await log.line();
          await sleep(random(3));
        }),
    );
    await sleep(100 + random(700));
    const crashes = [() => holder.crash(), () => guest.crash()];
    if (round % 2 === 1) crashes.reverse();
    const [one, other] = crashes as [() => Promise<void>, () => Promise<void>];
    if (round < 2) await Promise.all([one(), other()]);
    else {
      await one();
      await other();
    }
    for (const program of programs) await program.stop();
  }
  for (const [index, file] of files.entries()) {
    const said = await file.sync().then(
      () => 'durable',
      (error: NodeJS.ErrnoException) => error.code,
    );
    await file.close();
    // On a busy machine another host may have come to serve the volume, and what a daemon had in memory that served it before is lost.
    const movedAbout = hosts.cluster.hosts.slice(1).some(({ log }) => log.includes('this host serves the volume'));
    if (movedAbout && said === 'EIO') continue;
    assert.equal(said, 'durable', `${holder.log}\n\n${guest.log}`);
    for (const place of hosts.places) assert.equal(await readFile(path.join(place, index === 0 ? 'appended' : 'written'), 'utf8'), logs[index]!.text);
  }
});
