import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';

import { type Blocks, committed, connect } from '../../src/api/index.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import type { DaemonProcess } from './daemon-process.ts';

const keys = Array.from({ length: 60 }, (_, index) => `key-${index}`);

test(
  'three of five hosts are lost for good: what was there is told as it was or to be lost, never to be absent, until a person accepts that',
  { timeout: 400_000 },
  async () => {
    await using cluster = await ClusterProcesses.start(5, tmpdir(), ['--eviction-delay', '10s']);
    const [h0, h1, ...gone] = cluster.hosts as [DaemonProcess, DaemonProcess, ...DaemonProcess[]];
    const nodes = await h0.client.listNodes();
    const lost = nodes.flatMap(({ name, peer }) => (name === 'h0' || name === 'h1' ? [] : [peer]));
    await using programs = connect(h0.controlSocket);
    const versions = new Map<string, number>();
    for (const key of keys) {
      versions.set(key, committed(await programs.blocks.createNamed(key, `value of ${key}`)));
    }
    const volumes = Array.from({ length: 4 }, (_, index) => `volume-${index}`);
    for (const name of volumes) await h0.client.createVolume(name);
    await until(
      () => h1.client.listVolumes(),
      (all) => all.length === volumes.length,
    );
    // What a third replica was to get later it has by now.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await Promise.all(gone.map((daemon) => daemon.kill()));
    for (const peer of lost) await h0.client.removeNode(peer, true);
    const salvage = (host: DaemonProcess, giveUp = false) => host.client.salvage({ force: true, lost, giveUp, by: 'test' });
    // No sooner may the views of the lost hosts retire; and what is asked of meanwhile is out of reach.
    await until(
      async () => {
        for (const host of [h0, h1]) await salvage(host).catch(() => undefined);
        return Promise.all([h0, h1].map((host) => host.client.status()));
      },
      (all) => all.every(({ roster }) => roster.views.length === 1 && roster.hosts === 2),
    );
    for (const host of [h0, h1]) {
      await using reader = connect(host.controlSocket);
      const told = new Map<string, string>();
      for (const key of keys) told.set(key, await tellsOf(reader, key));
      const wrong = [...told].filter(([key, what]) => what !== `value of ${key}` && what !== 'lost');
      assert.deepEqual(wrong, []);
      const { troubles } = (await host.client.status()).roster;
      assert.ok(
        troubles.some((trouble) => trouble.startsWith('3 hosts were lost together') && lost.every((peer) => trouble.includes(peer))),
        JSON.stringify(troubles),
      );
    }
    const taken: string[] = [];
    for (const key of keys) if ((await tellsOf(programs, key)) === 'lost') taken.push(key);
    assert.ok(taken.length > 0 && taken.length < keys.length, `${taken.length} of ${keys.length}`);
    const refused = await programs.blocks.createNamed(taken[0]!, 'anew');
    assert.equal(refused.status === 'failed' ? refused.code : refused.status, 'lost');
    await assert.rejects(h0.client.salvage({ force: true, lost: [], giveUp: true, by: 'test' }), { code: 'bad-argument' });
    assert.equal((await salvage(h1, true)).accepted, true);
    assert.equal((await salvage(h1, true)).accepted, false);
    for (const host of [h0, h1]) {
      await until(
        () => host.client.status(),
        ({ roster }) => !roster.troubles.some((trouble) => trouble.includes('were lost together')),
      );
      await using reader = connect(host.controlSocket);
      for (const key of keys) assert.equal(await tellsOf(reader, key), taken.includes(key) ? 'nothing' : `value of ${key}`);
    }
    // The list of volumes may have been at the lost hosts alone: then it is made anew from what the others knew.
    for (const host of [h0, h1]) {
      await host.client.checkVolume(volumes[0]!).catch(() => {});
      assert.deepEqual((await host.client.listVolumes()).map(({ name }) => name).toSorted(), volumes);
    }
    await h0.client.createVolume('volume-4');
    for (const key of taken) {
      const version = committed(await programs.blocks.createNamed(key, 'anew'));
      assert.ok(version > 2 ** 32, 'above all versions that it can have had');
      const late = await programs.blocks.update(programs.blocks.named(key), 'of a world that is gone', { expect: versions.get(key)! });
      assert.equal(late.status, 'conflict');
    }
  },
);

/** What a reader is told of a key: its value, `nothing`, or the code of an error. */
async function tellsOf({ blocks }: { readonly blocks: Blocks }, key: string): Promise<string> {
  return blocks.get(blocks.named(key)).then(
    (block) => block?.text() ?? 'nothing',
    (error: unknown) => (error as { code: string }).code,
  );
}

async function until<T>(look: () => Promise<T>, isSo: (seen: T) => boolean): Promise<T> {
  const deadline = performance.now() + 120_000;
  for (;;) {
    const seen = await look();
    if (isSo(seen)) return seen;
    if (performance.now() > deadline) throw new Error(`it did not come to pass: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}
