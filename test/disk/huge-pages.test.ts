import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

import { offerHugePages } from '../../src/base/index.ts';
import { DirectFile } from '../../src/disk/direct-file.ts';
import { askForHugePages } from '../../src/fuse/index.ts';
import { TemporaryDirectory } from './support.ts';

// In a process of its own: another test may have left memory for this one.
test('the memory of large writes is asked for in large pages, once for all of them, and holds what is written', async () => {
  await using directory = await TemporaryDirectory.make();
  const asked: Uint8Array[] = [];
  offerHugePages((memory) => {
    asked.push(memory);
    askForHugePages(memory);
  });
  const bytes = randomBytes(5 * 1024 * 1024);
  let written = 0;
  for (const name of ['one', 'other']) {
    const file = path.join(directory.path, name);
    await writeFile(file, '');
    const direct = new DirectFile(file);
    if (await direct.append([bytes], 0, bytes.length, async () => 0)) {
      written++;
      assert.ok((await readFile(file)).subarray(0, bytes.length).equals(bytes));
    }
    await direct.close();
  }
  assert.equal(asked.length, Math.min(1, written), 'a file system that can write past its cache takes one piece of memory');
});
