import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError, silentLogger } from '../../../src/base/index.ts';
import { Sealer } from '../../../src/block/index.ts';
import { BlockReader, FileSystemError, ProvenFailure, SharedFileSystem, UnsaidMemory } from '../../../src/filesystem/index.ts';
import { decodeCall, encodeFailure } from '../../../src/filesystem/shared/calls.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { contentOf, errnoOf, look, open, put, root, user, volumeId } from '../harness.ts';
import { Memory } from '../redo-host.ts';
import { Serving } from './serving.ts';

const mebibyte = 1024 * 1024;

/** A guest whose process dies, and is followed by another that has its memory. */
class Guest {
  readonly #serving: () => Serving;
  readonly #store: MemoryBlockStore;
  #memory = new Memory(40 * mebibyte);
  /** As a set of dirty files. */
  #unsynced = new Set<number>();
  readonly #lost = new Set<number>();
  #life = 0;
  #requests = 1000;
  #answers = Infinity;
  fileSystem!: SharedFileSystem;
  /** Inodes of which it is known that something is lost. */
  readonly heard: number[] = [];
  /** Calls that this process was about to make when it died. */
  readonly late: Uint8Array[] = [];

  constructor(serving: () => Serving, store: MemoryBlockStore) {
    this.#serving = serving;
    this.#store = store;
    this.#start();
  }

  get peer(): string {
    return 'guest';
  }

  /** So many puts are done yet; then this process does not hear what came of them, and those that follow come late. */
  dieAfter(puts: number): void {
    this.#answers = puts;
  }

  /** It asks nothing from now on, and hears nothing. */
  freeze(): void {
    this.#life++;
  }

  die(): void {
    this.freeze();
    this.#answers = Infinity;
    this.#memory = this.#memory.copy();
    this.#unsynced = new Set(this.#unsynced);
    this.#start();
  }

  #start(): void {
    const life = this.#life;
    const left = new Set(this.#unsynced);
    const unsynced = this.#unsynced;
    const unsaid = UnsaidMemory.open(this.#memory, volumeId, (inode) => left.has(inode) && !this.#lost.has(inode))!;
    const written = {
      onDirty: (inode: number) => void unsynced.add(inode),
      onClean: (inode: number) => void unsynced.delete(inode),
      onLost: (inode: number) => {
        this.#lost.add(inode);
        this.heard.push(inode);
      },
    };
    const { clock } = this.#serving().time;
    this.fileSystem = new SharedFileSystem('guest', () => false, undefined, undefined, 'mount', clock, written, unsaid);
    const taken = new Set(this.fileSystem.leftUnsaid());
    for (const inode of left) assert.ok(taken.has(inode) || this.#lost.has(inode), 'what was noted as unsaid is there');
    const writes = { store: this.#store, sealer: new Sealer(), volumeId, logger: silentLogger };
    const ask = async (call: Uint8Array): Promise<Uint8Array> => {
      const forEver = new Promise<never>(() => {});
      if (life !== this.#life) return forEver;
      if (decodeCall(call).method === 'put' && --this.#answers < 0) {
        this.late.push(Uint8Array.from(call));
        return forEver;
      }
      const serving = this.#serving();
      const { method } = decodeCall(call);
      if (serving.unknown.has(method)) return encodeFailure(new InfinitError('bad-argument', `unknown method ${method}`));
      const answer = await serving.server.serve(this.peer, call);
      return life === this.#life ? answer : forEver;
    };
    this.#serving().welcome(this.fileSystem, this.peer, this.#store);
    this.fileSystem.setBacking({ kind: 'remote', ask, blocks: new BlockReader(this.#store, new Sealer()), writes });
  }

  /** Its daemon did not note in which memory of calls its requests were made. */
  forgetCalls(): void {
    UnsaidMemory.open(this.#memory, volumeId, () => true)!.memory.callMemory = 0;
  }

  /** It has what it may keep in memory. */
  async ready(): Promise<SharedFileSystem> {
    await this.fileSystem.getattr(root);
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    await this.fileSystem.getattr(root);
    return this.fileSystem;
  }

  /** Makes a file, and writes nothing yet. */
  async make(name: string): Promise<{ inode: number; handle: number }> {
    const guest = await this.ready();
    guest.asking({ asker: 'mount', number: ++this.#requests });
    const made = guest.create(root, name, 0o644, 0, 1, user);
    guest.asking(undefined);
    const { attributes, handle } = await made;
    await guest.fsync(attributes.inode, handle, false);
    return { inode: attributes.inode, handle };
  }
}

interface Scene {
  readonly store: MemoryBlockStore;
  serving: Serving;
  readonly guest: Guest;
}

async function begin(): Promise<Scene> {
  const store = new MemoryBlockStore();
  let serving = new Serving(await open(store));
  const guest = new Guest(() => serving, store);
  return {
    store,
    guest,
    get serving() {
      return serving;
    },
    set serving(next) {
      serving = next;
    },
  };
}

function pattern(bytes: number, seed: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: bytes }, (_, at) => (at * 31 + seed * 17) % 251));
}

async function seen(serving: Serving, inode: number): Promise<Buffer> {
  await serving.own.getattr(inode);
  return contentOf(serving.volume, inode);
}

test('what a guest had not said when its process died the next one says, and a sync succeeds', async () => {
  const { serving, guest } = await begin();
  const { inode, handle } = await guest.make('f');
  const data = pattern(3 * mebibyte, 1);
  for (let at = 0; at < data.length; at += mebibyte) await guest.fileSystem.write(inode, handle, at, data.subarray(at, at + mebibyte), false);
  for (let at = 0; at < 2000; at++) await guest.fileSystem.write(inode, handle, at * 1000, pattern(100, at).fill(at, 0, 10), false);
  for (let at = 0; at < 2000; at++)
    pattern(100, at)
      .fill(at, 0, 10)
      .copy(data, at * 1000);
  const modified = { seconds: 1000, nanoseconds: 7 };
  await guest.fileSystem.setattr(inode, { mode: 0o600, modified, accessed: { seconds: 3, nanoseconds: 4 } });
  guest.die();
  const { mode, size, modified: since, accessed } = await guest.fileSystem.getattr(inode);
  assert.deepEqual([mode & 0o777, size, since, accessed.seconds], [0o600, data.length, modified, 3]);
  const again = await guest.fileSystem.open(inode, 1);
  guest.fileSystem.inherited(inode, again);
  await guest.fileSystem.fsync(inode, again, false);
  assert.ok((await seen(serving, inode)).equals(data));
  assert.deepEqual(guest.heard, []);
  await (await guest.ready()).write(inode, again, 0, Buffer.from('goes on'), false);
  guest.die();
  await guest.ready();
  assert.equal((await seen(serving, inode)).subarray(0, 7).toString(), 'goes on');
});

test('a process may die at any moment of what it says, and so may the one after it', async () => {
  for (let puts = 0; puts < 7; puts++) {
    const { serving, guest } = await begin();
    const { inode, handle } = await guest.make('f');
    const expected = Buffer.alloc(2 * mebibyte);
    // Pieces that are said by themselves, and more of them than one message takes.
    for (let at = 0; at < 700; at++) {
      const data = pattern(1 + ((at * 37) % 1500), at);
      await guest.fileSystem.write(inode, handle, at * 2500, data, false);
      data.copy(expected, at * 2500);
    }
    guest.dieAfter(puts);
    const synced = (async () => guest.fileSystem.fsync(inode, handle, false))().catch(() => {});
    for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
    // Written over while that is on its way.
    await guest.fileSystem.write(inode, handle, 5000, Buffer.from('later'), false);
    expected.write('later', 5000);
    guest.die();
    guest.dieAfter(puts % 3);
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
    guest.die();
    await guest.ready();
    const content = await seen(serving, inode);
    assert.ok(content.equals(expected.subarray(0, content.length)), `${puts} puts`);
    assert.ok(content.length > 699 * 2500);
    // What the dead ones had sent and nobody had read comes after all.
    for (const call of guest.late) await serving.server.serve(guest.peer, call);
    assert.ok((await seen(serving, inode)).equals(content), `${puts} puts, and late ones`);
    assert.deepEqual(guest.heard, []);
    void synced;
  }
});

test('what somebody else did to the file meanwhile stays: whoever had it open hears that what it wrote is lost', async () => {
  const { serving, guest } = await begin();
  const { inode, handle } = await guest.make('f');
  await guest.fileSystem.write(inode, handle, 0, Buffer.from('mine'), false);
  guest.freeze();
  serving.grants.loans.lapse(guest.peer);
  await serving.own.write(inode, await serving.own.open(inode, 1), 0, Buffer.from('others'), false);
  guest.die();
  const again = await guest.fileSystem.open(inode, 1);
  guest.fileSystem.inherited(inode, again);
  assert.equal(await errnoOf(async () => guest.fileSystem.fsync(inode, again, false)), 'EIO');
  await guest.fileSystem.fsync(inode, again, false);
  assert.deepEqual(guest.heard, [inode]);
  assert.equal((await seen(serving, inode)).toString(), 'others');
  // It was said to be lost, and does not come back.
  guest.die();
  await guest.ready();
  assert.deepEqual(guest.heard, [inode]);
});

test('what this host itself does to the file next comes after what it wrote', async () => {
  for (const what of ['rename', 'truncate', 'write', 'chmod', 'unlink'] as const) {
    const { serving, guest } = await begin();
    const { inode, handle } = await guest.make('f');
    await guest.fileSystem.write(inode, handle, 0, Buffer.from('all of it'), false);
    guest.die();
    const { fileSystem } = guest;
    const again = what === 'unlink' ? await fileSystem.open(inode, 1) : 0;
    if (what === 'rename') await fileSystem.rename(root, 'f', root, 'g', 0);
    else if (what === 'truncate') await fileSystem.setattr(inode, { size: 3 });
    else if (what === 'write') await fileSystem.write(inode, await fileSystem.open(inode, 1), 0, Buffer.from('ALL'), false);
    else if (what === 'chmod') await fileSystem.setattr(inode, { mode: 0o600 });
    else await fileSystem.unlink(root, 'f');
    const content = (await seen(serving, inode)).toString();
    assert.equal(content, what === 'truncate' ? 'all' : what === 'write' ? 'ALL of it' : 'all of it', what);
    assert.deepEqual(guest.heard, [], what);
    void again;
  }
});

/** What an append comes to that the kernel asks for again, of a daemon that knows no handle of the one before. */
async function appendedAgain(guest: Guest, inode: number, number: number): Promise<number | undefined> {
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

test('another host that serves the volume by then is told as well, and so is a volume that is opened in this very process', async () => {
  const scene = await begin();
  const { guest, store } = scene;
  const { inode, handle } = await guest.make('f');
  await guest.fileSystem.write(inode, handle, 0, Buffer.from('first'), false);
  guest.freeze();
  await scene.serving.volume.abandon();
  store.restart();
  scene.serving = new Serving(await open(store));
  guest.die();
  await guest.ready();
  assert.equal((await seen(scene.serving, inode)).toString(), 'first');
  const again = await guest.fileSystem.open(inode, 1);
  await guest.fileSystem.write(inode, again, 5, Buffer.from(' and second'), false);
  await scene.serving.volume.abandon();
  guest.die();
  store.restart();
  const volume = await open(store);
  await guest.fileSystem.takeLeft({
    attributes: async (number) => volume.getattr(number),
    put: async (number, _loan, written) => volume.lending.apply(number, written),
  });
  assert.equal((await contentOf(volume, inode)).toString(), 'first and second');
  assert.deepEqual([[...guest.fileSystem.leftUnsaid()], guest.heard], [[], []]);
});

test('where the host that serves the volume is of a version that takes no such writes, programs hear that they are lost', async () => {
  const { serving, guest } = await begin();
  const { inode, handle } = await guest.make('f');
  await guest.fileSystem.write(inode, handle, 0, Buffer.from('lost'), false);
  guest.freeze();
  serving.unknown.add('put').add('renew');
  serving.grants.loans.lapse(guest.peer);
  guest.die();
  const again = await guest.fileSystem.open(inode, 1);
  guest.fileSystem.inherited(inode, again);
  assert.equal(await errnoOf(async () => guest.fileSystem.fsync(inode, again, false)), 'EIO');
  assert.deepEqual(guest.heard, [inode]);
});

test('a process that stops in order leaves nothing', async () => {
  const { serving, guest } = await begin();
  const { inode, handle } = await guest.make('f');
  await guest.fileSystem.write(inode, handle, 0, Buffer.from('said'), false);
  await guest.fileSystem.close();
  assert.equal((await seen(serving, inode)).toString(), 'said');
  guest.die();
  assert.deepEqual([...guest.fileSystem.leftUnsaid()], []);
});
