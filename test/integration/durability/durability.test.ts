/** Programs that sync some of what they do, and every kind of death: what was acknowledged is there, and what nobody died of is all there. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { SeededRandom } from '../../simulation/random.ts';
import { ClusterProcesses } from '../cluster-processes.ts';
import { DaemonProcess } from '../daemon-process.ts';
import { Attack, judge, judgeTwice } from './attack.ts';
import type { Loss } from './story.ts';

/** Rounds of each test; a long attack sets more. SEED runs the same programs again, not their timing; with MAPPED=0.5 half of their writes and more go through mapped memory. */
const rounds = Number(process.env['ROUNDS'] ?? 2);
const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000_000);
const programs = 3;

/** Where the programs' logs are, which do not die with a mount. */
class Logs implements Disposable {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'infinit-attack-'));

  [Symbol.dispose](): void {
    if (process.env['KEEP'] === undefined) rmSync(this.directory, { recursive: true, force: true });
  }
}

async function begin(place: string, chance: SeededRandom, logs: Logs, count = programs): Promise<Attack[]> {
  const seeds = Array.from({ length: count }, () => chance.next());
  return Promise.all(seeds.map((own) => Attack.begin(place, own, logs.directory)));
}

test(`programs notice nothing of the daemon's death, and nothing is lost (SEED=${seed})`, async () => {
  using logs = new Logs();
  await using daemon = await DaemonProcess.start(mkdtempSync(path.join(tmpdir(), 'infinit-durable-')));
  const place = await daemon.mount('data');
  const chance = new SeededRandom(seed);
  for (let round = 0; round < rounds; round++) {
    const attacks = await begin(place, chance, logs);
    for (let death = chance.below(3); death >= 0; death--) {
      await sleep(chance.between(20, 1200));
      await daemon.crash();
    }
    const stories = await Promise.all(attacks.map((attack) => attack.end()));
    const judgeAll = (loss: Loss): void => attacks.forEach(({ name }, index) => void judge(stories[index]!, name, place, loss));
    assert.deepEqual(
      stories.map(({ failure }) => failure),
      attacks.map(() => undefined),
    );
    judgeAll('nothing');
    await daemon.crash();
    await writeFile('/proc/sys/vm/drop_caches', '3').catch(() => {});
    judgeAll('nothing');
    // Of the rest only what was synced is certain.
    await daemon.kill();
    await daemon.restart();
    assert.equal(await daemon.mount('data'), place);
    judgeAll('last');
    const { out } = await daemon.infinit('volume', 'check', 'data');
    assert.deepEqual(
      out.split('\n').filter((line) => line.startsWith('data: ')),
      [],
    );
    attacks.forEach(({ name }) => rmSync(path.join(place, name), { recursive: true }));
  }
  await daemon.client.unmountVolume('data', 'test');
});

test(`what was synced is there after the host's death, and stays (SEED=${seed})`, async () => {
  using logs = new Logs();
  await using daemon = await DaemonProcess.start(mkdtempSync(path.join(tmpdir(), 'infinit-durable-')));
  let place = await daemon.mount('data');
  const chance = new SeededRandom(seed);
  const again = async (): Promise<void> => {
    await daemon.kill();
    await daemon.restart();
    place = await daemon.mount('data');
  };
  for (let round = 0; round < rounds; round++) {
    const attacks = await begin(place, chance, logs);
    await sleep(chance.between(20, 2500));
    if (chance.chance(0.3)) await daemon.crash();
    await again();
    const stories = await Promise.all(attacks.map((attack) => attack.over()));
    const seen = attacks.map(({ name }, index) => judge(stories[index]!, name, place, 'last'));
    if (chance.chance(0.5)) {
      await again();
      assert.deepEqual(
        attacks.map(({ name }, index) => judge(stories[index]!, name, place, 'last')),
        seen,
      );
    }
    const { out } = await daemon.infinit('volume', 'check', 'data');
    assert.deepEqual(
      out.split('\n').filter((line) => line.startsWith('data: ')),
      [],
    );
    if (chance.chance(0.7)) attacks.forEach(({ name }) => rmSync(path.join(place, name), { recursive: true }));
  }
  await daemon.client.unmountVolume('data', 'test');
});

test(`what was synced is there when the host that serves a volume dies and another takes it over (SEED=${seed})`, async () => {
  using logs = new Logs();
  await using cluster = await ClusterProcesses.start(3);
  const chance = new SeededRandom(seed);
  const places: string[] = [];
  for (const host of cluster.hosts) places.push(await host.mount('data'));
  for (let round = 0; round < rounds; round++) {
    const attacks = await Promise.all(places.map(async (place) => (await begin(place, chance, logs, 1))[0]!));
    await sleep(chance.between(200, 2500));
    // Every host is the one that serves it at some time.
    const dead = round % places.length;
    const host = cluster.hosts[dead]!;
    const wholly = chance.chance(0.7);
    await (wholly ? host.kill() : host.crash());
    await sleep(chance.between(0, 2000));
    const stories = await Promise.all(attacks.map((attack, index) => (wholly && index === dead ? attack.over() : attack.end(true))));
    const other = places[(dead + 1) % places.length]!;
    const told = stories.map(({ failure }) => failure);
    const loss = (index: number): Loss => (wholly && index === dead ? 'last' : told[index] === undefined ? 'nothing' : 'any');
    const seen = await Promise.all(attacks.map(({ name }, index) => judgeTwice(stories[index]!, name, [other, ...places], loss(index))));
    if (wholly) {
      await host.restart();
      await cluster.complete();
      assert.equal(await host.mount('data'), places[dead]);
    }
    for (const place of places)
      assert.deepEqual(
        attacks.map(({ name }, index) => judge(stories[index]!, name, place, loss(index))),
        seen,
      );
    attacks.forEach(({ name }) => rmSync(path.join(other, name), { recursive: true }));
  }
});

test(`nothing is lost on a guest whose daemon dies, that programs are not told of (SEED=${seed})`, async () => {
  using logs = new Logs();
  await using cluster = await ClusterProcesses.start(3);
  const chance = new SeededRandom(seed);
  const places: string[] = [];
  for (const host of cluster.hosts) places.push(await host.mount('data'));
  const [, guest] = cluster.hosts;
  const [first, second, third] = places as [string, string, string];
  for (let round = 0; round < rounds; round++) {
    // A daemon that dies more than five times in a minute is given up.
    if (round > 0 && round % 2 === 0) await sleep(60_000);
    const attacks = await begin(second, chance, logs);
    await sleep(chance.between(20, 2500));
    await guest!.crash();
    const stories = await Promise.all(attacks.map((attack) => attack.end()));
    // What it had mapped, and an exchange that was not answered, it may have to be told of: whoever was told nothing has lost nothing.
    const loss = (index: number): Loss => (stories[index]!.failure === undefined ? 'nothing' : 'any');
    // What was done last is not said yet.
    await guest!.crash();
    for (const [index, { name }] of attacks.entries()) await judgeTwice(stories[index]!, name, [second, first, third], loss(index));
    for (const place of [first, third]) attacks.forEach(({ name }, index) => void judge(stories[index]!, name, place, loss(index)));
    attacks.forEach(({ name }) => rmSync(path.join(second, name), { recursive: true }));
  }
});
