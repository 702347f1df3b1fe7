/** The list of volumes is a tree of blocks, whose root all hosts that had it may take along: what the others' copies have is put back then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { namedAddress } from '../../src/block/index.ts';
import { type Disk, MemoryDisk } from '../../src/disk/index.ts';
import { Catalogue } from '../../src/node/volumes/catalogue.ts';
import type { CatalogueEntry } from '../../src/node/volumes/catalogue-entry.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';

const entry = (name: string, id: string): CatalogueEntry => ({ name, id: id.padEnd(32, '0'), createdAt: new Date(0).toISOString(), options: {} });
const root = namedAddress('cluster', 'volumes');
const open = (store: MemoryBlockStore, disk: Disk): Promise<Catalogue> => Catalogue.open(store, disk, 'cluster', silentLogger);

async function namesOf(catalogue: Catalogue): Promise<string[]> {
  return (await catalogue.list()).map(({ name }) => name).toSorted();
}

/** Two hosts of which each knows of what the other does not, as one that was told late does. */
async function twoHosts(store: MemoryBlockStore): Promise<{ readonly a: Catalogue; readonly b: Catalogue; readonly disks: readonly Disk[] }> {
  const disks = [new MemoryDisk(), new MemoryDisk()] as const;
  const [a, b] = [await open(store, disks[0]), await open(store, disks[1])];
  for (const name of ['one', 'two', 'three']) await a.add(entry(name, name === 'one' ? '1' : name === 'two' ? '2' : '3'));
  await a.remove(entry('two', '2'));
  await a.refresh();
  await b.refresh();
  await b.add(entry('four', '4'));
  return { a, b, disks };
}

test('a list of volumes that is lost with all its hosts is put back from what the others know, the trash too', async () => {
  for (const first of ['a', 'b'] as const) {
    const store = new MemoryBlockStore();
    const hosts = await twoHosts(store);
    store.lose(root);
    const [early, late] = first === 'a' ? [hosts.a, hosts.b] : [hosts.b, hosts.a];
    await early.refresh();
    await late.refresh();
    await early.refresh();
    for (const catalogue of [early, late]) {
      assert.deepEqual(await namesOf(catalogue), ['four', 'one', 'three']);
      assert.deepEqual(
        (await catalogue.trash()).map(({ name }) => name),
        ['two'],
      );
    }
    // What is removed from then on stays so, whoever comes late.
    await early.remove(entry('three', '3'));
    await late.refresh();
    assert.deepEqual(await namesOf(late), ['four', 'one']);
  }
});

test('no single question makes a host forget a volume whose name went with the list', async () => {
  const store = new MemoryBlockStore();
  const { a, b } = await twoHosts(store);
  store.lose(root);
  assert.equal((await a.current('one'))?.id, entry('one', '1').id);
  assert.equal((await b.current('four'))?.id, entry('four', '4').id);
  assert.equal(await b.current('five'), undefined);
  await a.refresh();
  assert.deepEqual(await namesOf(a), ['four', 'one', 'three']);
});

test('a host that knew of nothing makes a list anew, and the others give it what they know', async () => {
  const store = new MemoryBlockStore();
  const { a, disks } = await twoHosts(store);
  store.lose(root);
  await using disk = new MemoryDisk();
  const newcomer = await open(store, disk);
  await newcomer.add(entry('five', '5'));
  await newcomer.add(entry('three', '6'));
  // A daemon that was started meanwhile has it from its own disk.
  const b = await open(store, disks[1]!);
  await b.refresh();
  await a.refresh();
  assert.deepEqual(await namesOf(a), ['five', 'four', 'one', 'three']);
  assert.equal((await a.current('three'))?.id, entry('three', '6').id, 'whose name it is by now');
});

test('a host that was away while the list was lost brings back nothing that was removed since', async () => {
  const store = new MemoryBlockStore();
  const { a, b } = await twoHosts(store);
  store.lose(root);
  await a.refresh();
  await a.remove(entry('one', '1'));
  await a.remove(entry('three', '3'));
  await a.forget(entry('three', '3').id);
  await b.refresh();
  assert.deepEqual(await namesOf(b), ['four']);
  await a.refresh();
  assert.deepEqual(await namesOf(a), ['four']);
});

test('what a host had while it was alone is not given to the cluster that it enters, nor to what is left of its own list', async () => {
  for (const joined of [true, false]) {
    const [own, others] = [new MemoryBlockStore(), new MemoryBlockStore()];
    await (await open(others, new MemoryDisk())).add(entry('theirs', '9'));
    const disk = new MemoryDisk();
    const alone = await open(own, disk);
    await alone.add(entry('removed', '1'));
    await alone.remove(entry('removed', '1'));
    await alone.refresh();
    // It is let in: its blocks go, and then it has those of the cluster.
    if (!joined) own.lose(root);
    const store = joined ? others : own;
    const entering = await Catalogue.open(store, disk, 'cluster', silentLogger, () => false);
    await assert.rejects(entering.refresh(), { code: 'unavailable' });
    assert.deepEqual(await (await open(others, new MemoryDisk())).trash(), []);
    if (!joined) assert.equal(own.peek(root), undefined);
  }
});

test('a host that enters a cluster while its own list is read gives nothing of that to the cluster', async () => {
  const store = new MemoryBlockStore();
  const alone = await open(store, new MemoryDisk());
  await alone.add(entry('removed', '1'));
  await alone.remove(entry('removed', '1'));
  await alone.refresh();
  store.lose(root);
  const reading = assert.rejects(alone.refresh(), { code: 'unavailable' });
  await alone.startOver();
  await reading;
  assert.equal(store.peek(root), undefined);
  await alone.refresh();
  assert.deepEqual([await alone.trash(), store.peek(root)], [[], undefined]);
});

test('a volume of the trash is put back as one that was removed just now: a host that was away does not know that it was brought back meanwhile', async () => {
  const store = new MemoryBlockStore();
  const { a, b } = await twoHosts(store);
  await b.refresh();
  const [trashed] = await b.trash();
  await a.restore(trashed!, 'two');
  await a.refresh();
  store.lose(root);
  await new Promise((resolve) => setTimeout(resolve, 2));
  const before = Date.now();
  await b.refresh();
  await a.refresh();
  const [put] = await a.trash();
  assert.equal(put?.id, trashed!.id);
  assert.ok(Date.parse(put.trashedAt!) >= before, 'it is not due before whoever had it sees it there');
});
