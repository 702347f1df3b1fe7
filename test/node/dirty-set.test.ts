import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { createLogger } from '../../src/base/index.ts';
import { DirtySet } from '../../src/node/volumes/dirty-set.ts';

const source = path.resolve(import.meta.dirname, '../../src/node/volumes/dirty-set.ts');

/** What the next daemon finds after one that did `body` with its `set` and was killed. */
function leftAfter(body: string): { left: ReadonlySet<number>; lost: ReadonlySet<number> } {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-dirty-'));
  try {
    const file = path.join(directory, 'dirty');
    const script = `import { DirtySet } from ${JSON.stringify(source)}; const file = ${JSON.stringify(file)}; const { set } = DirtySet.open(file, false); ${body}; process.kill(process.pid, 'SIGKILL');`;
    const { signal, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    assert.equal(signal, 'SIGKILL', stderr);
    const { set, left, lost } = DirtySet.open(file, true);
    set.close(true);
    return { left, lost };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

test('what was dirty when the daemon was killed is found, and nothing that had become clean', () => {
  const { left, lost } = leftAfter('for (const inode of [5, 2 ** 40 + 1, 7]) set.add(inode); set.delete(5); set.add(9)');
  assert.deepEqual(left, new Set([9, 2 ** 40 + 1, 7]));
  assert.equal(lost.size, 0);
});

test('what was lost before is told from what is dirty now, until it is said', () => {
  const { left, lost } = leftAfter('for (const inode of [3, 2 ** 52 + 1]) set.add(inode); set.lose(set.all()); set.add(4); set.said(3)');
  assert.deepEqual(left, new Set([2 ** 52 + 1, 4]));
  assert.deepEqual(lost, new Set([2 ** 52 + 1]));
});

test('where there is no room nothing fails, and the next daemon knows that inodes are missing', (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-dirty-'));
  execFileSync('mount', ['-i', '-t', 'tmpfs', '-o', 'size=4k', 'none', directory]);
  t.after(() => {
    execFileSync('umount', ['-l', directory]);
    rmSync(directory, { recursive: true, force: true });
  });
  const lines: string[] = [];
  const logger = createLogger('info', (_level, line) => lines.push(line));
  const file = path.join(directory, 'dirty');
  const { set } = DirtySet.open(file, false, logger);
  for (let inode = 1; inode <= 2000; inode++) set.add(inode);
  for (let inode = 1; inode <= 2000; inode++) set.delete(inode);
  assert.equal(lines.length, 1);
  set.leave();
  const next = DirtySet.open(file, true);
  assert.ok(next.incomplete);
  next.set.leave();
  // Until it is known that nothing is lost.
  const third = DirtySet.open(file, true);
  assert.ok(third.incomplete);
  third.set.keep(third.left, []);
  third.set.leave();
  assert.equal(DirtySet.open(file, true).incomplete, false);
});

test('where the set cannot be read any inode may have been lost, and where none can be kept that is said in plain words', (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-dirty-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = path.join(directory, 'dirty');
  assert.equal(DirtySet.open(file, true).incomplete, false, 'who wrote everything out leaves none');
  rmSync(file);
  symlinkSync('dirty', file);
  assert.throws(() => DirtySet.open(file, true), {
    code: 'disk-failed',
    message: /unsynced writes cannot be written down in .*dirty: its symbolic links/,
  });
  rmSync(file);
  mkdirSync(file);
  assert.throws(() => DirtySet.open(file, false), { code: 'disk-failed', message: /it is a directory \(EISDIR\)/ });
  rmSync(file, { recursive: true });
  writeFileSync(file, '');
  assert.throws(() => DirtySet.open(path.join(file, 'dirty'), false), { code: 'disk-failed', message: /ENOTDIR|EEXIST/ });
});

test('what comes after the end changes nothing', () => {
  assert.deepEqual(
    leftAfter(`set.add(1); set.lose(set.all()); set.close(false); const next = DirtySet.open(file, false); set.add(2); set.said(1); next.set.add(3)`)
      .left,
    new Set([3]),
  );
});

test('any number of files may be dirty, more than the part of the file that is memory has slots for', () => {
  const count = 40_000;
  const { left } = leftAfter(
    `for (let inode = 1; inode <= ${count}; inode++) set.add(inode); for (let inode = 1; inode <= ${count}; inode += 2) set.delete(inode)`,
  );
  assert.equal(left.size, count / 2);
  assert.ok([...left].every((inode) => inode % 2 === 0));
});
