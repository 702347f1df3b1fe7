import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { codeOf } from '../../src/base/index.ts';
import { type DiskOperation, LogDisk } from '../../src/disk/index.ts';
import { FaultyFiles, type Tear } from './faulty-files.ts';
import { contents, numbered, TemporaryDirectory, valueOf } from './support.ts';

const keys = 8;

type Step = readonly { readonly key: number; readonly length: number | undefined; readonly seed: number }[];

const operation = fc.record({
  key: fc.nat(keys - 1),
  length: fc.oneof({ weight: 1, arbitrary: fc.constant(undefined) }, { weight: 3, arbitrary: fc.oneof(fc.nat(600), fc.nat(40_000)) }),
  seed: fc.nat(255),
});
/** A call with several operations. */
const call = fc.array(operation, { minLength: 1, maxLength: 4 });
/** Calls made at the same time. */
const burst = fc.array(call, { minLength: 1, maxLength: 5 });
const tear: fc.Arbitrary<Tear> = fc.oneof(
  fc.constant({ kind: 'lost' } as const),
  fc.constant({ kind: 'whole' } as const),
  fc.double({ min: 0, max: 1, noNaN: true }).map((share) => ({ kind: 'prefix', share }) as const),
  fc.nat().map((seed) => ({ kind: 'sectors', pick: (sector: number) => ((seed + sector) * 2654435761) % 7 < 4 }) as const),
);

function toOperations(step: Step): DiskOperation[] {
  return step.map(({ key, length, seed }) =>
    length === undefined ? { type: 'delete', address: numbered(key) } : { type: 'put', address: numbered(key), bytes: valueOf(seed, length) },
  );
}

function apply(model: Map<number, string>, step: Step): void {
  for (const { key, length, seed } of step) {
    if (length === undefined) model.delete(key);
    else model.set(key, Buffer.from(valueOf(seed, length)).toString('hex'));
  }
}

function equal(a: ReadonlyMap<number, string>, b: ReadonlyMap<number, string>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}

/** Runs bursts until the power goes, then holds that a prefix of the operations survived, with all that was acknowledged. */
async function crashOnce(
  directory: string,
  model: Map<number, string>,
  bursts: readonly Step[][],
  writesUntilCrash: number,
  how: Tear,
): Promise<void> {
  const files = new FaultyFiles();
  const disk = await LogDisk.open(directory, { files, segmentBytes: 64 * 1024, checkpointRecords: 16, tickMs: 20 });
  files.writesUntilCrash = writesUntilCrash;
  files.tear = how;
  const unsure: Step[] = [];
  for (const calls of bursts) {
    const results = await Promise.allSettled(calls.map((step) => disk.write(toOperations(step))));
    // Acknowledged calls form a prefix: a call is never durable without the ones before it.
    const failed = results.findIndex(({ status }) => status === 'rejected');
    if (failed >= 0) assert.ok(results.slice(failed).every(({ status }) => status === 'rejected'));
    for (const [at, step] of calls.entries()) {
      if (results[at]!.status === 'fulfilled') apply(model, step);
      else unsure.push(step);
    }
  }
  // Power off, whether or not a write was under way.
  const { written } = disk;
  files.dead = true;
  await disk[Symbol.asyncDispose]();
  await using recovered = await LogDisk.open(directory, { segmentBytes: 64 * 1024, checkpointRecords: 16, tickMs: 20 });
  assert.equal(recovered.status().damaged, 0);
  assert.ok(recovered.written >= written, `${recovered.written} records were written, and ${written} before`);
  const found = await contents(recovered, keys);
  const candidate = new Map(model);
  const single = unsure.flat().map((one) => [one]);
  let matches = equal(candidate, found);
  for (const step of single) {
    if (matches) break;
    apply(candidate, step);
    matches = equal(candidate, found);
  }
  assert.ok(matches, 'what is there is a prefix of what was written, and has all that was acknowledged');
  model.clear();
  for (const [key, value] of found) model.set(key, value);
}

test('a crash in any write leaves a prefix with all that was acknowledged, crash after crash', { timeout: 300_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.array(burst, { minLength: 1, maxLength: 12 }), fc.integer({ min: 1, max: 20 }), tear), { minLength: 1, maxLength: 4 }),
      async (lives) => {
        await using directory = await TemporaryDirectory.make();
        const model = new Map<number, string>();
        for (const [bursts, writes, how] of lives) await crashOnce(directory.path, model, bursts, writes, how);
      },
    ),
    { numRuns: 40, interruptAfterTimeLimit: 8_000, markInterruptAsFailure: false },
  );
});

function step(key: number): Step {
  return [{ key, length: 3000, seed: key }];
}

test('after a crash during the rewrite of the last group nothing acknowledged is lost', async () => {
  await using directory = await TemporaryDirectory.make();
  const model = new Map<number, string>();
  await crashOnce(directory.path, model, [[step(1)], [step(2), step(3)], [step(4)]], 4, { kind: 'whole' });
  for (let round = 0; round < 3; round++) {
    const files = new FaultyFiles();
    files.writesUntilCrash = 1;
    files.tear = { kind: 'sectors', pick: (sector) => sector % 2 === round % 2 };
    await LogDisk.open(directory.path, { files }).then(
      (disk) => disk[Symbol.asyncDispose](),
      (error: unknown) => assert.ok(['EIO', 'bug', 'disk-failed'].includes((error as { code?: string }).code ?? codeOf(error))),
    );
  }
  await using disk = await LogDisk.open(directory.path);
  assert.ok(equal(await contents(disk, keys), model));
});
