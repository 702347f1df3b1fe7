/** The log of what is not durable, by itself: when it is whole, and what memory that takes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import type { Inode } from '../../src/filesystem/inodes/inode.ts';
import { RedoLog, type RedoMark } from '../../src/filesystem/redo/redo-log.ts';
import type { SurvivingMemory } from '../../src/filesystem/redo/surviving-memory.ts';
import { volumeId } from './harness.ts';

const mebi = 1024 * 1024;
const headBytes = 4096;
const time = { seconds: 1, nanoseconds: 0 };

/** Counts what was asked for. */
class Memory implements SurvivingMemory {
  readonly bytes: Uint8Array;
  readonly #provided = new Set<number>();

  constructor(bytes: Uint8Array | number) {
    this.bytes = new Uint8Array(bytes as number);
  }

  get providedBytes(): number {
    return this.#provided.size * 4096;
  }

  get complete(): boolean {
    return new Float64Array(this.bytes.buffer)[7] === 1;
  }

  provide(from: number, to: number): boolean {
    for (let page = Math.floor(from / 4096); page * 4096 < to; page++) this.#provided.add(page);
    return true;
  }

  release(): void {
    this.#provided.clear();
  }
}

function fileOf(number: number): Inode {
  return { number, mode: 0o100644, uid: 1, gid: 1, size: 1, accessed: time, modified: time, changed: time, revision: 1, xattrsRevision: 0 } as Inode;
}

function begun(memory: Memory): RedoLog {
  const log = new RedoLog(memory, volumeId);
  log.begin(1, 0, true);
  return log;
}

interface Stream {
  readonly memory: Memory;
  /** Parts of the time in which a process that died would have left nothing that counts, and in which the writer waited. */
  readonly incomplete: number;
  readonly waited: number;
}

/** A writer of so many MiB/s beside a flusher as `Flusher` is: a flush takes 0.3 s, and begins a second after the one before ended, or at once where the log asks for it. */
async function stream(rate: number, seconds: number, capacity: number): Promise<Stream> {
  const memory = new Memory(headBytes + capacity);
  const log = begun(memory);
  const [file, data] = [fileOf(7), new Uint8Array(16 * 1024)];
  const counts = { incomplete: 0, waited: 0 };
  let [dueMs, endsMs, blocked, owed] = [1000, 0, false, 0];
  let mark: RedoMark | undefined;
  for (let nowMs = 0; nowMs < 1000 * seconds; nowMs++) {
    log.onFilling = () => (dueMs = nowMs);
    if (mark !== undefined && nowMs >= endsMs) {
      log.trim(mark);
      mark = undefined;
      dueMs = log.filling ? nowMs : nowMs + 1000;
    }
    if (mark === undefined && nowMs >= dueMs) [mark, endsMs] = [log.mark(), nowMs + 300];
    for (owed += (rate * mebi) / 1000; owed > 0 && !blocked; owed -= data.length) {
      log.write(7, 0, data);
      log.attributes(file);
      const wait = log.wait();
      blocked = wait !== undefined;
      void wait?.then(() => (blocked = false));
    }
    owed = Math.min(owed, (rate * mebi) / 1000);
    await Promise.resolve();
    if (!memory.complete) counts.incomplete++;
    if (blocked) counts.waited++;
  }
  return { memory, incomplete: counts.incomplete / (1000 * seconds), waited: counts.waited / (1000 * seconds) };
}

test('under a steady stream the log is whole all the time', async () => {
  for (const rate of [1, 3, 5, 8, 13, 20, 40]) {
    const { incomplete, waited } = await stream(rate, 12, 128 * mebi);
    assert.equal(incomplete, 0, `at ${rate} MiB/s`);
    if (rate <= 20) assert.equal(waited, 0, `at ${rate} MiB/s`);
  }
});

test('a slow stream uses little of the memory, again and again', async () => {
  const { memory } = await stream(3, 40, 128 * mebi);
  assert.ok(memory.providedBytes <= 16 * mebi, `${memory.providedBytes} bytes`);
});

test('after there was no room, what is written out next begins the log anew', async () => {
  const memory = new Memory(headBytes + mebi);
  const log = begun(memory);
  let asked = 0;
  log.onFilling = () => asked++;
  const early = log.mark();
  for (let count = 0; count < 3; count++) log.write(7, 0, new Uint8Array(mebi / 2));
  assert.ok(!memory.complete && asked > 0 && log.filling && log.wait() === undefined);
  // It began before there was no room.
  log.trim(early);
  assert.ok(!memory.complete && log.filling);
  const mark = log.mark();
  log.write(8, 0, new Uint8Array(16));
  log.attributes(fileOf(8));
  log.trim(mark);
  assert.ok(memory.complete && !log.filling);
  assert.deepEqual(
    [...log.records()].map(({ kind }) => kind),
    ['write', 'attributes'],
  );
});

test('a log that counts has all that was written since the last flush, in order, for the next process too', () => {
  const step = fc.oneof(
    { weight: 10, arbitrary: fc.record({ bytes: fc.integer({ min: 1, max: 600_000 }) }) },
    { weight: 10, arbitrary: fc.record({ bytes: fc.integer({ min: 1, max: 100 }) }) },
    { weight: 4, arbitrary: fc.constant('flush begins' as const) },
    { weight: 4, arbitrary: fc.constant('flush ends' as const) },
    { weight: 1, arbitrary: fc.constant('death' as const) },
  );
  // The largest has room enough for places that were used before to be taken again before others.
  const capacity = fc.constantFrom(65_536, mebi, 12 * mebi + 48);
  let looks = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: 'max' }), capacity, (list, bytes) => {
      let memory = new Memory(headBytes + bytes);
      let log = begun(memory);
      let [session, written, durable] = [1, 0, 0];
      let flush: { readonly mark: RedoMark; readonly written: number } | undefined;
      for (const what of list) {
        if (typeof what === 'object') {
          log.write(7, ++written, new Uint8Array(what.bytes).fill(written));
          log.attributes(fileOf(7));
        } else if (what === 'flush begins') flush = { mark: log.mark(), written };
        else if (what === 'flush ends' && flush !== undefined) {
          log.trim(flush.mark);
          durable = flush.written;
          flush = undefined;
        } else if (what === 'death' && memory.complete) {
          memory = new Memory(memory.bytes);
          log = new RedoLog(memory, volumeId);
          assert.ok(log.adopt(session, ++session));
          log.resume(session);
          flush = undefined;
        }
        if (typeof what === 'object' || !memory.complete) continue;
        const there = [...log.records()].flatMap((record) => (record.kind === 'write' ? [record] : []));
        for (const { offset, data } of there) assert.deepEqual([data[0], data[data.length >> 1], data.at(-1)], Array(3).fill(offset % 256));
        const [first = written + 1] = there.map(({ offset }) => offset);
        assert.ok(first <= durable + 1, `${first} is the first, and ${durable} the last that is durable`);
        assert.deepEqual(
          there.map(({ offset }) => offset),
          Array.from({ length: written + 1 - first }, (_, index) => first + index),
        );
        looks++;
      }
    }),
    { numRuns: 100 },
  );
  assert.ok(looks > 1000);
});
