/** Programs that make whole trees of files on guests notice nothing when the host that serves their volume is killed in the middle of it. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { ClusterProcesses } from './cluster-processes.ts';
import { sh } from './programs.ts';

/** How often a host is killed; a long search sets more. */
const rounds = Number(process.env['ROUNDS'] ?? 2);
const source = path.resolve(import.meta.dirname, '../../src');
/** How long the programs are at work when the host is killed, in ms, at the least and the most. */
const [leastMs, mostMs] = [300, 1800];

test('a tree that is unpacked, and one that is copied, on other hosts is whole when the host that serves the volume is killed', async (t) => {
  const archive = path.join(tmpdir(), `infinit-unpacking-${process.pid}.tar`);
  await using cluster = await ClusterProcesses.start(3);
  const [first, second, third] = cluster.hosts;
  try {
    await sh(`tar cf ${archive} -C ${source} .`);
    for (let round = 0; round < rounds; round++) {
      const volume = `v${round}`;
      // The first to mount it serves it.
      const places = [await first!.mount(volume), await second!.mount(volume), await third!.mount(volume)];
      let isOver = false;
      const work = Promise.all([
        sh(`mkdir ${places[1]}/unpacked && tar xf ${archive} -C ${places[1]}/unpacked`),
        sh(`cp -a ${source} ${places[2]}/copied`),
      ]).finally(() => (isOver = true));
      work.catch(() => {});
      const afterMs = Math.round(leastMs + Math.random() * (mostMs - leastMs));
      await sleep(afterMs);
      const isEarly = !isOver;
      // Every second time another daemon comes at once, and goes on with what the one before had in memory.
      if (round % 2 === 0) await first!.kill();
      else await first!.crash();
      await work;
      t.diagnostic(`killed after ${afterMs} ms, ${isEarly ? 'in the middle of it' : 'too late'}`);
      for (const place of places.slice(1)) {
        await sh(`diff -r ${source} ${place}/unpacked`);
        await sh(`diff -r ${source} ${place}/copied`);
        assert.equal((await sh(`find ${place} -size 0 -type f | wc -l`)).trim(), '0');
      }
      if (round % 2 === 0) {
        await first!.restart();
        await cluster.complete();
      }
      for (const host of cluster.hosts) await host.client.unmountVolume(volume, 'test').catch(() => {});
    }
  } finally {
    await rm(archive, { force: true });
  }
});
