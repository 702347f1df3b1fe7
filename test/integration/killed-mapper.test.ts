/** Programs of a host that another one serves have files in mapped memory, and the daemon of their host is killed. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, open, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { shareMounts } from './shared-mounts.ts';
import { startToldProgram } from './told-program.ts';

/** Longer than a host is taken for lost only when it was silent for so long, in ms. */
const lostMs = 6000;
/** On a machine that keeps a host silent for so long, in ms, the volume may go to another host as well, and what programs changed in mapped memory is lost then. */
const silentMs = 3500;

/** Tells a story in which a daemon must be back soon once more, twice at the most, where the machine was too busy for that. @param story says how long it was away, in ms. */
async function withoutDelay(story: (away: (ms: number) => void) => Promise<void>): Promise<void> {
  for (let left = 2; ; left--) {
    let longest = 0;
    try {
      return await story((ms) => (longest = Math.max(longest, ms)));
    } catch (error) {
      if (longest < silentMs || left === 0) throw error;
    }
  }
}

async function timed(job: Promise<unknown>): Promise<number> {
  const began = performance.now();
  await job;
  return performance.now() - began;
}

/** The daemon is killed, and the next one begins only after a while. */
async function crashFor(ms: number, host: Awaited<ReturnType<typeof shareMounts>>['cluster']['hosts'][number]): Promise<void> {
  process.kill(host.pid, 'SIGSTOP');
  process.kill(host.daemonPid, 'SIGKILL');
  await sleep(ms);
  process.kill(host.pid, 'SIGCONT');
  await host.answering();
}

test('SQLite in WAL mode goes on when the daemon of its host is killed, again and again, and nothing that it committed is lost', () =>
  withoutDelay(async (away) => {
    await using hosts = await shareMounts();
    const guest = hosts.cluster.hosts[1]!;
    const file = path.join(hosts.places[1], 'data.db');
    const child = spawn(process.execPath, [path.join(import.meta.dirname, 'committer.ts'), file], { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = once(child, 'close');
    let said = '';
    child.stdout.on('data', (text: Buffer) => (said += String(text)));
    const committed = (): number => Number(said.trimEnd().split('\n').at(-1));
    try {
      for (let round = 0; round < 5; round++) {
        const before = committed();
        while (committed() < before + 20 && child.exitCode === null && child.signalCode === null) await sleep(5);
        await sleep(Math.random() * 300);
        // Once for so long that its host is taken for lost, and the database's locks are free.
        if (round === 2) await crashFor(lostMs, guest);
        else away(await timed(guest.crash()));
        assert.deepEqual([child.exitCode, child.signalCode], [null, null], guest.log.slice(-3000));
      }
      const before = committed();
      while (committed() < before + 20 && child.exitCode === null && child.signalCode === null) await sleep(5);
      child.stdin.end();
      assert.deepEqual(await ended, [0, null], guest.log.slice(-3000));
    } finally {
      child.kill('SIGKILL');
    }
    for (const place of hosts.places) {
      const database = new DatabaseSync(path.join(place, 'data.db'));
      assert.deepEqual({ ...database.prepare('PRAGMA integrity_check').get() }, { integrity_check: 'ok' });
      assert.deepEqual({ ...database.prepare('SELECT count(*) AS count, max(n) AS last FROM t').get() }, { count: committed(), last: committed() });
      database.close();
    }
  }));

for (const [what, meanwhile, found] of [
  ['nobody else changed the file', 'nothing', 'mapped'],
  ['nobody else did, though its host was taken for lost', 'lost', 'mapped'],
  ['another host wrote to it meanwhile', 'write', 'theirs'],
  ['another host had a lock of it meanwhile', 'lock', 'before'],
] as const)
  test(`what a program changed in mapped memory when the daemon of its host was killed is ${found === 'mapped' ? 'written' : 'lost, and it gets SIGBUS'}, where ${what}`, () =>
    withoutDelay(async (away) => {
      await using hosts = await shareMounts();
      const guest = hosts.cluster.hosts[1]!;
      const [first, second] = hosts.places;
      await using temporary = await mkdtempDisposable(path.join(tmpdir(), 'infinit-mapped-'));
      const [source, seen] = [path.join(temporary.path, 'source'), path.join(temporary.path, 'seen')];
      await Promise.all([writeFile(source, 'mapped'), writeFile(path.join(second, 'f'), 'before')]);
      const program = startToldProgram('mapper.ts', path.join(second, 'f'), source, seen);
      try {
        assert.equal(await program.said(), 'mapped');
        const [pid, killed] = [guest.daemonPid, performance.now()];
        process.kill(guest.pid, 'SIGSTOP');
        process.kill(pid, 'SIGKILL');
        if (meanwhile === 'write') {
          const other = await open(path.join(first, 'f'), 'r+');
          await other.write('theirs', 0);
          await other.close();
        }
        if (meanwhile === 'lost' || meanwhile === 'lock') await sleep(lostMs);
        if (meanwhile === 'lock') await once(spawn('flock', [path.join(first, 'f'), 'true']), 'close');
        process.kill(guest.pid, 'SIGCONT');
        await guest.answering();
        if (meanwhile === 'nothing') away(performance.now() - killed);
        const looked = program.said();
        program.child.stdin!.end('go');
        assert.equal(await looked, found === 'mapped' ? 'copied' : 'an unexpected EFAULT');
        if (found === 'mapped') assert.equal(await readFile(seen, 'utf8'), 'mapped');
        await program.ended;
      } finally {
        program.child.kill('SIGKILL');
      }
      for (const place of hosts.places) assert.equal(await readFile(path.join(place, 'f'), 'utf8'), found);
    }));
