import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseVolumeOptions } from '../../src/api/index.ts';
import { createLogger, silentLogger, systemClock } from '../../src/base/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { Catalogue } from '../../src/node/volumes/catalogue.ts';
import { refuseOutside } from '../../src/node/members/membership-right.ts';
import { show, Trash } from '../../src/node/volumes/trash.ts';
import { Store } from '../../src/store/index.ts';

test('a removed volume that nobody keeps is shown as being deleted from the first moment on', () => {
  const removed = { name: 'a', id: '00', createdAt: '2026-01-01T00:00:00Z', trashedAt: '2026-02-01T00:00:00.000Z' };
  const shown = (options: object, more: object = {}): readonly unknown[] => {
    const { state, deletedAt } = show({ ...removed, ...more, options: parseVolumeOptions(options) });
    return [state, deletedAt];
  };
  assert.deepEqual(shown({ 'on-remove': 'delete' }), ['deleting', undefined]);
  assert.deepEqual(shown({}), ['kept', '2026-02-08T00:00:00.000Z']);
  assert.deepEqual(shown({ 'on-remove': 'retain' }), ['kept', undefined]);
  assert.deepEqual(shown({}, { purging: true }), ['deleting', undefined]);
  assert.equal(shown({ 'on-remove': 'delete' }, { restoringAs: 'b' })[0], 'restoring');
});

test('a removed volume that this very host still has mounted is not deleted by it', async () => {
  await using disk = new MemoryDisk();
  await using copy = new MemoryDisk();
  await using store = await Store.open({ self: 'a', incarnation: 1, disk, logger: silentLogger });
  const catalogue = await Catalogue.open(store, copy, 'infinit', silentLogger);
  const lines: string[] = [];
  const saw = async (what: RegExp): Promise<void> => {
    while (!lines.some((line) => what.test(line))) await new Promise(setImmediate);
  };
  let mounted = true;
  let outside: string | undefined;
  await using trash = new Trash({
    catalogue,
    store,
    keyDir: '/nowhere',
    self: 'a',
    clock: systemClock,
    sharedTimeMs: () => Promise.resolve(Date.now()),
    cluster: () => undefined,
    checkMember: () => refuseOutside(outside),
    checkWrites: () => {},
    onCatalogueChange: () => {},
    mayBeInUse: () => Promise.resolve(mounted),
    logger: createLogger('debug', (_, line) => lines.push(line)),
  });
  const entry = { name: 'data', id: 'd'.repeat(32), createdAt: new Date(0).toISOString(), options: parseVolumeOptions({}) };
  await catalogue.remove(await catalogue.add(entry));
  outside = 'this host was expelled from the cluster';
  for (const call of [() => trash.list(), () => trash.restore('data', undefined), () => trash.empty()])
    await assert.rejects(call, { code: 'unavailable', message: /expelled/ });
  outside = undefined;
  await trash.empty('data');
  await saw(/not deleted yet.*in-use/);
  assert.equal((await catalogue.trash()).length, 1);
  mounted = false;
  trash.look();
  await saw(/the data of a removed volume is deleted/);
});

test('days are over when they are by the clocks of most hosts, not by this one alone', async () => {
  await using disk = new MemoryDisk();
  await using copy = new MemoryDisk();
  await using store = await Store.open({ self: 'a', incarnation: 1, disk, logger: silentLogger });
  const catalogue = await Catalogue.open(store, copy, 'infinit', silentLogger);
  const tenDays = 10 * 86_400_000;
  let shared = Date.now();
  let asked = 0;
  await using trash = new Trash({
    catalogue,
    store,
    keyDir: '/nowhere',
    self: 'a',
    clock: { monotonicMs: () => performance.now(), wallMs: () => Date.now() + tenDays },
    sharedTimeMs: () => (asked++, Promise.resolve(shared)),
    cluster: () => undefined,
    checkMember: () => {},
    checkWrites: () => {},
    onCatalogueChange: () => {},
    mayBeInUse: () => Promise.resolve(false),
    logger: silentLogger,
  });
  for (const [name, digit, options] of [
    ['kept', '1', {}],
    ['kept2', '2', {}],
    ['dropped', '3', { 'on-remove': 'delete' }],
  ] as const) {
    const entry = { name, id: digit.repeat(32), createdAt: new Date(0).toISOString(), options: parseVolumeOptions(options) };
    await catalogue.remove(await catalogue.add(entry));
  }
  const untilLeft = async (count: number): Promise<void> => {
    trash.look();
    while ((await trash.list()).length > count) await new Promise(setImmediate);
  };
  await untilLeft(2);
  while (asked === 0) await new Promise(setImmediate);
  assert.deepEqual((await trash.list()).map(({ name }) => name).sort(), ['kept', 'kept2'], 'what its user wanted to be deleted at once is gone');
  assert.equal(asked, 1, 'the others are asked once a look');
  const [kept, dropped] = ['1', '3'].map((digit) => digit.repeat(32)) as [string, string];
  assert.ok(await catalogue.isGone(dropped), 'what is deleted is noted');
  shared += 10 * tenDays;
  await untilLeft(0);
  assert.ok(await catalogue.isGone(kept));
  assert.ok(!(await catalogue.isGone(dropped)), 'for 90 days by the same clocks');
});
