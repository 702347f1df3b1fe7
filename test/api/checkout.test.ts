import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { checkedOut, commitFile } from '../../src/api/checkout.ts';

test('the commit that is checked out is told as git tells it: of a branch, packed or not, of none, in another work tree; and in a copy by a file', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-checkout-'));
  const clone = path.join(directory, 'clone');
  const git = (cwd: string, ...args: readonly string[]): string =>
    execFileSync('git', ['-c', 'user.name=x', '-c', 'user.email=x@x', ...args], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  const isRight = (root: string): void => assert.equal(checkedOut(root), git(root, 'rev-parse', 'HEAD'));
  try {
    mkdirSync(clone);
    assert.equal(checkedOut(clone), undefined);
    git(clone, 'init', '-q', '-b', 'some/branch');
    assert.equal(checkedOut(clone), undefined, 'nothing is committed yet');
    git(clone, 'commit', '-q', '--allow-empty', '-m', 'first');
    isRight(clone);
    git(clone, 'pack-refs', '--all');
    isRight(clone);
    git(clone, 'commit', '-q', '--allow-empty', '-m', 'second');
    isRight(clone);
    const other = path.join(directory, 'other');
    git(clone, 'worktree', 'add', '-q', '-b', 'another', other);
    git(other, 'commit', '-q', '--allow-empty', '-m', 'third');
    isRight(other);
    git(clone, 'checkout', '-q', '--detach', 'HEAD~1');
    isRight(clone);
    const copy = path.join(directory, 'copy');
    mkdirSync(copy);
    writeFileSync(path.join(copy, commitFile), `${checkedOut(other)}\n`);
    assert.equal(checkedOut(copy), checkedOut(other));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
