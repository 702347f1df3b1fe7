import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { open, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { startToldProgram } from '../integration/told-program.ts';
import { isMounted } from './mounted.ts';

/** A holder with its daemon, both of which go at the end. */
class Supervised implements AsyncDisposable {
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'infinit-holder-'));
  readonly mountPoint = path.join(this.#directory, 'mount');
  readonly state = path.join(this.#directory, 'state');
  readonly holder: ChildProcess;
  readonly exited: Promise<[code: number | null, signal: string | null]>;
  log = '';

  constructor(...flaws: string[]) {
    mkdirSync(this.mountPoint);
    for (const flaw of flaws) writeFileSync(`${this.state}.${flaw}`, '');
    this.holder = spawn(process.execPath, [path.join(import.meta.dirname, 'supervisor.ts'), this.mountPoint, this.state], {
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    this.holder.stderr!.setEncoding('utf8').on('data', (text: string) => (this.log += text));
    this.exited = once(this.holder, 'exit') as Promise<[number | null, string | null]>;
  }

  get daemonPid(): number {
    return existsSync(`${this.state}.pid`) ? Number(readFileSync(`${this.state}.pid`, 'utf8')) : 0;
  }

  /** Waits for a daemon that serves. */
  async serving(other = 0): Promise<number> {
    while (this.daemonPid === other || this.daemonPid === 0) {
      assert.equal(this.holder.exitCode, null, this.log);
      await setTimeout(10);
    }
    return this.daemonPid;
  }

  /** FUSE descriptors that the holder has. */
  kept(): number {
    return readdirSync(`/proc/${this.holder.pid}/fd`).filter((fd) => {
      try {
        return readlinkSync(`/proc/${this.holder.pid}/fd/${fd}`) === '/dev/fuse';
      } catch {
        return false;
      }
    }).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.holder.exitCode === null && this.holder.signalCode === null) {
      this.holder.kill('SIGTERM');
      const [code] = await Promise.race([this.exited, setTimeout(8000, [undefined])]);
      if (code === undefined) {
        this.holder.kill('SIGKILL');
        try {
          process.kill(this.daemonPid, 'SIGKILL');
        } catch {}
      }
    }
    if (isMounted(this.mountPoint)) spawnSync('umount', ['-i', '-f', '-l', this.mountPoint]);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

test(
  'a daemon that is killed while the kernel keeps a thread of it waiting for its own answer is followed by another',
  { timeout: 60_000 },
  async () => {
    await using supervised = new Supervised();
    const pid = await supervised.serving();
    const [file, source, seen] = [path.join(supervised.mountPoint, 'file'), `${supervised.state}.source`, `${supervised.state}.seen`];
    await writeFile(file, 'before');
    await writeFile(source, 'mapped');
    const mapper = startToldProgram('mapper.ts', file, source, seen);
    try {
      assert.equal(await mapper.said(), 'mapped');
      const looked = mapper.said();
      // It takes a lock, for which the kernel is to drop the file's pages. It has to write one first, and gets no answer.
      mapper.child.stdin!.end('go');
      const isStuck = (thread: string): boolean => /\) D /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8'));
      while (!readdirSync(`/proc/${pid}/task`).some((thread) => isStuck(thread))) await setTimeout(10);
      process.kill(pid, 'SIGKILL');
      await supervised.serving(pid);
      assert.equal(await looked, 'copied');
      assert.equal(await readFile(seen, 'utf8'), 'mapped');
      while (existsSync(`/proc/${pid}`)) await setTimeout(10);
    } finally {
      mapper.child.kill('SIGKILL');
    }
  },
);

test('a client goes on after kill -9 of the daemon, again and again', { timeout: 300_000 }, async () => {
  await using supervised = new Supervised();
  let pid = await supervised.serving();
  const at = (name: string): string => path.join(supervised.mountPoint, name);
  const file = await open(at('open'), 'w+');
  await file.write('before the first crash\n');
  const client = { running: true, rounds: 0 };
  const working = (async () => {
    for (; client.running; client.rounds++) {
      await writeFile(at(`file-${client.rounds % 20}`), `round ${client.rounds}`);
      assert.equal(await readFile(at(`file-${client.rounds % 20}`), 'utf8'), `round ${client.rounds}`);
    }
  })();
  const hanging = stat(at('hang'));
  hanging.catch(() => {});
  for (let crash = 0; crash < 3; crash++) {
    await setTimeout(100);
    assert.equal(supervised.kept(), 1);
    const { rounds } = client;
    process.kill(pid, 'SIGKILL');
    pid = await supervised.serving(pid);
    while (client.rounds < rounds + 5) await Promise.race([working, setTimeout(10)]);
    await file.write(`after crash ${crash}\n`);
  }
  await assert.rejects(hanging, { code: 'ENOENT' }, 'what the first daemon had read was asked again');
  client.running = false;
  await working;
  await file.sync();
  assert.equal(await readFile(at('open'), 'utf8'), 'before the first crash\nafter crash 0\nafter crash 1\nafter crash 2\n');
  await file.close();
  assert.equal(supervised.kept(), 1, 'no descriptor was left over');
});

test(
  'while the next daemon cannot start for want of room its mounts wait, for longer than crashes are borne, and clients go on',
  { timeout: 300_000 },
  async () => {
    await using supervised = new Supervised();
    const pid = await supervised.serving();
    const at = (name: string): string => path.join(supervised.mountPoint, name);
    await writeFile(at('kept'), 'as it was');
    writeFileSync(`${supervised.state}.later`, '');
    process.kill(pid, 'SIGKILL');
    const reading = readFile(at('kept'), 'utf8');
    while (!supervised.log.includes('tries=6')) {
      assert.equal(supervised.holder.exitCode, null, supervised.log);
      await setTimeout(50);
    }
    rmSync(`${supervised.state}.later`);
    assert.equal(await reading, 'as it was');
  },
);

test('a daemon is replaced under load without an error', { timeout: 300_000 }, async () => {
  await using supervised = new Supervised();
  const pid = await supervised.serving();
  const fd = openSync(path.join(supervised.mountPoint, 'file'), 'w+');
  supervised.holder.kill('SIGUSR2');
  while (supervised.daemonPid === pid) writeFileSync(path.join(supervised.mountPoint, 'under-load'), 'x');
  assert.notEqual(await supervised.serving(pid), pid);
  writeFileSync(fd, 'goes on');
  closeSync(fd);
  assert.equal(readFileSync(path.join(supervised.mountPoint, 'file'), 'utf8'), 'goes on');
});

test('an orderly stop ends the mount, also where a file is open, says so, and passes the exit code on', { timeout: 300_000 }, async () => {
  await using supervised = new Supervised();
  await supervised.serving();
  const fd = openSync(path.join(supervised.mountPoint, 'file'), 'w');
  supervised.holder.kill('SIGTERM');
  assert.deepEqual(await supervised.exited, [0, null]);
  assert.match(supervised.log, /warn mounts that were in use end: restart .* volumes=\S/);
  assert.ok(!isMounted(supervised.mountPoint));
  assert.throws(() => fsyncSync(fd), { code: 'ENOTCONN' });
  assert.throws(() => closeSync(fd), { code: 'ENOTCONN' });
});

test('a daemon that keeps dying is given up, and nobody hangs', { timeout: 300_000 }, async () => {
  await using supervised = new Supervised();
  const pid = await supervised.serving();
  const waiting = stat(path.join(supervised.mountPoint, 'hang'));
  waiting.catch(() => {});
  writeFileSync(`${supervised.state}.crash`, '');
  await setTimeout(50);
  // It takes the descriptor in its own time.
  while (supervised.kept() === 0) await setTimeout(10);
  process.kill(pid, 'SIGKILL');
  const [code] = await supervised.exited;
  assert.equal(code, 1);
  await assert.rejects(waiting);
  assert.ok(!isMounted(supervised.mountPoint));
  assert.match(supervised.log, /given up/);
});

test('a daemon that cannot start at all is not tried again', { timeout: 300_000 }, async () => {
  await using supervised = new Supervised('refuse');
  assert.deepEqual(await supervised.exited, [2, null]);
});

test('without a holder all works, and the next daemon clears the dead mount', { timeout: 300_000 }, async () => {
  await using supervised = new Supervised('refuse');
  await supervised.exited;
  rmSync(`${supervised.state}.refuse`);
  const start = (): ChildProcess =>
    spawn(process.execPath, [path.join(import.meta.dirname, 'daemon.ts'), supervised.mountPoint, supervised.state], {
      stdio: ['ignore', 'inherit', 'ignore'],
    });
  const wait = async (child: ChildProcess): Promise<void> => {
    while (supervised.daemonPid !== child.pid) await setTimeout(10);
  };
  const first = start();
  await wait(first);
  writeFileSync(path.join(supervised.mountPoint, 'file'), 'kept');
  first.kill('SIGKILL');
  await once(first, 'exit');
  assert.throws(() => readFileSync(path.join(supervised.mountPoint, 'file')), { code: 'ENOTCONN' });
  const second = start();
  await wait(second);
  assert.equal(readFileSync(path.join(supervised.mountPoint, 'file'), 'utf8'), 'kept');
  second.kill('SIGTERM');
  await once(second, 'exit');
});
