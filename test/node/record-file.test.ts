import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { RecordFile } from '../../src/node/record-file.ts';

test('the next daemon of a mount reads what the one before recorded, and that of a new mount nothing', (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-records-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = path.join(directory, 'run', 'v.locks');
  const open = (adopted: boolean): RecordFile => new RecordFile(file, adopted, silentLogger);
  const first = open(false);
  first.put('kept', [1, { end: null }]);
  first.put('gone', 2);
  first.put('gone', undefined);
  // Far more changes than records: the file stays small.
  for (let turn = 0; turn < 5000; turn++) first.put('changing', turn);
  assert.ok(readFileSync(file, 'utf8').split('\n').length < 2000);
  // It was killed in the middle of a line.
  appendFileSync(file, '["half');
  const expected = new Map<string, unknown>([
    ['kept', [1, { end: null }]],
    ['changing', 4999],
  ]);
  const second = open(true);
  assert.deepEqual(second.all(), expected);
  second.close(false);
  const third = open(true);
  assert.deepEqual(third.all(), expected);
  third.close(true);
  assert.ok(!existsSync(file));
  const [left, next] = [open(false), open(false)];
  left.put('kept', 1);
  assert.deepEqual(next.all(), new Map());
  for (const each of [left, next]) each.close(true);
});
