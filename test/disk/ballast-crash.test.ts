import assert from 'node:assert/strict';
import { cpSync, existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { codeOf } from '../../src/base/index.ts';
import { immutableAddress } from '../../src/block/index.ts';
import { type DiskOperation, LogDisk } from '../../src/disk/index.ts';
import { eventually } from '../suites/transport-suite.ts';
import { FaultyFiles, type Tear } from './faulty-files.ts';
import { contents, numbered, TemporaryDirectory, valueOf } from './support.ts';

const mebibyte = 1024 * 1024;
/** 1 MiB is put aside. */
const little = { segmentBytes: 4 * mebibyte, reserveBytes: 2 * mebibyte, tickMs: 20 } as const;

function content(number: number): DiskOperation & { readonly type: 'put' } {
  const bytes = valueOf(number, 100_000 + number);
  return { type: 'put', address: immutableAddress(bytes), bytes };
}

/** One call. */
interface Call {
  readonly operations: DiskOperation[];
  /** What it refers to, and brings. */
  readonly content?: number;
  /** The values that it gives to numbers; undefined: it removes them. */
  readonly says: ReadonlyMap<number, string | undefined>;
}

function says(number: number, seed: number, length: number): Call {
  const bytes = valueOf(seed, length);
  return { operations: [{ type: 'put', address: numbered(number), bytes }], says: new Map([[number, Buffer.from(bytes).toString('hex')]]) };
}

/** Content, and a small value that refers to it. */
function refers(number: number, to: number): Call {
  const { operations, says: said } = says(number, to, 200 + to);
  return { operations: [content(to), ...operations], content: to, says: said };
}

const gone: Call = { operations: [{ type: 'delete', address: numbered(0) }], says: new Map([[0, undefined]]) };
/** What is called for at once goes in one group, and the second begins where the first ended. */
const groups: readonly (readonly Call[])[] = [
  [says(1, 40, 900), refers(2, 3), gone, refers(1, 5), says(3, 41, 20_000)],
  [says(2, 42, 30), refers(3, 7), says(1, 43, 5000)],
];

/** Whether what is found has all that was acknowledged, and of what is not known a part: calls with content may be refused, the others went in their order. */
function mayBe(found: ReadonlyMap<number, string>, acknowledged: ReadonlyMap<number, string | undefined>, unsure: readonly Call[]): boolean {
  if ([0, 1, 2, 3].every((number) => found.get(number) === acknowledged.get(number))) return true;
  const [next, ...rest] = unsure;
  if (next === undefined) return false;
  return mayBe(found, new Map([...acknowledged, ...next.says]), rest) || (next.content !== undefined && mayBe(found, acknowledged, rest));
}

/** Two groups, of which the first finds no room so many times, with a crash in one of the changes on the medium. @returns false where there were fewer. */
async function crashWhenFull(base: string, changes: number, noRoom: number, share: number, tear: Tear): Promise<boolean> {
  await using directory = await TemporaryDirectory.make();
  cpSync(base, directory.path, { recursive: true });
  const files = new FaultyFiles();
  const disk = await LogDisk.open(directory.path, { ...little, tickMs: 60_000, files });
  Object.assign(files, { tear, failedWriteShare: share, changesUntilCrash: changes });
  files.errors.write.push(...Array.from({ length: noRoom }, () => 'ENOSPC'));
  const acknowledged: Map<number, string | undefined> = new Map(await contents(disk, 4));
  const unsure: Call[] = [];
  for (const calls of groups) {
    const ended = await Promise.allSettled(calls.map(({ operations }) => disk.write(operations)));
    for (const [at, call] of calls.entries()) {
      const each = ended[at]!;
      if (each.status === 'rejected') {
        if (codeOf(each.reason) !== 'disk-full') unsure.push(call);
        continue;
      }
      assert.equal(unsure.length, 0, 'what is acknowledged comes before what is not known');
      for (const [number, value] of call.says) acknowledged.set(number, value);
    }
  }
  const crashed = files.dead;
  files.dead = true;
  await disk[Symbol.asyncDispose]();
  await using again = await LogDisk.open(directory.path, little);
  assert.equal(again.status().damaged, 0);
  const found = await contents(again, 4);
  assert.ok(mayBe(found, acknowledged, unsure), 'all that was acknowledged is there, and nothing that was refused');
  for (const { content: to, says: said } of groups.flat())
    if (to !== undefined && [...said].some(([number, value]) => found.get(number) === value))
      assert.deepEqual(Uint8Array.from((await again.read(content(to).address))!), content(to).bytes, 'what is referred to is there');
  return crashed;
}

test('after a crash at any point of a group that found no room and is written again, nothing acknowledged is lost, and nothing refused is there', async () => {
  await using base = await TemporaryDirectory.make();
  {
    const ballast = path.join(base.path, 'ballast');
    await using disk = await LogDisk.open(base.path, little);
    for (let number = 0; number < 3; number++) await disk.write(says(number, number, 1000).operations);
    await eventually(() => existsSync(ballast) && statSync(ballast).size === mebibyte, 'it is put aside');
  }
  const tears: Tear[] = [
    { kind: 'lost' },
    { kind: 'prefix', share: 0.6 },
    { kind: 'sectors', pick: (sector) => sector % 3 !== 1 },
    { kind: 'whole' },
  ];
  let points = 0;
  for (const tear of tears)
    for (const [noRoom, share] of [
      [1, 0.6],
      [1, 1],
      [2, 0.6],
    ] as const)
      for (let changes = 1; await crashWhenFull(base.path, changes, noRoom, share, tear); changes++) points++;
  assert.ok(points >= 4 * 3 * 4, `${points} crashes`);
});
