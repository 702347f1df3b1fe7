import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { InfinitError, silentLogger } from '../../src/base/index.ts';
import { DirtySet } from '../../src/node/volumes/dirty-set.ts';
import { endMount, type EndingMount } from '../../src/node/mounts/mount-end.ts';

/** A mount with a change in memory, whose store takes it at the given attempt. */
function ending(file: string, takes: number): EndingMount {
  const { set } = DirtySet.open(file, false);
  set.add(7);
  let attempts = 0;
  const close = (): Promise<void> => {
    if (++attempts < takes) return Promise.reject(new InfinitError('disk-full', 'no room'));
    set.delete(7);
    return Promise.resolve();
  };
  return { fileSystem: { close }, set, logger: silentLogger, pauseMs: 0 };
}

test('a mount ends when its last changes are out, or says that they are not', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-end-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = path.join(directory, 'dirty');
  assert.equal(await endMount('unmounted', ending(file, 3)), 'unmounted');
  assert.equal(await endMount({ errno: 5 }, ending(file, 1)), 'errno 5');
  assert.ok(!existsSync(file));
  await assert.rejects(endMount('unmounted', ending(file, Infinity)), { code: 'disk-full' });
});

test('an attempt that took long is the last one', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-end-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  await assert.rejects(endMount('unmounted', { ...ending(path.join(directory, 'dirty'), 2), patienceMs: 0 }), { code: 'disk-full' });
});

test('a mount that stops with its daemon goes on without its last changes where nobody takes them, and the next daemon hears of it', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-end-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = path.join(directory, 'dirty');
  assert.equal(await endMount('stopped', ending(file, Infinity)), 'stopped');
  const next = DirtySet.open(file, true);
  assert.deepEqual([[...next.left], [...next.lost]], [[7], []]);
  next.set.close(true);
  assert.equal(await endMount('stopped', ending(file, 1)), 'stopped');
  assert.deepEqual([...DirtySet.open(file, true).left], []);
});

test('a mount that stops with its daemon does so though the store never answers', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-end-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = path.join(directory, 'dirty');
  const hangs = { ...ending(file, 1), fileSystem: { close: () => new Promise<never>(() => {}) } };
  // Nothing else keeps this process alive.
  const alive = setInterval(() => {}, 1000);
  assert.equal(await endMount('stopped', { ...hangs, patienceMs: 0, stopMs: 1 }), 'stopped');
  clearInterval(alive);
  assert.deepEqual([...DirtySet.open(file, true).left], [7]);
});
