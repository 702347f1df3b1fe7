import assert from 'node:assert/strict';
import { closeSync, openSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';

import type { Attributes, FileTime } from '../../src/filesystem/index.ts';
import { Mounted } from './mounted.ts';

const files = 100;
/** Some ticks of a kernel that has few of them. */
const laterMs = 30;

describe('the times of files that the kernel writes back', () => {
  let mounted: Mounted;
  const at = (name: string): string => mounted.path(name);
  before(async () => {
    mounted = await Mounted.start(undefined, 'volume');
  });
  after(() => mounted[Symbol.asyncDispose]());

  const nanoseconds = ({ seconds, nanoseconds: rest }: FileTime): bigint => BigInt(seconds) * 1_000_000_000n + BigInt(rest);

  /** The kernel and the volume agree; else the times would change once the kernel forgets the file. */
  async function assertAgreed(name: string): Promise<void> {
    const shown = statSync(at(name), { bigint: true });
    const kept = await mounted.command<Attributes>({ do: 'attributes', inode: Number(shown.ino) });
    assert.equal(shown.mtimeNs, nanoseconds(kept.modified), name);
    assert.equal(shown.ctimeNs, nanoseconds(kept.changed), name);
  }

  test('are not told where a file is written in the tick in which it was made, and are right all the same', async () => {
    for (let index = 0; index < files; index++) writeFileSync(at(`quick-${index}`), 'content');
    const told = (await mounted.statistics()).operations['setattr'] ?? 0;
    assert.ok(told < files, `${told} of ${files} told`);
    for (let index = 0; index < files; index++) await assertAgreed(`quick-${index}`);
  });

  test('are told where a file is written later, and only what the kernel says counts', async () => {
    const fd = openSync(at('slow'), 'w');
    await setTimeout(laterMs);
    writeSync(fd, 'content');
    const written = statSync(at('slow'), { bigint: true }).mtimeNs;
    await setTimeout(laterMs);
    closeSync(fd);
    assert.equal(statSync(at('slow'), { bigint: true }).mtimeNs, written);
    await assertAgreed('slow');
  });
});
