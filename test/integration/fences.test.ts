/** A program has lost its lock to one of another host, and goes on as if it had it: that it changes nothing outlives the daemon of its host. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { ClusterProcesses } from './cluster-processes.ts';
import { sh } from './programs.ts';

/** A shell that keeps what it has open. */
class Shell implements Disposable {
  readonly #child: ChildProcess = spawn('bash', [], { stdio: ['pipe', 'pipe', 'ignore'] });

  /** Whether the command succeeds. */
  async does(command: string): Promise<boolean> {
    const { stdin, stdout } = this.#child;
    const said = new Promise<string>((resolve) => stdout!.once('data', (data: Buffer) => resolve(data.toString())));
    stdin!.write(`${command}\necho $?\n`);
    return (await said).trim() === '0';
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

test('a program that has lost its lock changes nothing through the next daemon of its host, until it has closed the file', async () => {
  await using cluster = await ClusterProcesses.start(3);
  const [guest, server, other] = cluster.hosts as [(typeof cluster.hosts)[0], (typeof cluster.hosts)[0], (typeof cluster.hosts)[0]];
  const servers = await server.mount('volume');
  const [place, others] = [await guest.mount('volume'), await other.mount('volume')];
  const file = path.join(place, 'db');
  await sh(`cd ${servers}; printf old | tee db db-wal; sync db db-wal`);
  using program = new Shell();
  assert.ok(await program.does(`exec 9<>${file}; flock 9`));
  const pids = [guest.pid, guest.daemonPid];
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  await sh(`cd ${others}; flock db sh -c 'printf new > db; sync db'`);
  for (const pid of pids.toReversed()) process.kill(pid, 'SIGCONT');
  assert.ok(!(await program.does('printf OLD >&9')));
  for (let times = 0; times < 2; times++) {
    await guest.crash();
    assert.ok(!(await program.does('printf OLD >&9')));
    assert.ok(!(await program.does(`printf OLD > ${file}-wal`)));
    assert.ok(!(await program.does(`rm ${file}-wal`)));
  }
  assert.deepEqual(
    ['db', 'db-wal'].map((name) => readFileSync(path.join(others, name), 'utf8')),
    ['new', 'old'],
  );
  await program.does('exec 9>&-');
  assert.ok(await program.does(`flock ${file} true && printf new > ${file}-wal`));
  assert.equal(readFileSync(path.join(others, 'db-wal'), 'utf8'), 'new');
});
