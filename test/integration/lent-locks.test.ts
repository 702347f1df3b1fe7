/** Programs of three hosts take one lock in turn, many times in a row and then not for a while: whichever host grants it, one program has it at a time, and sees what the one before wrote. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';

import { ClusterProcesses } from './cluster-processes.ts';
import { sh } from './programs.ts';

const bursts = 6;
const times = 12;

suite('on three hosts', () => {
  let cluster: ClusterProcesses;
  const places: string[] = [];
  before(async () => {
    cluster = await ClusterProcesses.start(3);
    for (const host of cluster.hosts) places.push(await host.mount('counted'));
  });
  after(() => cluster[Symbol.asyncDispose]());

  test('a counter under flock counts all, also over the death of a daemon that is served', async () => {
    await sh(`cd ${places[0]}; echo 0 > counter; touch lock`);
    const count = `n=$(cat counter); echo $((n + 1)) > counter`;
    const script = `for burst in $(seq ${bursts}); do for time in $(seq ${times}); do flock lock sh -c '${count}'; done; sleep 0.$(($$ % 7 + 1)); done`;
    const counting = places.map((cwd) => sh(script, { cwd, timeoutMs: 240_000 }));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await cluster.hosts[1]!.crash();
    await Promise.all(counting);
    assert.equal((await readFile(path.join(places[2]!, 'counter'), 'utf8')).trim(), String(places.length * bursts * times));
  });

  test('a database that programs of all hosts change at once keeps all that was committed', async () => {
    await sh(`cd ${places[0]}; sqlite3 shared.db 'CREATE TABLE t(host, n)'`);
    const insert = (host: number): string => `sqlite3 -cmd '.timeout 60000' shared.db "INSERT INTO t VALUES(${host}, $n)"`;
    await Promise.all(places.map((cwd, host) => sh(`for n in $(seq ${times}); do ${insert(host)}; done`, { cwd, timeoutMs: 240_000 })));
    const rows = await sh(`sqlite3 shared.db 'PRAGMA integrity_check; SELECT count(*), count(DISTINCT host || n) FROM t'`, { cwd: places[1]! });
    assert.equal(rows.trim(), `ok\n${places.length * times}|${places.length * times}`);
  });
});
