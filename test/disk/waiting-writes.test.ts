import assert from 'node:assert/strict';
import { test } from 'node:test';

import { immutableAddress } from '../../src/block/index.ts';
import { type DiskOperation, LogDisk } from '../../src/disk/index.ts';
import { FaultyFiles } from './faulty-files.ts';
import { numbered, TemporaryDirectory, valueOf } from './support.ts';

const reserveBytes = 1024 * 1024;
/** Free bytes at which bulk data waits, and nothing else. */
const shortForBulk = 0.75 * reserveBytes;
/** Free bytes at which all waits that is no deletion. */
const shortForAll = 0.25 * reserveBytes;

/** Files whose compaction never ends before it may: whoever waits for room goes on waiting. */
class SlowToFree extends FaultyFiles {
  readonly #gate = Promise.withResolvers<void>();
  readonly #began = Promise.withResolvers<void>();
  /** Resolves when compaction is about to remove a segment. */
  readonly compacting = this.#began.promise;

  override async unlink(file: string): Promise<void> {
    if (/segment-/.test(file)) {
      this.#began.resolve();
      await this.#gate.promise;
    }
    await super.unlink(file);
  }

  /** There is room from now on. */
  giveRoom(): void {
    this.free = undefined;
    this.#gate.resolve();
  }
}

/** A disk that is short of room and is making some; `body` runs meanwhile. */
async function onShortDisk(free: number, body: (disk: LogDisk, giveRoom: () => void) => Promise<void>): Promise<void> {
  await using directory = await TemporaryDirectory.make();
  const files = new SlowToFree();
  const options = { files, reserveBytes, segmentBytes: 64 * 1024, checkpointRecords: 4, tickMs: 5 };
  await using disk = await LogDisk.open(directory.path, options);
  try {
    let compacts = false;
    void files.compacting.then(() => (compacts = true));
    for (let round = 0; !compacts; round++) await disk.write([put(10 + (round % 8), valueOf(round, 8000))]);
    files.free = free;
    // It asks now and then how much there is.
    while (disk.status().state === 'healthy') await new Promise((resolve) => setImmediate(resolve));
    await body(disk, () => files.giveRoom());
  } finally {
    files.giveRoom();
  }
}

function put(number: number, bytes: Uint8Array): DiskOperation {
  return { type: 'put', address: numbered(number), bytes };
}

/** Begins writes in turn; tells in which order they ended. */
function inTurn(
  disk: LogDisk,
  writes: readonly (readonly [string, readonly DiskOperation[]])[],
): { readonly ended: string[]; readonly all: Promise<unknown> } {
  const ended: string[] = [];
  const all = Promise.all(writes.map(([name, operations]) => disk.write(operations).then(() => ended.push(name))));
  return { ended, all };
}

test('a write that waits for room is not overtaken by a later one for the same address', async () => {
  await onShortDisk(shortForBulk, async (disk, giveRoom) => {
    const first = valueOf(1, 20_000);
    const address = immutableAddress(first);
    const waits = disk.write([{ type: 'put', address, bytes: first }, put(1, valueOf(1, 100))]);
    const later = [disk.write([put(1, valueOf(2, 100))]), disk.write([{ type: 'delete', address }])];
    giveRoom();
    await Promise.all([waits, ...later]);
    assert.deepEqual(Uint8Array.from((await disk.read(numbered(1)))!), valueOf(2, 100));
    assert.equal(await disk.read(address), undefined);
  });
});

test('small facts and deletions are durable in the order in which they were begun, also where one waits for room', async () => {
  await onShortDisk(shortForAll, async (disk, giveRoom) => {
    const { ended, all } = inTurn(disk, [
      ['fact', [{ type: 'put-meta', key: 'floor', bytes: valueOf(1, 8) }]],
      ['deletion', [{ type: 'delete', address: numbered(10) }]],
    ]);
    giveRoom();
    await all;
    assert.deepEqual(ended, ['fact', 'deletion']);
  });
});

test('bulk data that waits for room holds nothing else back', async () => {
  await onShortDisk(shortForBulk, async (disk, giveRoom) => {
    const bytes = valueOf(3, 20_000);
    let ended = false;
    const bulk = disk.write([{ type: 'put', address: immutableAddress(bytes), bytes }]).then(() => (ended = true));
    await disk.write([put(5, valueOf(5, 100))]);
    await disk.write([{ type: 'delete', address: numbered(5) }]);
    assert.equal(ended, false);
    giveRoom();
    await bulk;
    assert.deepEqual(Uint8Array.from((await disk.read(immutableAddress(bytes)))!), bytes);
  });
});
