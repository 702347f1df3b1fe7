import assert from 'node:assert/strict';
import { test } from 'node:test';

import { UnsaidMemory } from '../../../src/filesystem/index.ts';
import type { UnsaidLot } from '../../../src/filesystem/shared/unsaid-lot.ts';
import { volumeId } from '../harness.ts';
import { seeded } from '../../suites/seeded.ts';
import { Memory } from '../redo-host.ts';

const mebibyte = 1024 * 1024;
const all = (_inode: number): boolean => true;
const version = { changed: { seconds: 7, nanoseconds: 8 }, modified: { seconds: 5, nanoseconds: 6 }, size: 3 };
const loan = '11111111-2222-3333-4444-555555555555';

/** What is in a lot, to be compared. */
function contentOf(lot: UnsaidLot): unknown {
  const records = [...lot.records()].map((record) => (record.kind === 'write' ? { ...record, bytes: Buffer.from(record.bytes()) } : record));
  return { inode: lot.inode, loan: lot.loan, expect: lot.expect, records };
}

function leftIn(memory: Memory, counts = all): readonly unknown[] {
  return UnsaidMemory.open(memory, volumeId, counts)!.left.map((lot) => contentOf(lot));
}

test('what a process that dies at any moment left unsaid is there for the next one, and nothing else', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const chance = seeded(seed);
    const below = (limit: number): number => Math.floor(chance() * limit);
    let memory = new Memory(3 * mebibyte);
    let { memory: unsaid } = UnsaidMemory.open(memory, volumeId, all)!;
    let lots: UnsaidLot[] = [];
    let time = 0;
    for (let step = 0; step < 300; step++) {
      const dice = chance();
      const lot = lots[below(lots.length)];
      const now = { seconds: ++time, nanoseconds: below(1e9) };
      if (lot === undefined || dice < 0.1) lots.push(unsaid.begin(1 + below(5), loan, { ...version, size: time }));
      else if (dice < 0.2) {
        lot.free();
        lots = lots.filter((each) => each !== lot);
      } else if (dice < 0.3) {
        const [mode, accessed] = [{ mode: below(512) }, { accessed: now }];
        lot.change({ ...(chance() < 0.5 ? mode : {}), ...(chance() < 0.5 ? accessed : {}), uid: below(9) }, now, version.modified);
      } else {
        const data = Buffer.alloc(below(chance() < 0.9 ? 5000 : 300_000), time % 251);
        lot.write(below(1e9), data, now, below(3));
      }
      if (chance() > 0.03) continue;
      const whole = lots.map((each) => contentOf(each)).filter((each) => (each as { records: unknown[] }).records.length > 0);
      memory = memory.copy();
      const next = UnsaidMemory.open(memory, volumeId, all)!;
      assert.deepEqual(
        next.left.map((each) => contentOf(each)),
        whole,
        `seed ${seed}, step ${step}`,
      );
      unsaid = next.memory;
      lots = [...next.left];
    }
  }
});

test('a lot that finds no room is given up, and takes nothing from the others', () => {
  const memory = new Memory(mebibyte);
  const { memory: unsaid } = UnsaidMemory.open(memory, volumeId, all)!;
  const now = version.changed;
  const one = unsaid.begin(1, loan, version);
  one.write(0, Buffer.from('kept'), now, 0);
  const large = unsaid.begin(2, loan, version);
  large.write(0, Buffer.alloc(500_000, 1), now, 0);
  large.write(500_000, Buffer.alloc(600_000, 2), now, 0);
  large.write(0, Buffer.from('no more of it'), now, 0);
  const three = unsaid.begin(3, loan, version);
  three.write(0, Buffer.alloc(500_000, 3), now, 0);
  assert.deepEqual(
    UnsaidMemory.open(memory.copy(), volumeId, all)!.left.map(({ inode }) => inode),
    [1, 3],
  );
});

test('what was told to be lost, or is of another volume or format, counts for nothing, and its room is free', () => {
  const memory = new Memory(mebibyte);
  const { memory: unsaid } = UnsaidMemory.open(memory, volumeId, all)!;
  for (const inode of [1, 2]) unsaid.begin(inode, loan, version).write(0, Buffer.alloc(400_000, inode), version.changed, 0);
  assert.equal(leftIn(memory.copy()).length, 2);
  const second = memory.copy();
  assert.deepEqual(
    leftIn(second, (inode) => inode === 2).map((each) => (each as { inode: number }).inode),
    [2],
  );
  assert.equal(leftIn(second).length, 1);
  assert.deepEqual(UnsaidMemory.open(memory.copy(), 'f'.repeat(32), all)!.left, []);
  const later = memory.copy();
  new Float64Array(later.bytes.buffer)[0] = 2;
  const { memory: begun } = UnsaidMemory.open(later, volumeId, all)!;
  begun.begin(9, loan, version).write(0, Buffer.alloc(900_000, 9), version.changed, 0);
  assert.equal(leftIn(later.copy()).length, 1);
});

test('memory that kills whoever reads it is left alone after three deaths', () => {
  const memory = new Memory(mebibyte);
  const { memory: unsaid } = UnsaidMemory.open(memory, volumeId, all)!;
  unsaid.begin(1, loan, version).write(0, Buffer.from('deadly'), version.changed, 0);
  const dies = (): never => {
    throw new Error('dead');
  };
  for (let death = 0; death < 3; death++) assert.throws(() => UnsaidMemory.open(memory, volumeId, dies));
  assert.deepEqual(leftIn(memory), []);
});

test('what a daemon that knows of no such memory has written over it does no harm', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const chance = seeded(seed);
    const memory = new Memory(mebibyte);
    const { memory: unsaid } = UnsaidMemory.open(memory, volumeId, all)!;
    for (const inode of [1, 2]) unsaid.begin(inode, loan, version).write(0, Buffer.alloc(200_000, inode), version.changed, 0);
    const next = memory.copy();
    const from = 4096 + Math.floor(chance() * 100_000);
    for (let at = from; at < next.bytes.length; at++) next.bytes[at] = chance() < 0.5 ? 255 : Math.floor(chance() * 256);
    const { memory: again, left } = UnsaidMemory.open(next, volumeId, all)!;
    for (const lot of left) {
      for (const record of lot.records()) if (record.kind === 'write') record.bytes();
      lot.free();
    }
    again.begin(3, loan, version).write(0, Buffer.alloc(300_000, 3), version.changed, 0);
    assert.deepEqual(
      UnsaidMemory.open(next.copy(), volumeId, all)!.left.map(({ inode }) => inode),
      [3],
    );
  }
});

test('where there is no memory to be had there is none, and nothing fails', () => {
  const memory = new Memory(mebibyte);
  let has = true;
  const scarce = { bytes: memory.bytes, provide: () => has, release: () => {} };
  const { memory: unsaid } = UnsaidMemory.open(scarce, volumeId, all)!;
  has = false;
  const lot = unsaid.begin(1, loan, version);
  lot.write(0, Buffer.from('nowhere'), version.changed, 0);
  lot.free();
  assert.deepEqual(leftIn(memory), []);
  assert.equal(UnsaidMemory.open(scarce, volumeId, all), undefined);
});
