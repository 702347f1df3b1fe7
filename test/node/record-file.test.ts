import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
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
  first.put([['kept', [1, { end: null }]]]);
  first.put([['gone', 2]]);
  first.put([['gone', undefined]]);
  // Far more changes than records: the file stays small.
  const long = 'x'.repeat(10_000);
  for (let turn = 0; turn < 500; turn++) first.put([['changing', [turn, long]]]);
  assert.ok(readFileSync(file).length <= 1024 * 1024);
  // It was killed in the middle of a line.
  appendFileSync(file, '["half');
  const expected = new Map<string, unknown>([
    ['kept', [1, { end: null }]],
    ['changing', [499, long]],
  ]);
  const second = open(true);
  assert.deepEqual(second.all(), expected);
  assert.ok(second.isWhole);
  second.close(false);
  const third = open(true);
  assert.deepEqual(third.all(), expected);
  third.close(true);
  assert.ok(!existsSync(file));
  const [left, next] = [open(false), open(false)];
  left.put([['kept', 1]]);
  assert.deepEqual(next.all(), new Map());
  for (const each of [left, next]) each.close(true);
  // The one before could not keep them.
  const [afterNone, afterThat] = [open(true), open(true)];
  assert.deepEqual([next.isWhole, afterNone.isWhole, afterThat.isWhole], [true, false, false]);
});

test('a file that took only a part of what was written is given up', (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-records-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = path.join(directory, 'v.locks');
  const module = path.resolve(import.meta.dirname, '../../src/node/record-file.ts');
  const script = `import(${JSON.stringify(module)}).then(({ RecordFile }) => {
    const logger = { warn() {} };
    new RecordFile(${JSON.stringify(file)}, false, logger).put([['key', 'x'.repeat(5000)]]);
  })`;
  // Where a process may write no more than 2 or 4 KiB, depending on the shell, the first call writes as much and succeeds.
  const { status, stderr } = spawnSync('sh', ['-c', 'trap "" XFSZ; ulimit -f 4; exec "$0" -e "$1"', process.execPath, script], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  assert.ok(!existsSync(file));
});
