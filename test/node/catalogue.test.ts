import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError, silentLogger } from '../../src/base/index.ts';
import { namedAddress, Sealer } from '../../src/block/index.ts';
import { type Disk, MemoryDisk } from '../../src/disk/index.ts';
import { Catalogue } from '../../src/node/volumes/catalogue.ts';
import type { CatalogueEntry } from '../../src/node/volumes/catalogue-entry.ts';
import { type BlockStore, Store } from '../../src/store/index.ts';
import { BLinkTree } from '../../src/tree/index.ts';

const entry = (name: string, id: string): CatalogueEntry => ({ name, id, createdAt: new Date(0).toISOString(), options: {} });

test('after a host has joined others nothing of its life alone hides what they have, whatever versions it had come to', async () => {
  await using ownDisk = new MemoryDisk();
  await using otherDisk = new MemoryDisk();
  await using own = await Store.open({ self: 'late', incarnation: 1, disk: ownDisk, logger: silentLogger });
  await using others = await Store.open({ self: 'first', incarnation: 1, disk: otherDisk, logger: silentLogger });
  await (await Catalogue.open(others, otherDisk, 'infinit', silentLogger)).add(entry('data', 'd'.repeat(32)));

  let now: Store = own;
  const store: BlockStore = {
    get: (address, options) => now.get(address, options),
    fetch: (address, options) => now.fetch(address, options),
    commit: (stages, options) => now.commit(stages, options),
  };
  const catalogue = await Catalogue.open(store, ownDisk, 'infinit', silentLogger);
  for (let index = 0; index < 12; index++) {
    const added = await catalogue.add(entry(`own${index}`, index.toString(16).repeat(32)));
    await catalogue.remove(added);
    await catalogue.forget(added.id);
  }
  now = others;
  await catalogue.startOver();
  await catalogue.refresh();
  assert.deepEqual(
    (await catalogue.list()).map(({ name }) => name),
    ['data'],
  );
  assert.deepEqual(await catalogue.trash(), []);
});

/** Lets its user stop reads. */
class GatedStore implements BlockStore {
  readonly #store: BlockStore;
  gate: Promise<void> | undefined;
  /** Reads so far. */
  reads = 0;
  /** Reads that are let through before the gate. */
  free = 0;

  constructor(store: BlockStore) {
    this.#store = store;
  }

  get: BlockStore['get'] = (address, options) => this.#store.get(address, options);
  commit: BlockStore['commit'] = (stages, options) => this.#store.commit(stages, options);
  fetch: BlockStore['fetch'] = async (address, options) => {
    this.reads++;
    if (this.gate !== undefined && this.free-- <= 0) await this.gate;
    return this.#store.fetch(address, options);
  };
}

test('what happens to a name while the whole catalogue is read is not undone by that, and one reading is under way at a time', async () => {
  await using disk = new MemoryDisk();
  await using copy = new MemoryDisk();
  await using store = await Store.open({ self: 'a', incarnation: 1, disk, logger: silentLogger });
  const gated = new GatedStore(store);
  const catalogue = await Catalogue.open(gated, copy, 'infinit', silentLogger);
  const entries = Array.from({ length: 400 }, (_, index) => entry(`v${String(index).padStart(3, '0')}`, index.toString(16).padStart(32, '0')));
  await Promise.all(entries.map((one) => catalogue.add(one)));
  await catalogue.refresh();
  const before = gated.reads;
  await catalogue.refresh();
  const readsOfOne = gated.reads - before;
  assert.ok(readsOfOne > 3, 'several leaves');

  const gate = Promise.withResolvers<void>();
  [gated.gate, gated.free] = [gate.promise, 3];
  const refreshed = catalogue.refresh();
  await new Promise(setImmediate);
  gated.free = Infinity;
  await catalogue.remove(entries[0]!);
  const renewed = { ...entries[1]!, id: 'f'.repeat(32) };
  await catalogue.remove(entries[1]!);
  await catalogue.add(renewed);
  await catalogue.setOptions(entries[2]!, { size: '1G' });
  const asked = gated.reads;
  const more = Array.from({ length: 5 }, () => catalogue.refresh());
  await new Promise(setImmediate);
  assert.equal(gated.reads, asked, 'they wait for the one that is under way');
  gate.resolve();
  await refreshed;
  const known = new Map((await catalogue.list()).map((one) => [one.name, one]));
  assert.equal(known.get('v000'), undefined);
  assert.equal(known.get('v001')?.id, renewed.id);
  assert.deepEqual(known.get('v002')?.options, { size: '1G' });
  assert.equal(known.size, 399);
  await Promise.all(more);
  assert.ok(gated.reads - asked <= 2 * readsOfOne, 'and share one');
});

test('whoever wants the catalogue read anew while it is being read gets one that began later', async () => {
  await using disk = new MemoryDisk();
  await using copy = new MemoryDisk();
  await using otherCopy = new MemoryDisk();
  await using store = await Store.open({ self: 'a', incarnation: 1, disk, logger: silentLogger });
  const gated = new GatedStore(store);
  const catalogue = await Catalogue.open(gated, copy, 'infinit', silentLogger);
  const other = await Catalogue.open(store, otherCopy, 'infinit', silentLogger);
  await other.add(entry('a', 'a'.repeat(32)));
  const gate = Promise.withResolvers<void>();
  [gated.gate, gated.free] = [gate.promise, 0];
  const first = catalogue.refresh();
  await new Promise(setImmediate);
  await other.add(entry('b', 'b'.repeat(32)));
  const second = catalogue.refresh();
  gate.resolve();
  await Promise.all([first, second]);
  assert.deepEqual(
    (await catalogue.list()).map(({ name }) => name),
    ['a', 'b'],
  );
});

test('a volume is made though this host’s own disk cannot note it, and is noted later', async () => {
  await using disk = new MemoryDisk();
  await using copy = new MemoryDisk();
  await using store = await Store.open({ self: 'a', incarnation: 1, disk, logger: silentLogger });
  let fails = true;
  const failing = {
    readMeta: (key: string) => copy.readMeta(key),
    write: (operations: Parameters<Disk['write']>[0]) => (fails ? Promise.reject(new InfinitError('disk-failed', 'broken')) : copy.write(operations)),
  } as unknown as Disk;
  const catalogue = await Catalogue.open(store, failing, 'infinit', silentLogger);
  const made = entry('data', 'd'.repeat(32));
  assert.deepEqual(await catalogue.add(made), made);
  assert.deepEqual(await catalogue.find('data'), made);
  fails = false;
  await catalogue.refresh();
  assert.deepEqual(await (await Catalogue.open(store, copy, 'infinit', silentLogger)).list(), [made]);
});

/** The catalogues of two hosts on one store. */
async function twoHosts(): Promise<AsyncDisposable & { readonly one: Catalogue; readonly other: Catalogue }> {
  const disks = [new MemoryDisk(), new MemoryDisk(), new MemoryDisk()] as const;
  const store = await Store.open({ self: 'a', incarnation: 1, disk: disks[0], logger: silentLogger });
  return {
    one: await Catalogue.open(store, disks[1], 'infinit', silentLogger),
    other: await Catalogue.open(store, disks[2], 'infinit', silentLogger),
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      for (const disk of disks) await disk[Symbol.asyncDispose]();
    },
  };
}

test('a removal that comes late leaves nothing in the trash of a volume that was brought back meanwhile, or deleted', async () => {
  await using hosts = await twoHosts();
  const { one, other } = hosts;
  const made = await one.add(entry('data', 'd'.repeat(32)));
  // Between the moment at which this host looked the name up and its removal.
  await other.remove(made);
  const restored = await other.restore((await other.trash())[0]!, 'back');
  await one.remove(made);
  assert.deepEqual([await one.trashed(made.id), await one.trash(), (await one.current('back'))?.id], [undefined, [], made.id]);

  await other.remove(restored);
  assert.ok(await other.markPurging((await other.trash())[0]!));
  await one.remove(restored);
  assert.equal((await one.trash())[0]?.purging, true, 'its data is being deleted, and it cannot be brought back');
  await other.forget(made.id);
  await one.remove(restored);
  assert.deepEqual(await one.trash(), []);

  const first = await other.add(entry('data', 'e'.repeat(32)));
  await other.remove(first);
  await other.add(entry('data', 'f'.repeat(32)));
  await assert.rejects(one.remove(first), { code: 'not-found', message: /removed and made anew/ });
  assert.equal((await one.find('data'))?.id, 'f'.repeat(32));
});

test('a volume that has a name is not deleted, whatever name it had when it was removed', async () => {
  await using hosts = await twoHosts();
  const { one, other } = hosts;
  const made = await one.add(entry('data', 'd'.repeat(32)));
  await other.remove(made);
  const [listed] = await one.trash();
  const restored = await other.restore(listed!, 'back');
  // As the crash of a host leaves it that removes the volume again: in the trash, and under its name.
  await other.remove(restored);
  await other.add(restored);
  assert.equal(await one.markPurging(listed!), false);
  assert.deepEqual(await one.trash(), []);
  await assert.rejects(one.restore(listed!, 'twice'), { code: 'already-exists', message: /as "back"/ });
  assert.equal(await one.current('twice'), undefined);
  await one.remove(restored);
  assert.deepEqual(
    (await one.trash()).map(({ name }) => name),
    ['back'],
  );
});

test('a volume that is removed in the very moment in which it is brought back is in the trash or has one name', async () => {
  await using disk = new MemoryDisk();
  await using store = await Store.open({ self: 'a', incarnation: 1, disk, logger: silentLogger });
  await using copy = new MemoryDisk();
  await using otherCopy = new MemoryDisk();
  // Stops after so many commits, until it is let go on.
  let [left, stopped, goOn] = [Infinity, Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const stopping: BlockStore = {
    get: (address, options) => store.get(address, options),
    fetch: (address, options) => store.fetch(address, options),
    commit: async (stages, options) => {
      if (left-- === 0) {
        stopped.resolve();
        await goOn.promise;
      }
      return store.commit(stages, options);
    },
  };
  const one = await Catalogue.open(stopping, copy, 'infinit', silentLogger);
  const other = await Catalogue.open(store, otherCopy, 'infinit', silentLogger);
  /** Brings a removed volume back and stops before the commit of that number; what others do then; and what comes of both. */
  const during = async (commit: number, what: (entry: CatalogueEntry) => Promise<unknown>): Promise<{ names: string[]; trashed: boolean }> => {
    const made = await other.add(entry('data', (commit + 1).toString(16).repeat(32)));
    await other.remove(made);
    [left, stopped, goOn] = [commit, Promise.withResolvers(), Promise.withResolvers()];
    const restored = one.restore(made, 'back').catch(() => {});
    await stopped.promise;
    await what(made);
    goOn.resolve();
    await restored;
    await one.refresh();
    const names = (await one.list()).filter(({ id }) => id === made.id).map(({ name }) => name);
    for (const live of await one.list()) await other.remove(live);
    return { names, trashed: (await other.trashed(made.id)) !== undefined };
  };
  // It is marked, and has no name yet; others remove it late, and bring it back as well.
  const both = await during(1, async (made) => {
    await other.remove(made);
    await other.restore(made, 'second');
  });
  assert.deepEqual(both, { names: ['second'], trashed: true });
  // It has its name again, and is in the trash yet; others remove it.
  assert.deepEqual(await during(2, async (made) => other.remove({ ...made, name: 'back' })), { names: [], trashed: true });
});

test('what somebody wrote into the catalogue past this program is no volume where it says so of none, and names no file', async () => {
  await using disk = new MemoryDisk();
  await using store = await Store.open({ self: 'first', incarnation: 1, disk, logger: silentLogger });
  const catalogue = await Catalogue.open(store, disk, 'infinit', silentLogger);
  const good = await catalogue.add(entry('good', 'a'.repeat(32)));
  const id = 'b'.repeat(32);
  const bad = [
    { ...entry('escaping', '../cluster/cluster'), trashedAt: new Date(0).toISOString() },
    { ...entry('renamed', id), name: '../../etc' },
    { ...entry('restored', id), restoringAs: '/etc' },
    { ...entry('optional', id), options: { size: 7 } },
    { ...entry('listed', id), options: null },
    { ...entry('numbered', id), id: 7 },
    { ...entry('dated', id), createdAt: null },
    { ...entry('purging', id), purging: 'yes' },
  ] as unknown as CatalogueEntry[];
  const sealer = new Sealer();
  const session = { volume: new Uint8Array(16), inode: 0, epoch: 0, session: 7 };
  let sequence = 0;
  const past = new BLinkTree(namedAddress('infinit', 'volumes'), {
    store,
    sealer: {
      seal: (address, body) => sealer.sealPayload(address, { ...session, sequence: sequence++ }, body),
      open: (address, payload) => sealer.openPayload(address, payload).body,
    },
  });
  const values = bad.flatMap((each, at) =>
    ['volume/', 'trash/'].map((prefix): [string, Uint8Array] => [`${prefix}bad${at}`, Buffer.from(JSON.stringify(each))]),
  );
  const { failed } = await past.apply(new Map([...values, ['volume/none', Buffer.from('{')]]));
  assert.equal(failed.size, 0);
  await catalogue.refresh();
  assert.deepEqual(await catalogue.list(), [good]);
  assert.deepEqual(await catalogue.trash(), []);
  assert.equal(await catalogue.findById('../cluster/cluster'), undefined);
  await assert.rejects(catalogue.current('bad0'), { code: 'damaged' });
  // Nor what is in this host's own copy of it.
  await disk.write([{ type: 'put-meta', key: 'catalogue', bytes: Buffer.from(JSON.stringify([...bad, good])) }]);
  assert.deepEqual(await (await Catalogue.open(store, disk, 'infinit', silentLogger)).list(), [good]);
});

test('of volumes that are made at once few notes are written, and whoever made one hears of it when it is noted', async (t) => {
  await using disk = new MemoryDisk();
  await using own = new MemoryDisk();
  await using store = await Store.open({ self: 'host', incarnation: 1, disk, logger: silentLogger });
  const catalogue = await Catalogue.open(store, own, 'infinit', silentLogger);
  const notes: string[][] = [];
  const write = own.write.bind(own);
  t.mock.method(own, 'write', async (operations: Parameters<Disk['write']>[0]) => {
    // Others come to know of theirs meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 20));
    await write(operations);
    const [note] = operations as readonly { readonly bytes: Uint8Array }[];
    notes.push((JSON.parse(Buffer.from(note!.bytes).toString()) as CatalogueEntry[]).map(({ name }) => name));
  });
  const names = Array.from({ length: 200 }, (_, index) => `v${index}`);
  await Promise.all(
    names.map(async (name, index) => {
      await catalogue.add(entry(name, index.toString(16).padStart(32, '0')));
      assert.ok(notes.at(-1)!.includes(name), `${name} is noted`);
    }),
  );
  assert.ok(notes.length < names.length / 4, `${notes.length} notes`);
  assert.deepEqual(notes.at(-1)!.toSorted(), names.toSorted());
});
