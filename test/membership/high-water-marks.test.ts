import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import type { DiskOperation } from '../../src/disk/index.ts';
import { HighWaterMarks } from '../../src/membership/high-water-marks.ts';
import { decodeReport, encodeReport } from '../../src/membership/messages.ts';

const report = { serial: 1, newest: 1, standing: 'member', resolved: 0, floor: 0, silent: [] } as const;

/** Hosts that tell each other what they have written, in the way in which it travels. */
class World {
  readonly said: string[] = [];

  /** What each host keeps on its disk, the count of records aside. */
  readonly meta = new Map<string, Uint8Array>();
  writes = 0;

  /** A run of a host's daemon that found so many records. */
  async open(self: string, opened: number, mayTell = true) {
    const disk = {
      written: opened,
      readMeta: async (key: string) => this.meta.get(`${self} ${key}`),
      write: async (operations: readonly DiskOperation[]) => {
        this.writes++;
        for (const operation of operations) if (operation.type === 'put-meta') this.meta.set(`${self} ${operation.key}`, operation.bytes);
      },
    };
    const onWentBack = (peer: string, missing: number): void => void this.said.push(`${self}: ${peer} lacks ${missing}`);
    return { self, disk, marks: await HighWaterMarks.open({ self, disk, mayTell: () => mayTell, onWentBack, logger: silentLogger }) };
  }

  told(from: Host, to: Host) {
    return decodeReport(encodeReport(report, undefined, from.marks.toTell(to.self)), undefined).marks;
  }

  tell(from: Host, to: Host): void {
    to.marks.hear(from.self, this.told(from, to));
  }
}

type Host = Awaited<ReturnType<World['open']>>;

test('a host whose disk was put back is told so by whoever remembers more, and is known for it there', async () => {
  const world = new World();
  const [a, b] = [await world.open('a', 10), await world.open('b', 20)];
  world.tell(b, a);
  b.disk.written = 30;
  world.tell(b, a);
  // A start that finds what a crash left, and more that nobody heard of.
  const restarted = await world.open('b', 31);
  restarted.disk.written = 40;
  world.tell(a, restarted);
  world.tell(restarted, a);
  world.tell(a, restarted);
  assert.deepEqual(world.said, []);
  const putBack = await world.open('b', 38);
  // What it writes at its start makes up for nothing.
  putBack.disk.written = 45;
  world.tell(a, putBack);
  world.tell(putBack, a);
  assert.deepEqual(world.said.splice(0), ['b: b lacks 2', 'a: b lacks 2']);
  putBack.disk.written = 60;
  world.tell(a, putBack);
  assert.deepEqual(world.said, ['b: b lacks 2']);
});

test('a disk put back to the very moment at which a run began is noticed as well', async () => {
  const world = new World();
  const [a, b] = [await world.open('a', 10), await world.open('b', 20)];
  b.disk.written = 30;
  world.tell(b, a);
  const putBack = await world.open('b', 20);
  world.tell(putBack, a);
  world.tell(a, putBack);
  assert.deepEqual(world.said, ['a: b lacks 10', 'b: b lacks 10']);
});

test('what is heard late, of a run that has ended or of the same, accuses nobody', async () => {
  const world = new World();
  const [a, b] = [await world.open('a', 10), await world.open('b', 20)];
  const first = world.told(b, a);
  b.disk.written = 30;
  const second = world.told(b, a);
  a.marks.hear('b', second);
  a.marks.hear('b', first);
  const next = await world.open('b', 30);
  next.disk.written = 35;
  world.tell(next, a);
  a.marks.hear('b', second);
  world.tell(a, next);
  world.tell(next, a);
  assert.deepEqual(world.said, []);
});

test('what a host that may not store says of this one is not believed; one of before says nothing', async () => {
  const world = new World();
  const reader = await world.open('reader', 0);
  const a = await world.open('a', 10, false);
  reader.marks.hear('a', { written: { run: 'x', opened: 1000, now: 1000 } });
  world.tell(reader, a);
  a.marks.hear('old', {});
  assert.deepEqual(world.said, []);
});

test('where all stop and start again, a disk that was put back meanwhile is noticed', async () => {
  const world = new World();
  const [a, b] = [await world.open('a', 10), await world.open('b', 20)];
  b.disk.written = 30;
  world.tell(b, a);
  await a.marks.close();
  const [after, putBack] = [await world.open('a', 11), await world.open('b', 25)];
  world.tell(after, putBack);
  world.tell(putBack, after);
  assert.deepEqual(world.said.splice(0), ['b: b lacks 5', 'a: b lacks 5']);
  const asItWas = await world.open('b', 30);
  world.tell(await world.open('a', 12), asItWas);
  world.tell(asItWas, await world.open('a', 12));
  assert.deepEqual(world.said, []);
});

test('what is kept without an end in order is a minute old, and next to nothing is not written', async () => {
  const world = new World();
  const [a, b] = [await world.open('a', 10), await world.open('b', 20)];
  const minutes = async (...counts: readonly number[]): Promise<void> => {
    for (const written of counts) {
      b.disk.written = written;
      world.tell(b, a);
      a.marks.keep((now += 60_000));
      await Promise.resolve();
    }
  };
  let now = 0;
  await minutes(120);
  assert.equal(world.writes, 0);
  await minutes(220);
  assert.equal(world.writes, 1);
  // All lose their power. Of two disks one wrote out nothing of the last minute, the other is a day old.
  for (const opened of [150, 100]) {
    const late = await world.open('b', opened);
    world.tell(await world.open('a', 10), late);
  }
  assert.deepEqual(world.said, ['b: b lacks 20']);
  // That they were kept is a record on each host, which is not to have all keep them again for ever.
  await minutes(221, 222, 223, 224, 225);
  assert.equal(world.writes, 2);
});

test('however many hosts come and go, a bounded number is remembered, and those heard last are', async () => {
  const world = new World();
  const a = await world.open('a', 10);
  const hear = (peer: string, opened: number): void => a.marks.hear(peer, { written: { run: `run of ${peer} at ${opened}`, opened, now: opened } });
  for (let count = 0; count < 5000; count++) hear(`host ${count}`, 100);
  await a.marks.close();
  const kept = JSON.parse(Buffer.from(world.meta.get('a membership/marks')!).toString()) as unknown[];
  assert.equal(kept.length, 1024);
  const again = await world.open('a', 10);
  again.marks.hear('host 4999', { written: { run: 'next', opened: 90, now: 90 } });
  assert.deepEqual(world.said.splice(0), ['a: host 4999 lacks 10']);
  // The first of them is a stranger.
  hear('host 0', 90);
  assert.deepEqual(world.said, []);
});
