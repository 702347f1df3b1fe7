import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../../src/base/index.ts';
import { CallServer, FileSystemError, LockGrace, SharedFileSystem } from '../../../src/filesystem/index.ts';
import { decodeResult, encodeCall, Forgotten, type SharedMethod } from '../../../src/filesystem/shared/calls.ts';
import { Outcomes } from '../../../src/filesystem/shared/outcomes.ts';
import { eventually } from '../../docker/process.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { bytes, contentOf, errnoOf, look, open, put, root, user } from '../harness.ts';
import { none, Serving, standIn } from './serving.ts';

/** A guest whose answers get lost when it is told so, and what happens meanwhile. */
class Unlucky {
  readonly host = new SharedFileSystem('a', () => true);
  serving: Serving;
  #meanwhile: (() => unknown) | undefined;

  constructor(serving: Serving) {
    this.serving = serving;
    this.host.setBacking({
      kind: 'remote',
      ask: async (call) => {
        const answer = await this.serving.server.serve('a', call);
        const meanwhile = this.#meanwhile;
        if (meanwhile === undefined) return answer;
        this.#meanwhile = undefined;
        await meanwhile();
        throw new InfinitError('unknown-outcome', 'the answer was lost');
      },
    });
  }

  /** The next answer is lost. */
  lose(meanwhile: () => unknown = () => {}): void {
    this.#meanwhile = meanwhile;
  }
}

test('what another host made of a name after its removal, whose answer was lost, stays', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const { volume } = serving;
  const guest = new Unlucky(serving);
  for (const name of ['lock', 'from']) await put(volume, root, name, 'mine', true);
  await guest.host.mkdir(root, 'd', 0o755, 0, user);
  const made = new Map<string, number>();
  const remake = async (name: string): Promise<void> => void made.set(name, await put(volume, root, name, 'theirs', true));
  guest.lose(() => remake('lock'));
  await guest.host.unlink(root, 'lock');
  guest.lose(() => remake('from'));
  await guest.host.rename(root, 'from', root, 'to', 0);
  guest.lose(async () => void made.set('d', (await volume.mkdir(root, 'd', 0o755, 0, user)).inode));
  await guest.host.rmdir(root, 'd');
  for (const [name, inode] of made) assert.equal(await look(volume, root, name), inode, name);
});

test('a removal that the kernel asks the next daemon for, since the last one died before its answer came, is not made twice', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const { volume } = serving;
  const [asker, number] = ['the mount', 7];
  for (const name of ['lock', 'd']) await put(volume, root, name, 'mine', true);
  const dying = new Unlucky(serving);
  await dying.host.getattr(root);
  let inode = 0;
  dying.lose(async () => {
    inode = await put(volume, root, 'lock', 'theirs', true);
    return new Promise(() => {});
  });
  dying.host.asking({ asker, number });
  void dying.host.unlink(root, 'lock');
  await eventually('another host makes it anew', () => inode || undefined);
  const next = new Unlucky(serving);
  // It begins with calls of its own.
  await next.host.unlink(root, 'd');
  next.host.asking({ asker, number });
  await next.host.unlink(root, 'lock');
  assert.equal(await look(volume, root, 'lock'), inode);
  next.host.asking({ asker, number: number + 2 });
  await next.host.unlink(root, 'lock');
  assert.equal(await look(volume, root, 'lock'), undefined);
});

test('a file that was made, and an attribute, are not found in the way of themselves', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const guest = new Unlucky(serving);
  await guest.host.mkdir(root, 'first', 0o755, 0, user);
  guest.lose();
  const { attributes, handle } = await guest.host.create(root, 'f', 0o644, 0, 0o302, user);
  await guest.host.write(attributes.inode, handle, 0, bytes('x'), false);
  guest.lose();
  await guest.host.setxattr(attributes.inode, 'user.a', bytes('1'), 1, false);
  guest.lose();
  await guest.host.link(attributes.inode, root, 'g');
  assert.equal(await errnoOf(() => guest.host.setxattr(attributes.inode, 'user.a', bytes('2'), 1, false)), 'EEXIST');
});

test('what a host did before it was given up for a moment is not done twice, and what it opened it opens again', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const { volume } = serving;
  const guest = new Unlucky(serving);
  for (const name of ['lock', 'f']) await put(volume, root, name, 'mine', true);
  let theirs = 0;
  guest.lose(async () => {
    await serving.server.dismiss('a');
    theirs = await put(volume, root, 'lock', 'theirs', true);
  });
  await guest.host.unlink(root, 'lock');
  assert.equal(await look(volume, root, 'lock'), theirs);
  let close = (): Promise<void> => Promise.resolve();
  guest.lose(async () => (close = await serving.server.dismiss('a')));
  const inode = (await look(volume, root, 'f'))!;
  const handle = await guest.host.open(inode, 0);
  await volume.unlink(root, 'f');
  volume.forget(inode, 1);
  await close();
  assert.equal(Buffer.concat(await guest.host.read(inode, handle, 0, 10)).toString(), 'mine');
  guest.lose(async () => (await serving.server.dismiss('a'))());
  await guest.host.mkdir(root, 'd', 0o755, 0, user);
  guest.lose(async () => (await serving.server.dismiss('a'))());
  const set = async (): Promise<void> => guest.host.setxattr(root, 'user.x', bytes('x'), 1, false);
  await set();
  await assert.rejects(set, { errno: 'EEXIST' });
});

test('what the kernel asked for to be opened, with its number, is opened again where the host was given up before the answer came', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const { volume } = serving;
  const inode = await put(volume, root, 'f', 'mine', true);
  const asker = 'the mount';
  const guest = new Unlucky(serving);
  const dismiss = (): Promise<unknown> => serving.server.dismiss('a');
  guest.host.asking({ asker, number: 5 });
  await guest.host.mkdir(root, 'd', 0o755, 0, user);
  guest.lose(dismiss);
  guest.host.asking({ asker, number: 7 });
  const handle = await guest.host.open(inode, 0);
  guest.lose(dismiss);
  guest.host.asking({ asker, number: 9 });
  await guest.host.opendir(root);
  assert.equal(Buffer.concat(await guest.host.read(inode, handle, 0, 10)).toString(), 'mine');
  // The process before asked for this one.
  let dismissed = false;
  guest.lose(async () => {
    await dismiss();
    dismissed = true;
    return new Promise(() => {});
  });
  guest.host.asking({ asker, number: 11 });
  void guest.host.open(inode, 0);
  await eventually('it was given up', () => dismissed || undefined);
  const next = new Unlucky(serving);
  next.host.asking({ asker, number: 11 });
  await next.host.open(inode, 0);
});

test('what a host has open stays open for the time that it is given, though a call of it ends after it was given up', async () => {
  const volume = await open(new MemoryBlockStore());
  const inode = await put(volume, root, 'f', 'mine', true);
  const gate = Promise.withResolvers<void>();
  const slow = standIn(volume, { lookup: (parent, name) => gate.promise.then(() => volume.lookup(parent, name)) });
  const { server } = new Serving(slow);
  for (const [method, ...args] of [['relocked'], ['open', inode, 0]] as const) decodeResult(await server.serve('a', encodeCall(method, args)));
  const late = server.serve('a', encodeCall('lookup', [root, 'f']));
  const close = await server.dismiss('a');
  gate.resolve();
  await late;
  await volume.unlink(root, 'f');
  volume.forget(inode, 1);
  assert.equal((await volume.getattr(inode)).links, 0);
  await close();
  assert.equal(await errnoOf(() => volume.getattr(inode)), 'ESTALE');
});

test('a removal whose answer was lost with the holder before is not made again, and nothing else is removed', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const guest = new Unlucky(first);
  for (const name of ['lock', 'gone']) await put(first.volume, root, name, 'mine', true);
  await guest.host.mkdir(root, 'd', 0o755, 0, user);
  let inode = 0;
  const next = async (): Promise<void> => {
    await guest.serving.volume.close();
    // The guest may hear of it late.
    guest.serving = new Serving(await open(store));
    inode = await put(guest.serving.volume, root, 'lock', 'theirs', true);
  };
  guest.lose(next);
  await guest.host.unlink(root, 'lock');
  assert.equal(await look(guest.serving.volume, root, 'lock'), inode);
  await guest.host.mkdir(root, 'e', 0o755, 0, user);
  guest.lose(async () => {
    const { volume } = guest.serving;
    await volume.unlink(root, 'lock');
    await next();
    guest.host.setBacking({ kind: 'local', volume: guest.serving.volume, grace: none });
  });
  await guest.host.unlink(root, 'gone');
  assert.equal(await look(guest.serving.volume, root, 'lock'), inode);
});

test('what another host wrote after a write or a truncation whose answer was lost stays', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const { volume } = serving;
  const guest = new Unlucky(serving);
  const inode = await put(volume, root, 'f', 'before', true);
  const handle = await guest.host.open(inode, 2);
  const writeTheirs = async (): Promise<void> => void (await volume.write(inode, 0, 0, bytes('theirs'), false));
  guest.lose(writeTheirs);
  await guest.host.setattr(inode, { size: 0 });
  assert.equal((await contentOf(volume, inode)).toString(), 'theirs');
  guest.lose(writeTheirs);
  await guest.host.write(inode, handle, 0, bytes('mine'), false);
  assert.equal((await contentOf(volume, inode)).toString(), 'theirs');
});

test('an opening whose answer was lost leaves one file open', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const guest = new Unlucky(serving);
  const inode = await put(serving.volume, root, 'f', 'x', true);
  await guest.host.opendir(root);
  guest.lose();
  const handle = await guest.host.open(inode, 2);
  await serving.volume.unlink(root, 'f');
  serving.volume.forget(inode, 1);
  await guest.host.release(inode, handle);
  assert.equal(await errnoOf(() => serving.volume.getattr(inode)), 'ESTALE');
});

test('a host that has as many files open as it may can still close one', async () => {
  const volume = await open(new MemoryBlockStore());
  const inode = await put(volume, root, 'f', 'x', true);
  const server = new CallServer(
    volume,
    (shown) => volume.keep(shown),
    new LockGrace([]),
    () => {},
    undefined,
    2,
  );
  const ask = async (method: SharedMethod, ...args: unknown[]): Promise<unknown> => decodeResult(await server.serve('a', encodeCall(method, args)));
  await ask('relocked');
  const handle = await ask('open', inode, 0);
  await ask('opendir', root);
  await assert.rejects(ask('open', inode, 0), { code: 'overloaded' });
  await ask('release', inode, handle);
  await ask('open', inode, 0);
});

test('an outcome is remembered for whoever asks again, and one that is not remembered is not made up', async () => {
  const outcomes = new Outcomes();
  let performed = 0;
  const perform = async (number: number, failure?: Error): Promise<number> => {
    performed++;
    if (failure !== undefined) throw failure;
    return number;
  };
  const call = async (number: number, again: boolean, failure?: Error, memory = outcomes.id): Promise<number> =>
    outcomes.once('write', { asker: 'a', number, again, memory }, () => perform(number, failure));
  await call(1, false);
  await call(1, true);
  await assert.rejects(call(2, false, new FileSystemError('ENOENT')));
  await assert.rejects(call(2, true), { errno: 'ENOENT' });
  assert.equal(performed, 2);
  await assert.rejects(call(3, false, new InfinitError('unavailable', 'no block')));
  await call(3, true);
  // It never arrived.
  await call(4, true);
  assert.equal(performed, 5);
  await assert.rejects(call(5, true, undefined, 'of the holder before'), Forgotten);
  for (let number = 10; number < 10_000; number++) await call(number, false);
  await assert.rejects(call(1, true), Forgotten);
});

test('what was opened and closed since is made anew where somebody knows that it was, and no call is given the outcome of another one', async () => {
  const outcomes = new Outcomes();
  const call = (method: string, again: boolean, value: string, opens = false): Promise<string> =>
    outcomes.once(method, { asker: 'a', number: 7, again, memory: outcomes.id }, () => Promise.resolve(value), opens);
  assert.equal(await call('open', false, 'first', true), 'first');
  assert.equal(await call('write', false, 'written'), 'written');
  outcomes.closeAll();
  assert.throws(() => call('open', true, 'second', true), Forgotten);
  assert.equal(await call('open', false, 'second', true), 'second');
  assert.equal(await call('open', true, 'third', true), 'second');
  assert.equal(await call('write', true, 'twice'), 'written');
});
