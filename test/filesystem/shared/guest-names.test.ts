import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { open, put, root, user } from '../harness.ts';
import { Serving } from './serving.ts';

test('a guest that makes files in a directory knows of its own names, and asks for none of them', async () => {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  const guest = await serving.keepingGuest(store);
  const { inode: directory } = await guest.mkdir(root, 'd', 0o755, 0, user);
  serving.calls.length = 0;
  for (const name of ['a', 'b', 'c']) {
    assert.equal(await guest.lookup(directory, name), undefined);
    const { attributes, handle } = await guest.create(directory, name, 0o644, 0, 1, user);
    assert.equal((await guest.getattr(directory)).inode, directory);
    await guest.write(attributes.inode, handle, 0, Buffer.from(name), false);
    await guest.flush(attributes.inode, handle, '1');
    await guest.release(attributes.inode, handle);
    assert.equal((await guest.lookup(directory, name))?.size, 1);
  }
  await guest.rename(directory, 'a', directory, 'd', 0);
  await guest.unlink(directory, 'b');
  const names = await Promise.all(['a', 'b', 'c', 'd'].map(async (name) => ((await guest.lookup(directory, name)) === undefined ? '' : name)));
  assert.equal(names.join(''), 'cd');
  assert.deepEqual(
    serving.calls.filter((method) => method === 'look' || method === 'images'),
    [],
    'nor for the file whose name changed, though its attributes did as well',
  );
});

test('the names of a directory in which several are looked up come together, and then those that are not there are known', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  for (let index = 0; index < 300; index++) await put(serving.volume, root, `f${index}`, `${index}`);
  await serving.volume.syncfs();
  const guest = await serving.keepingGuest();
  for (let index = 0; index < 20; index++) {
    await guest.lookup(root, `f${index}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  serving.calls.length = 0;
  for (let index = 20; index < 300; index++) assert.equal((await guest.lookup(root, `f${index}`))?.size, `${index}`.length);
  assert.equal(await guest.lookup(root, 'absent'), undefined);
  assert.deepEqual(serving.calls, []);
  await put(serving.volume, root, 'absent', 'x');
  assert.notEqual(await guest.lookup(root, 'absent'), undefined);
});

test('a guest that names a file otherwise knows what it is then, and so asks once for its removal', async () => {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  await put(serving.volume, root, 'f', 'content', true);
  await put(serving.volume, root, 'replaced', 'x', true);
  const commits: number[] = [];
  const commit = store.commit.bind(store);
  store.commit = (stages) => {
    commits.push(stages.length);
    return commit(stages);
  };
  const guest = await serving.keepingGuest();
  // The directory is listed meanwhile.
  const asked = (): readonly string[] => serving.calls.filter((method) => method !== 'listing');
  for (const name of ['f', 'replaced', 'g']) await guest.lookup(root, name);
  for (const [from, to] of [
    ['f', 'g'],
    ['g', 'replaced'],
  ] as const) {
    serving.calls.length = 0;
    commits.length = 0;
    await guest.rename(root, from, root, to, 0);
    assert.deepEqual(commits, [1], 'all of it in one exchange with other hosts');
    const found = await guest.lookup(root, to);
    assert.equal(found?.size, 7);
    assert.deepEqual(found, await guest.getattr(found.inode));
    assert.equal(await guest.lookup(root, from), undefined);
    assert.deepEqual(asked(), ['rename']);
    assert.deepEqual(found?.changed, (await serving.own.getattr(found.inode)).changed);
  }
  commits.length = 0;
  await guest.unlink(root, 'replaced');
  assert.deepEqual(asked(), ['rename', 'unlink']);
  assert.deepEqual(commits, [1]);
});

test('a guest asks once for each name of a tree that it removes, and each change of names is one commit, directories’ and links as well: a lost host takes nothing of that', async () => {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  const { inode: top } = await serving.own.mkdir(root, 'top', 0o755, 0, user);
  for (const name of ['d', 'e', 'stays']) await put(serving.volume, (await serving.own.mkdir(top, name, 0o755, 0, user)).inode, 'f', 'content', true);
  await serving.volume.syncfs();
  let commits = 0;
  const commit = store.commit.bind(store);
  store.commit = (stages) => {
    commits++;
    return commit(stages);
  };
  const guest = await serving.keepingGuest();
  const remove = async (name: string): Promise<void> => {
    const directory = (await guest.lookup(top, name))!.inode;
    await guest.getattr(directory);
    const handle = await guest.opendir(directory);
    const entries = await guest.readdir(directory, handle, 0, 4096, true);
    assert.deepEqual(
      entries.filter(({ attributes }) => attributes !== undefined).map((entry) => entry.name),
      ['f'],
    );
    commits = serving.calls.length = 0;
    await guest.unlink(directory, 'f');
    await guest.releasedir(directory, handle);
    assert.deepEqual([serving.calls, commits], [['unlink'], 1]);
    await guest.rmdir(top, name);
    assert.deepEqual([serving.calls, commits], [['unlink', 'rmdir'], 2]);
  };
  await remove('d');
  assert.equal((await guest.getattr(top)).links, 4);
  await remove('e');
  commits = 0;
  const made = await guest.mkdir(top, 'made', 0o755, 0, user);
  assert.equal(commits, 1);
  await guest.rename(top, 'made', root, 'made', 0);
  await guest.rename(root, 'made', top, 'made', 0);
  assert.equal(commits, 3);
  const { inode: stays } = (await guest.lookup(top, 'stays'))!;
  const { inode: file } = (await guest.lookup(stays, 'f'))!;
  commits = 0;
  await guest.link(file, stays, 'g');
  assert.equal(commits, 1);
  const linked = await guest.getattr(file);
  assert.equal(linked.links, 2);
  const known = await guest.getattr(top);
  assert.equal(known.links, 4);
  await serving.volume.abandon();
  store.restart();
  const after = await open(store);
  assert.deepEqual(await after.getattr(top), known);
  assert.deepEqual(await after.getattr(file), linked);
  assert.equal((await after.lookup(top, 'made'))?.inode, made.inode);
  assert.equal((await after.lookup(top, 'd')) ?? (await after.lookup(top, 'e')), undefined);
  await after.syncfs();
  const { problems } = await after.check();
  assert.deepEqual(problems, []);
});

test('a guest’s listing of a directory, a few entries at a time, has each name once, and then what is in it is known', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const made = Array.from({ length: 450 }, (_, index) => `f${index}`);
  for (const name of made) await put(serving.volume, root, name, name);
  await serving.volume.syncfs();
  const guest = await serving.keepingGuest();
  const list = async (attributes: boolean, between?: () => Promise<unknown>): Promise<string[]> => {
    const handle = await guest.opendir(root);
    const names: string[] = [];
    for (let cookie = 0; ;) {
      const some = (await guest.readdir(root, handle, cookie, 4096, attributes)).slice(0, 25);
      if (some.length === 0) break;
      for (const { name, attributes: known } of some) if (attributes && name.startsWith('f')) assert.equal(known?.size, name.length);
      names.push(...some.map(({ name }) => name));
      cookie = some.at(-1)!.cookie;
      if (names.length === 100) await between?.();
    }
    await guest.releasedir(root, handle);
    return names.filter((name) => name !== '.' && name !== '..').toSorted();
  };
  assert.deepEqual(await list(true), made.toSorted());
  serving.calls.length = 0;
  for (const name of made) assert.equal((await guest.lookup(root, name))?.size, name.length);
  assert.equal(await guest.lookup(root, 'absent'), undefined);
  assert.deepEqual(serving.calls, []);
  // What changes while it is listed.
  await serving.own.unlink(root, 'f7');
  assert.deepEqual(await list(false), made.filter((name) => name !== 'f7').toSorted());
  const [first] = await list(true, () => serving.own.rename(root, 'f8', root, 'a', 0) as Promise<void>);
  assert.ok(first === 'a' || first === 'f0');
  assert.equal(await guest.lookup(root, 'f8'), undefined);
  assert.notEqual(await guest.lookup(root, 'a'), undefined);
  await guest.unlink(root, 'a');
  assert.deepEqual(await list(true), made.filter((name) => name !== 'f7' && name !== 'f8').toSorted());
});

test('a directory has not ended where some of its names were read and found no room in the answer', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  // A part has room for fewer long names than it looks at.
  const made = Array.from({ length: 150 }, (_, index) => `${index}`.padEnd(200, 'x'));
  for (const name of made) await put(serving.volume, root, name, name);
  await serving.volume.syncfs();
  const guest = await serving.keepingGuest();
  const handle = await guest.opendir(root);
  const names: string[] = [];
  for (let cookie = 0; ;) {
    const some = await guest.readdir(root, handle, cookie, 4096, false);
    if (some.length === 0) break;
    names.push(...some.map(({ name }) => name));
    cookie = some.at(-1)!.cookie;
  }
  assert.deepEqual(names.filter((name) => !name.startsWith('.')).toSorted(), made.toSorted());
  assert.equal(serving.calls.filter((method) => method === 'listing').length, 2);
});

test('a guest is asked twice for the end of a directory, which the last of its names has told; one that is listed anew, or changed elsewhere, is asked for', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  for (const name of ['a', 'b']) await put(serving.volume, root, name, name);
  await serving.volume.syncfs();
  const guest = await serving.keepingGuest();
  const handle = await guest.opendir(root);
  const list = async (): Promise<number> => (await guest.readdir(root, handle, 0, 4096, false)).at(-1)!.cookie;
  serving.calls.length = 0;
  const end = await list();
  for (let time = 0; time < 2; time++) assert.deepEqual(await guest.readdir(root, handle, end, 4096, false), []);
  assert.deepEqual(serving.calls, ['listing']);
  assert.equal(await guest.lookup(root, 'absent'), undefined);
  assert.deepEqual(serving.calls, ['listing'], 'all names are known');
  await put(serving.volume, root, 'c', 'c');
  await guest.readdir(root, handle, end, 4096, false);
  assert.ok(serving.calls.includes('readdir'), 'somebody else changed it');
  const names = (await guest.readdir(root, handle, 0, 4096, false)).map(({ name }) => name);
  assert.deepEqual(names.filter((name) => !name.startsWith('.')).toSorted(), ['a', 'b', 'c']);
});
