/** Files that a guest's programs have just made when the host that serves the volume is lost: the next one makes those again that were not durable, and no program hears of anything. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { silentLogger, systemClock } from '../../../src/base/index.ts';
import { Sealer } from '../../../src/block/index.ts';
import { accessAclName, defaultAclName, encodeAcl } from '../../../src/filesystem/inodes/acl.ts';
import { checkVolume, LockGrace, type Problem, SharedFileSystem, type Volume } from '../../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { acl } from '../an-acl.ts';
import { contentOf, errnoOf, look, namesOf, open, put, root, user, volumeId } from '../harness.ts';
import { Serving } from './serving.ts';
import { VirtualTime } from './virtual-time.ts';

const never = new Promise<never>(() => {});

/** What is wrong with the volume, which nobody has open, or with what the store has. */
async function problemsOf(store: MemoryBlockStore): Promise<readonly Problem[]> {
  const setup = { store, sealer: new Sealer(), volumeId, session: 1_000_000, clock: systemClock, logger: silentLogger };
  return (await checkVolume(setup, { immutable: store.immutableAddresses(), mutable: store.mutableAddresses() })).problems;
}

/** A volume that goes from host to host, with a guest throughout that keeps things in memory. */
class Line {
  readonly store = new MemoryBlockStore();
  readonly time = new VirtualTime();
  serving!: Serving;
  #holds = false;
  readonly guest = this.newGuest(() => this.#holds);

  newGuest(holds = () => false): SharedFileSystem {
    return new SharedFileSystem('guest', holds, { clock: this.time.clock });
  }

  get volume(): Volume {
    return this.serving.volume;
  }

  /** @param writes whether the guest writes in its own memory. */
  static async begin(writes = true): Promise<Line> {
    const line = new Line();
    line.serving = new Serving(await open(line.store));
    await line.keep(line.guest, 'guest', writes);
    return line;
  }

  async keep(guest: SharedFileSystem, name: string, writes = true): Promise<void> {
    const { serving } = this;
    serving.welcome(guest, name, writes ? this.store : undefined);
    await serving.keeps(guest);
  }

  /** The host that serves the volume is lost. */
  async lose(): Promise<void> {
    this.guest.setBacking(undefined);
    await this.volume.abandon();
    this.store.restart();
  }

  /** Another serves it from now on. @param writes whether the guest may write in its own memory */
  async next(writes = true): Promise<void> {
    this.serving = new Serving(await open(this.store, {}, { othersOpened: never }));
    this.serving.welcome(this.guest, 'guest', writes ? this.store : undefined);
  }

  /** The guest serves it from now on. */
  async takeOver(): Promise<void> {
    const volume = await open(this.store, {}, { othersOpened: never });
    this.#holds = true;
    this.serving = new Serving(volume, new LockGrace([]), this.guest);
  }

  /** The volume as it is durable. */
  async durable(): Promise<Volume> {
    await this.guest.syncfs();
    return open(this.store);
  }
}

suite('a file that was made and not durable when its host was lost', () => {
  const before: Readonly<Record<string, (guest: SharedFileSystem, inode: number, handle: number) => unknown>> = {
    'not touched yet': () => {},
    written: (guest, inode, handle) => guest.write(inode, handle, 0, Buffer.from('before '), false),
    'changed otherwise': (guest, inode) => guest.setattr(inode, { mode: 0o640, modified: { seconds: 7, nanoseconds: 8 } }),
  };
  for (const [what, work] of Object.entries(before))
    for (const writes of [true, false])
      for (const successor of ['another host', 'the guest'])
        test(`${what}, ${writes ? 'in the guest’s memory' : 'by the host'}; ${successor} is the next`, async () => {
          const line = await Line.begin(writes);
          const { guest } = line;
          const { attributes, handle } = await guest.create(root, 'f', 0o644, 0o022, 0o201, user);
          const { inode } = attributes;
          await work(guest, inode, handle);
          const was = await guest.getattr(inode);
          await line.lose();
          await (successor === 'the guest' ? line.takeOver() : line.next(writes));
          const found = await guest.lookup(root, 'f');
          assert.deepEqual({ ...found, blocks: 0 }, { ...was, blocks: 0 });
          await guest.write(inode, handle, was.size, Buffer.from('after'), false);
          await guest.flush(inode, handle, '1');
          await guest.release(inode, handle);
          const volume = await line.durable();
          assert.deepEqual(await namesOf(volume, root), ['f']);
          assert.equal(await look(volume, root, 'f'), inode);
          assert.equal((await contentOf(volume, inode)).toString(), what === 'written' ? 'before after' : 'after');
          assert.equal((await volume.getattr(inode)).links, 1);
          assert.deepEqual((await volume.check()).problems, []);
        });
});

test('what was inherited from its directory is so again', async () => {
  const line = await Line.begin();
  const { guest } = line;
  const directory = (await guest.mkdir(root, 'd', 0o2775, 0, { uid: 0, gid: 50, pid: 1 })).inode;
  await guest.setxattr(directory, defaultAclName, encodeAcl(acl), 0, false);
  const { attributes, handle } = await guest.create(directory, 'f', 0o666, 0o077, 1, user);
  const { inode } = attributes;
  await line.lose();
  await line.next();
  assert.deepEqual(await guest.getattr(inode), attributes);
  assert.deepEqual([attributes.mode & 0o7777, attributes.uid, attributes.gid], [0o664, user.uid, 50]);
  assert.deepEqual(await guest.listxattr(inode), [accessAclName]);
  await guest.write(inode, handle, 0, Buffer.from('x'), false);
  await guest.flush(inode, handle, '1');
});

test('one without a name is open still, and may be given one', async () => {
  for (const successor of ['another host', 'the guest']) {
    const line = await Line.begin();
    const { guest } = line;
    const { attributes, handle } = await guest.tmpfile(root, 0o600, 0, 2, user);
    const { inode } = attributes;
    await line.lose();
    await (successor === 'the guest' ? line.takeOver() : line.next());
    await guest.write(inode, handle, 0, Buffer.from('content'), false);
    await guest.fsync(inode, handle, false);
    await line.lose();
    await line.next();
    assert.equal((await guest.link(inode, root, 'f')).links, 1);
    await guest.release(inode, handle);
    const volume = await line.durable();
    assert.equal((await contentOf(volume, inode)).toString(), 'content');
  }
});

test('one whose name another took before it was made again is lost: its program hears of it, once, and the other is as it was', async () => {
  const line = await Line.begin();
  const { guest } = line;
  const directory = await guest.opendir(root);
  const { attributes, handle } = await guest.create(root, 'f', 0o644, 0, 1, user);
  await guest.write(attributes.inode, handle, 0, Buffer.from('mine'), false);
  await line.lose();
  const between = await open(line.store);
  const theirs = await put(between, root, 'f', 'theirs', true);
  await between.close();
  await line.next();
  assert.equal((await guest.lookup(root, 'f'))?.inode, theirs);
  assert.equal(await errnoOf(async () => guest.flush(attributes.inode, handle, '1')), 'EIO');
  assert.equal(await errnoOf(() => guest.fsyncdir(root, directory)), 'EIO');
  assert.equal(await errnoOf(() => guest.fsyncdir(root, directory)), 'none');
  await guest.release(attributes.inode, handle);
  assert.equal((await contentOf(line.volume, theirs)).toString(), 'theirs');
});

test('one that was durable, and that others removed since, is not made again', async () => {
  for (const removed of ['while it was open', 'after its host was given up'] as const) {
    const line = await Line.begin();
    const { guest, serving } = line;
    const { attributes, handle } = await guest.create(root, 'f', 0o644, 0, 1, user);
    const { inode } = attributes;
    await line.volume.syncfs();
    if (removed === 'after its host was given up') {
      line.time.jump(30_000);
      await (
        await serving.server.dismiss('guest')
      )();
    }
    await serving.own.unlink(root, 'f');
    await line.volume.syncfs();
    await line.lose();
    await line.next();
    assert.equal(await guest.lookup(root, 'f'), undefined);
    const isThere = removed === 'while it was open';
    assert.equal(await errnoOf(async () => guest.write(inode, handle, 0, Buffer.from('x'), false)), isThere ? 'none' : 'ESTALE');
    assert.equal(await errnoOf(async () => guest.flush(inode, handle, '1')), isThere ? 'none' : 'EIO');
  }
});

test('names that a guest gave and took before, or was about to, count', async () => {
  const line = await Line.begin();
  const { guest } = line;
  const one = await guest.create(root, 'a', 0o644, 0, 1, user);
  const other = await guest.create(root, 'b', 0o644, 0, 1, user);
  await guest.rename(root, 'a', root, 'c', 0);
  const last = await guest.create(root, 'd', 0o644, 0, 1, user);
  await line.lose();
  // Asked for while nobody serves the volume.
  const asked = [async () => guest.rename(root, 'd', root, 'e', 0), async () => guest.unlink(root, 'b')].map((ask) => ask());
  await line.next();
  await Promise.all(asked);
  for (const { attributes, handle } of [one, other, last]) await guest.flush(attributes.inode, handle, '1');
  const volume = await line.durable();
  assert.deepEqual((await namesOf(volume, root)).sort(), ['c', 'e']);
  assert.equal(await look(volume, root, 'e'), last.attributes.inode);
});

test('it is made once, wherever the host dies that makes it again', async () => {
  let ended = false;
  for (let writes = 0; !ended; writes++) {
    const line = await Line.begin();
    const { guest } = line;
    const made = [await guest.create(root, 'f', 0o644, 0, 1, user), await guest.create(root, 'g', 0o644, 0, 1, user)];
    const unnamed = await guest.tmpfile(root, 0o600, 0, 2, user);
    await line.lose();
    const second = await open(line.store);
    const serving = new Serving(second);
    line.store.crashAfter(writes);
    serving.welcome(guest, 'guest', line.store);
    // Where nothing more is written it is made.
    const isMade = (async () => (await guest.lookup(root, 'f')) !== undefined)().catch(() => false);
    ended = await Promise.race([isMade, new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 50))]);
    await second.abandon();
    guest.setBacking(undefined);
    line.store.restart();
    await line.next();
    for (const { attributes, handle } of [...made, unnamed]) {
      await guest.write(attributes.inode, handle, 0, Buffer.from('content'), false);
      await guest.flush(attributes.inode, handle, '1');
      await guest.release(attributes.inode, handle);
    }
    assert.deepEqual((await namesOf(line.volume, root)).sort(), ['f', 'g'], `${writes} writes`);
    assert.equal(await look(line.volume, root, 'f'), made[0]!.attributes.inode);
    await line.volume.close();
    assert.deepEqual(await problemsOf(line.store), [], `${writes} writes`);
    if (writes > 20) break;
  }
  assert.ok(ended, 'also by one that does not die');
});

test('what its program does to it next comes after what it wrote before', async () => {
  const works: Readonly<Record<string, (guest: SharedFileSystem, inode: number) => unknown>> = {
    setxattr: (guest, inode) => guest.setxattr(inode, 'user.a', Buffer.from('b'), 0, false),
    removexattr: (guest, inode) => guest.removexattr(inode, 'user.a'),
    chmod: (guest, inode) => guest.setattr(inode, { mode: 0o600 }),
    rename: (guest) => guest.rename(root, 'f', root, 'g', 0),
    link: (guest, inode) => guest.link(inode, root, 'g'),
    unlink: (guest) => guest.unlink(root, 'f'),
  };
  for (const [what, work] of Object.entries(works))
    for (const asks of ['before the next host serves the volume', 'after it began']) {
      const line = await Line.begin();
      const { guest } = line;
      const { attributes, handle } = await guest.create(root, 'f', 0o644, 0, 1, user);
      const { inode } = attributes;
      await guest.write(inode, handle, 0, Buffer.from('content'), false);
      await line.lose();
      const ask = async (): Promise<unknown> => work(guest, inode);
      if (asks === 'after it began') await line.next();
      const done = errnoOf(ask);
      if (asks !== 'after it began') await line.next();
      assert.equal(await done, what === 'removexattr' ? 'ENODATA' : 'none');
      assert.equal(await errnoOf(async () => guest.flush(inode, handle, '1')), 'none', `${what}, asked for ${asks}`);
      assert.equal((await contentOf(line.volume, inode)).toString(), 'content');
    }
});

test('nobody else is given its name before those who may have it have said so, or had time to', async () => {
  for (const says of [true, false]) {
    const line = await Line.begin();
    const { guest } = line;
    const { attributes } = await guest.create(root, 'f', 0o644, 0, 1, user);
    await line.lose();
    const grace = new LockGrace([], new LockGrace([{ peer: 'guest', ms: says ? 3_600_000 : 50 }]));
    const serving = (line.serving = new Serving(await open(line.store), grace));
    const makes = [serving.guest('other'), serving.own].flatMap((other) => [
      errnoOf(() => other.create(root, 'f', 0o644, 0, 0o301, user)),
      errnoOf(() => other.mkdir(root, 'f', 0o755, 0, user)),
    ]);
    // What is there is found meanwhile.
    assert.equal(await serving.own.lookup(root, 'absent'), undefined);
    if (says) {
      serving.welcome(guest, 'guest', line.store);
      assert.deepEqual(
        await Promise.all(makes),
        makes.map(() => 'EEXIST'),
      );
      assert.equal((await serving.own.lookup(root, 'f'))?.inode, attributes.inode);
    } else {
      const came = await Promise.all(makes);
      assert.deepEqual(came.toSorted(), ['EEXIST', 'EEXIST', 'EEXIST', 'none']);
    }
    grace[Symbol.dispose]();
  }
});
