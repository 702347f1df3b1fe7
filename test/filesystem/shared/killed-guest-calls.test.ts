import assert from 'node:assert/strict';
import { test } from 'node:test';

import { FileSystemError, ProvenFailure, type SharedFileSystem } from '../../../src/filesystem/index.ts';
import { look, open, put, root, user } from '../harness.ts';
import { begin, type KilledGuest, type Scene, seen } from './killed-guest.ts';
import { Serving } from './serving.ts';

/** What an append comes to that the kernel asks for again, of a daemon that knows no handle of the one before. */
async function appendedAgain(guest: KilledGuest, inode: number, number: number): Promise<number | undefined> {
  const { fileSystem } = guest;
  const handle = await fileSystem.open(inode, 1);
  fileSystem.asking({ asker: 'mount', number, again: true });
  const done = fileSystem.appended(inode, handle, Buffer.from('line\n'), false);
  fileSystem.asking(undefined);
  return done;
}

test('an append that the kernel asks for again is known, and one that was not made is made', async () => {
  const { serving, guest } = await begin();
  const { inode, handle } = await guest.make('f');
  for (const number of [12, 14]) {
    guest.fileSystem.asking({ asker: 'mount', number });
    await guest.fileSystem.write(inode, handle, 0, Buffer.from(`line ${number}\n`), false, true);
    guest.fileSystem.asking(undefined);
  }
  guest.die();
  for (const [number, bytes] of [
    [10, 5],
    [12, 8],
    [14, 8],
    [16, 5],
  ] as const)
    assert.equal(await appendedAgain(guest, inode, number), bytes);
  await guest.ready();
  assert.equal((await seen(serving, inode)).toString(), 'line 12\nline 14\nline\nline\n');
});

test('an append that the host which serves the volume made is known as well, and is not made again', async () => {
  const { serving, guest } = await begin();
  const { inode, handle } = await guest.make('f');
  // A file that is read by the same opening is not lent.
  await guest.fileSystem.read(inode, handle, 0, 1);
  guest.fileSystem.asking({ asker: 'mount', number: 12 });
  await guest.fileSystem.write(inode, handle, 0, Buffer.from('line\n'), false, true);
  guest.die();
  for (const number of [10, 12]) assert.equal(await appendedAgain(guest, inode, number), 5);
  assert.equal((await seen(serving, inode)).toString(), 'line\nline\n');
});

/** The host that serves the volume is killed in the middle of what the guest's kernel asks for, and the guest's daemon with it. @param isDone it is durable by then, and not answered. */
async function both<T>(scene: Scene, isDone: boolean, work: (guest: SharedFileSystem) => T | Promise<T>): Promise<T> {
  const { guest, store } = scene;
  const ask = async (again: boolean): Promise<T> => {
    guest.fileSystem.asking({ asker: 'mount', number: 20, again });
    const done = work(guest.fileSystem);
    guest.fileSystem.asking(undefined);
    return done;
  };
  if (!isDone) guest.freeze();
  void ask(false);
  if (isDone) {
    while (scene.serving.volume.calls.recordWith([]).calls.every(({ number }) => number !== 20))
      await new Promise((resolve) => setImmediate(resolve));
    guest.freeze();
  }
  await scene.serving.volume.abandon();
  store.restart();
  scene.serving = new Serving(await open(store));
  guest.die();
  await guest.ready();
  return ask(true);
}

test('a change of names that is asked for again after both hosts died is done once, and what it meets is not its own doing', async () => {
  const changes: Record<string, (guest: SharedFileSystem) => unknown> = {
    mkdir: (guest) => guest.mkdir(root, 'new', 0o755, 0, user),
    create: (guest) => guest.create(root, 'new', 0o644, 0, 0o302, user),
    symlink: (guest) => guest.symlink(root, 'new', 'there', user),
  };
  for (const [name, change] of Object.entries(changes)) {
    for (const isDone of name === 'create' ? [false] : [false, true]) {
      const scene = await begin();
      await scene.guest.ready();
      await both(scene, isDone, change);
      assert.ok((await scene.guest.fileSystem.lookup(root, 'new')) !== undefined, name);
      // Somebody else's.
      const other = await begin();
      await other.guest.ready();
      await put(other.serving.volume, root, 'new', 'theirs', true);
      const met = await both(other, false, async (guest) => change(guest)).catch((error: unknown) => error);
      assert.ok(met instanceof ProvenFailure && met.errno === 'EEXIST', name);
    }
  }
});

/** Exchanges two names, as request 20 of the kernel. */
function exchange(guest: SharedFileSystem, again: boolean): unknown {
  return guest.rename(root, 'one', root, 'other', 2, { number: 20, again });
}

async function withNames(): Promise<{ scene: Scene; names: () => Promise<unknown[]>; inodes: readonly number[] }> {
  const scene = await begin();
  await scene.guest.ready();
  const inodes = [await put(scene.serving.volume, root, 'one', '1', true), await put(scene.serving.volume, root, 'other', '2', true)];
  return { scene, inodes, names: async () => [await look(scene.serving.volume, root, 'one'), await look(scene.serving.volume, root, 'other')] };
}

test('an exchange of names that is asked for again after both hosts died is done once', async () => {
  for (const isDone of [false, true]) {
    const { scene, inodes, names } = await withNames();
    let again = false;
    await both(scene, isDone, (guest) => {
      const done = exchange(guest, again);
      again = true;
      return done;
    });
    assert.deepEqual(await names(), inodes.toReversed(), isDone ? 'it had been done' : 'it had not');
  }
});

test('so is one that the next daemon of the guest alone is asked for again', async () => {
  const { scene, inodes, names } = await withNames();
  for (const again of [false, true]) {
    scene.guest.fileSystem.asking({ asker: 'mount', number: 20, again });
    const done = exchange(scene.guest.fileSystem, again);
    scene.guest.fileSystem.asking(undefined);
    await done;
    if (!again) scene.guest.die();
    assert.deepEqual(await names(), inodes.toReversed());
  }
});

test('of an exchange nobody says that it was done, or does it, where that is not known', async () => {
  const { scene, inodes, names } = await withNames();
  scene.guest.forgetCalls();
  let again = false;
  const done = both(scene, false, (guest) => {
    const asked = exchange(guest, again);
    again = true;
    return asked;
  });
  await assert.rejects(async () => done, { code: 'unknown-outcome' });
  assert.deepEqual(await names(), inodes);
});

test('where the memory of calls is not known in which a request was first made, what it meets is not said to be another’s', async () => {
  const scene = await begin();
  await scene.guest.ready();
  await put(scene.serving.volume, root, 'new', 'theirs', true);
  scene.guest.forgetCalls();
  const met = await both(scene, false, async (guest) => guest.mkdir(root, 'new', 0o755, 0, user)).catch((error: unknown) => error);
  assert.ok(met instanceof FileSystemError && !(met instanceof ProvenFailure) && met.errno === 'EEXIST');
});
