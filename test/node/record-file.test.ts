import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

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

test('where the file system is full the next daemon knows that it does not know all, until a mount is made anew; what finds room later is all there', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-records-'));
  assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', directory]).status, 0);
  t.after(() => {
    spawnSync('umount', ['-l', directory]);
    rmSync(directory, { recursive: true, force: true });
  });
  const [file, filler] = [path.join(directory, 'v.locks'), path.join(directory, 'filler')];
  const open = (adopted: boolean): RecordFile => new RecordFile(file, adopted, silentLogger);
  const fill = (): void => {
    const descriptor = openSync(filler, 'a');
    assert.throws(
      () => {
        for (;;) writeSync(descriptor, Buffer.alloc(4096));
      },
      { code: 'ENOSPC' },
    );
    closeSync(descriptor);
  };
  const first = open(false);
  first.put([['kept', 1]]);
  assert.equal(open(true).areIncomplete, false);
  fill();
  first.put([['large', 'x'.repeat(10_000)]]);
  assert.ok(!existsSync(file));
  fill();
  assert.equal(open(true).areIncomplete, true, 'there is no room for its own either');
  rmSync(filler);
  while (!existsSync(file)) {
    await setTimeout(50);
    first.put([['last', 2]]);
  }
  const second = open(true);
  assert.equal(second.areIncomplete, false);
  assert.deepEqual([second.all().get('kept'), second.all().get('last'), second.all().has('large')], [1, 2, true]);
  second.close(false);
  rmSync(file);
  for (let daemon = 0; daemon < 2; daemon++) {
    const later = open(true);
    assert.equal(later.areIncomplete, true, 'programs of before may not have heard it');
    later.close(false);
  }
  const anew = open(false);
  assert.equal(anew.areIncomplete, false);
  anew.close(true);
  assert.ok(!existsSync(file));
});

test('a daemon that stops in order when there is room again leaves all', (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-records-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = path.join(directory, 'run', 'v.locks');
  const first = new RecordFile(file, false, silentLogger);
  first.put([['kept', 1]]);
  // Nothing can be written there for a while.
  rmSync(path.dirname(file), { recursive: true });
  appendFileSync(path.dirname(file), '');
  first.put([['long', 'x'.repeat(2 * 1024 * 1024)]]);
  rmSync(path.dirname(file));
  assert.equal(spawnSync('mkdir', [path.dirname(file)]).status, 0);
  first.close(false);
  const second = new RecordFile(file, true, silentLogger);
  assert.deepEqual([second.areIncomplete, second.all().get('kept')], [false, 1]);
  second.close(true);
});
