import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { makeDirectory } from '../../src/api/index.ts';

test('a directory is made with those above it, or it is said why there can be none', (t) => {
  const base = mkdtempSync(path.join(tmpdir(), 'infinit-directory-'));
  t.after(() => rmSync(base, { recursive: true, force: true }));
  const deep = path.join(base, 'a', 'b');
  for (let twice = 0; twice < 2; twice++) makeDirectory(deep, 0o700);
  assert.equal(statSync(deep).mode & 0o777, 0o700);
  const file = path.join(base, 'file');
  writeFileSync(file, '');
  for (const wrong of [file, path.join(file, 'below')])
    assert.throws(() => makeDirectory(wrong), { code: 'bad-argument', message: `${wrong} is no directory` });
});

test('where the file system has no such place it is refused rather than tried again', () => {
  assert.throws(() => makeDirectory('/proc/none/such'), { code: 'bad-argument', message: /^\/proc\/none\/such cannot be made/ });
});
