import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';

import { ClusterProcesses } from './cluster-processes.ts';
import { sh } from './programs.ts';

test('three hosts share a volume: every read sees the last write, of whichever host', async () => {
  await using cluster = await ClusterProcesses.start(3);
  const places: string[] = [];
  for (const host of cluster.hosts) places.push(await host.mount('data'));
  for (let round = 0; round < 12; round++) {
    await sh(`echo ${round} > ${places[round % 3]}/f`);
    for (const place of places) assert.equal(await sh(`cat ${place}/f`), `${round}\n`);
  }
  const status = await cluster.hosts[1]!.client.clusterStatus();
  assert.deepEqual(
    status.hosts.map(({ health }) => health.state),
    ['HEALTHY', 'HEALTHY', 'HEALTHY'],
  );
});

test('hosts that create, append and lock at once lose nothing, and O_EXCL has one winner', async () => {
  await using cluster = await ClusterProcesses.start(3);
  const places: string[] = [];
  for (const host of cluster.hosts) places.push(await host.mount('data'));
  await Promise.all(places.map((place, host) => sh(`for i in $(seq 20); do echo x > ${place}/h${host}-$i; done`)));
  for (const place of places) assert.equal((await sh(`ls ${place} | wc -l`)).trim(), '60');
  await Promise.all(
    places.map((place, host) =>
      sh(
        `for i in $(seq 20); do flock ${place}/lock sh -c 'n=$(cat ${place}/count 2>/dev/null || echo 0); echo $((n+1)) > ${place}/count'; echo h${host} >> ${place}/log; done`,
      ),
    ),
  );
  assert.equal((await sh(`cat ${places[0]}/count`)).trim(), '60');
  assert.equal((await sh(`wc -l < ${places[1]}/log`)).trim(), '60');
  const winners = await Promise.all(
    places.map((place) =>
      sh(`set -C; echo me > ${place}/exclusive`).then(
        () => 1,
        () => 0,
      ),
    ),
  );
  assert.equal(
    winners.reduce<number>((sum, winner) => sum + winner, 0),
    1,
  );
});

test('when the host that serves a volume dies, the others go on with all that was acknowledged', async () => {
  await using cluster = await ClusterProcesses.start(3);
  const places: string[] = [];
  for (const host of cluster.hosts) places.push(await host.mount('data'));
  await sh(`cd ${places[0]}; echo first > a; sync a; head -c 2000000 /dev/urandom > big; sync big; sha256sum big > sum; sync sum`);
  await sh(`echo second > ${places[1]}/b`);
  await cluster.hosts[0]!.kill();
  const began = performance.now();
  assert.equal(await sh(`cd ${places[1]}; cat a b; sha256sum -c sum >/dev/null; echo third > c; cat c`), 'first\nsecond\nthird\n');
  assert.ok(performance.now() - began < 40_000);
  assert.equal(await sh(`cat ${path.join(places[2]!, 'c')}`), 'third\n');
  await cluster.hosts[0]!.restart();
  await cluster.complete();
  const place = await cluster.hosts[0]!.mount('data');
  assert.equal(await sh(`cat ${place}/c`), 'third\n');
});

test('a volume that another host has mounted is not removed, and the message names the host', async () => {
  await using cluster = await ClusterProcesses.start(2);
  const [first, second] = cluster.hosts;
  await first!.mount('data');
  await assert.rejects(second!.client.removeVolume('data'), { code: 'in-use', message: /mounted on h0/ });
  await first!.client.unmountVolume('data', 'test');
  await second!.client.removeVolume('data');
  await new Promise((resolve) => setTimeout(resolve, 1000));
  assert.deepEqual(await first!.client.listVolumes(), []);
});

test('programs on three hosts that keep one SQLite database open lose no row of each other', async () => {
  await using cluster = await ClusterProcesses.start(3);
  const places: string[] = [];
  for (const host of cluster.hosts) places.push(await host.mount('data'));
  await sh(`sqlite3 ${places[0]}/db.sqlite 'create table rows (name text)'`);
  const rows = 12;
  // One process a host that has the file open all the while: what its kernel has cached of it must go when another host writes.
  const insert = (place: string, host: number): string =>
    `for i in $(seq ${rows}); do echo "insert into rows values ('h${host}-'||$i);"; sleep 0.1; done | sqlite3 -bail -cmd '.timeout 60000' ${place}/db.sqlite`;
  await Promise.all(places.map((place, host) => sh(insert(place, host))));
  for (const place of places)
    assert.equal(await sh(`sqlite3 ${place}/db.sqlite 'pragma integrity_check; select count(distinct name) from rows'`), `ok\n${3 * rows}\n`);
});
