import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { FileSystemError } from '../../src/filesystem/index.ts';
import { ReplacingFiles, type ReplacingFilesParts } from '../../src/filesystem/journal/replacing-files.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

test('a file for which names wait no longer is not kept in memory for that', async () => {
  const parts = {
    records: { commit: () => Promise.reject(new FileSystemError('EIO')) },
    contents: { sync: () => Promise.resolve(false) },
    redo: {},
    late: () => ({ has: () => false, failureOf: () => undefined }),
  } as unknown as ReplacingFilesParts;
  const replacing = new ReplacingFiles(parts);
  type File = Parameters<ReplacingFiles['holds']>[0];
  const passed = async (): Promise<WeakRef<File>> => {
    const file = { links: 1, born: true, exposed: true, writtenRevision: 3 } as unknown as File;
    assert.ok(await replacing.letPast([file]));
    assert.equal(replacing.holds(file), false);
    file.writtenRevision++;
    assert.ok(replacing.holds(file), 'its hosts are back');
    return new WeakRef(file);
  };
  const file = await passed();
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  assert.equal(file.deref(), undefined);
  assert.equal(await replacing.letPast([]), false);
});
