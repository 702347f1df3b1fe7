import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { insistOnFile, insistOnFileNow } from '../../src/base/index.ts';

test('what lies in the place of a file and is none is refused before it is opened, by its name', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-ordinary-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const at = (name: string): string => path.join(directory, name);
  assert.equal(spawnSync('mkfifo', [at('fifo')]).status, 0);
  symlinkSync('fifo', at('link'));
  writeFileSync(at('file'), 'four');
  symlinkSync('file', at('way'));
  symlinkSync('nowhere', at('lost'));
  for (const [place, message] of [
    [at('fifo'), /fifo is a FIFO, and has to be a file/],
    [at('link'), /link is a FIFO/],
    [directory, /is a directory/],
    ['/dev/null', /is a device/],
    [at('file'), /file has 4 bytes; no such file has more than 3/],
  ] as const) {
    const refusal = { code: 'damaged', message } as const;
    await assert.rejects(insistOnFile(place, { code: 'damaged', maxBytes: 3 }), refusal);
    assert.throws(() => insistOnFileNow(place, { code: 'damaged', maxBytes: 3 }), refusal);
  }
  for (const place of [at('file'), at('way'), at('lost'), at('nothing')]) {
    await insistOnFile(place, { code: 'damaged' });
    insistOnFileNow(place, { code: 'damaged' });
  }
});
