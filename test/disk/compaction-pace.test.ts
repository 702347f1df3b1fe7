import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CompactionPace } from '../../src/disk/compaction-pace.ts';

const MiB = 1024 * 1024;

/** A store of 100 segments with so many bytes of use, whose callers are the test's. */
class Bench {
  now = 0;
  calls = 0;
  live = 60 * MiB;
  room = 1000 * MiB;
  readonly pace = new CompactionPace(
    {
      segmentBytes: MiB,
      bytesPerSecond: 64 * MiB,
      calls: () => this.calls,
      usedBytes: () => 100 * MiB,
      liveBytes: () => this.live,
      roomBytes: () => this.room,
    },
    () => this.now,
  );

  /** A tenth of a second in which so many calls come. */
  pass(calls: number): this {
    assert.ok(this.pace.bytesPerSecond > 0);
    this.now += 100;
    this.calls += calls;
    return this;
  }
}

test('where nobody writes, or a lease is renewed now and then, compaction copies at its whole rate in large pieces, and what it finds to be garbage costs nothing', () => {
  const { pace } = new Bench().pass(2);
  assert.equal(pace.bytesPerSecond, 64 * MiB);
  assert.equal(pace.pieceBytes, MiB);
  assert.equal(pace.pauseMs(MiB, MiB, 0), 1000 / 64);
  assert.equal(pace.pauseMs(MiB, 0, 0), 0);
  assert.equal(pace.pauseMs(MiB, MiB, 1000), 0);
});

test('while others write it copies little at a time and in a second, and the search costs as well', () => {
  const { pace } = new Bench().pass(100);
  assert.equal(pace.bytesPerSecond, 4 * MiB);
  assert.ok(pace.pieceBytes <= MiB / 8);
  assert.equal(pace.pauseMs(MiB, MiB, 0), 1500 / 4);
  assert.equal(pace.pauseMs(MiB, 0, 0), 500 / 4);
});

test('it knows within a tenth of a second that others begin or end to write', () => {
  const bench = new Bench().pass(0);
  assert.equal(bench.pace.bytesPerSecond, 64 * MiB);
  assert.equal(bench.pass(10).pace.bytesPerSecond, 4 * MiB);
  assert.equal(bench.pass(0).pace.bytesPerSecond, 64 * MiB);
});

test('the more garbage there is, or the less room, the faster it goes, up to the whole rate', () => {
  const bench = new Bench().pass(100);
  const rates = [60, 50, 40, 30, 25, 10].map((live) => {
    bench.live = live * MiB;
    return bench.pace.bytesPerSecond;
  });
  assert.deepEqual(
    rates,
    rates.toSorted((a, b) => a - b),
  );
  assert.deepEqual([rates[1], rates[4], rates[5]], [4 * MiB, 64 * MiB, 64 * MiB]);
  // What is nearly all garbage is gone through as fast as it can be: it may be made faster than the rate.
  assert.equal(bench.pace.pauseMs(MiB, 0, 0), 0);
  bench.live = 60 * MiB;
  bench.room = 8 * MiB;
  assert.equal(bench.pace.bytesPerSecond, 34 * MiB);
  bench.room = -MiB;
  assert.equal(bench.pace.bytesPerSecond, 64 * MiB);
});

test('a store of few segments is not pressed by what they waste', () => {
  const pace = new CompactionPace(
    {
      segmentBytes: 64 * MiB,
      bytesPerSecond: 64 * MiB,
      calls: () => 100,
      usedBytes: () => 200 * MiB,
      liveBytes: () => MiB,
      roomBytes: () => 4096 * MiB,
    },
    () => 1000,
  );
  assert.equal(pace.bytesPerSecond, 4 * MiB);
});
