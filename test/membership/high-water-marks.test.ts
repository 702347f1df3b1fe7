import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HighWaterMarks } from '../../src/membership/high-water-marks.ts';
import { decodeReport, encodeReport } from '../../src/membership/messages.ts';

const report = { serial: 1, newest: 1, standing: 'member', resolved: 0, floor: 0, silent: [] } as const;

/** Hosts that tell each other what they have written, in the way in which it travels. */
class World {
  readonly said: string[] = [];

  /** A run of a host's daemon that found so many records. */
  open(self: string, opened: number, mayTell = true) {
    const disk = { written: opened };
    const onWentBack = (peer: string, missing: number): void => void this.said.push(`${self}: ${peer} lacks ${missing}`);
    return { self, disk, marks: new HighWaterMarks({ self, disk, mayTell: () => mayTell, onWentBack }) };
  }

  told(from: Host, to: Host) {
    return decodeReport(encodeReport(report, undefined, from.marks.toTell(to.self)), undefined).marks;
  }

  tell(from: Host, to: Host): void {
    to.marks.hear(from.self, this.told(from, to));
  }
}

type Host = ReturnType<World['open']>;

test('a host whose disk was put back is told so by whoever remembers more, and is known for it there', () => {
  const world = new World();
  const [a, b] = [world.open('a', 10), world.open('b', 20)];
  world.tell(b, a);
  b.disk.written = 30;
  world.tell(b, a);
  // A start that finds what a crash left, and more that nobody heard of.
  const restarted = world.open('b', 31);
  restarted.disk.written = 40;
  world.tell(a, restarted);
  world.tell(restarted, a);
  world.tell(a, restarted);
  assert.deepEqual(world.said, []);
  const putBack = world.open('b', 38);
  // What it writes at its start makes up for nothing.
  putBack.disk.written = 45;
  world.tell(a, putBack);
  world.tell(putBack, a);
  assert.deepEqual(world.said.splice(0), ['b: b lacks 2', 'a: b lacks 2']);
  putBack.disk.written = 60;
  world.tell(a, putBack);
  assert.deepEqual(world.said, ['b: b lacks 2']);
});

test('a disk put back to the very moment at which a run began is noticed as well', () => {
  const world = new World();
  const [a, b] = [world.open('a', 10), world.open('b', 20)];
  b.disk.written = 30;
  world.tell(b, a);
  const putBack = world.open('b', 20);
  world.tell(putBack, a);
  world.tell(a, putBack);
  assert.deepEqual(world.said, ['a: b lacks 10', 'b: b lacks 10']);
});

test('what is heard late, of a run that has ended or of the same, accuses nobody', () => {
  const world = new World();
  const [a, b] = [world.open('a', 10), world.open('b', 20)];
  const first = world.told(b, a);
  b.disk.written = 30;
  const second = world.told(b, a);
  a.marks.hear('b', second);
  a.marks.hear('b', first);
  const next = world.open('b', 30);
  next.disk.written = 35;
  world.tell(next, a);
  a.marks.hear('b', second);
  world.tell(a, next);
  world.tell(next, a);
  assert.deepEqual(world.said, []);
});

test('what a host that may not store says of this one is not believed; one of before says nothing', () => {
  const world = new World();
  const reader = world.open('reader', 0);
  const a = world.open('a', 10, false);
  reader.marks.hear('a', { written: { run: 'x', opened: 1000, now: 1000 } });
  world.tell(reader, a);
  a.marks.hear('old', {});
  assert.deepEqual(world.said, []);
});
