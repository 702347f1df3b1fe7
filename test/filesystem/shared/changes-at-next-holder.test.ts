/** and extended attributes that must be there or must not, that were under way when the host that served the volume was lost: each is done once, and its program hears of nothing. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { silentLogger, systemClock } from '../../../src/base/index.ts';
import { Sealer } from '../../../src/block/index.ts';
import { VolumeContext } from '../../../src/filesystem/context.ts';
import { decodeContentBlock, encodeContentBlock } from '../../../src/filesystem/journal/content-journal-codec.ts';
import { decodeInode, encodeInode } from '../../../src/filesystem/inodes/inode-codec.ts';
import { type InodeCalls, maxInodeCalls, outcomeIn, withCall } from '../../../src/filesystem/inodes/inode-calls.ts';
import type { SharedFileSystem, Volume } from '../../../src/filesystem/index.ts';
import { VolumeState } from '../../../src/filesystem/journal/volume-state.ts';
import { contentOf, look, open, root, volumeId } from '../harness.ts';
import { Serving } from './serving.ts';
import { begin, moments, type Succession } from './succession.ts';

const [createOnly, replaceOnly] = [1, 2];
const text = (value: string): Buffer => Buffer.from(value);

interface Change {
  readonly name: string;
  readonly work: (guest: SharedFileSystem, inode: number, handle: number) => unknown;
  /** As one of it leaves the file. */
  readonly content?: string;
  readonly xattrs?: readonly string[];
}

/** What is there is a large file: what is appended goes into the journal of contents. */
const large = 'x'.repeat(40_000);
const changes: readonly (Change & { readonly before?: string })[] = [
  {
    name: 'an append to a small file',
    work: (guest, inode, handle) => guest.write(inode, handle, 0, text('line\n'), false, true),
    content: 'fline\n',
  },
  {
    name: 'an append to a large file',
    before: large,
    work: (guest, inode, handle) => guest.write(inode, handle, 0, text('line\n'), false, true),
    content: `${large}line\n`,
  },
  {
    name: 'an append that is more than the journal takes',
    before: large,
    work: (guest, inode, handle) => guest.write(inode, handle, 0, text('y'.repeat(100_000)), false, true),
    content: large + 'y'.repeat(100_000),
  },
  {
    name: 'setxattr with XATTR_CREATE',
    work: (guest, inode) => guest.setxattr(inode, 'user.new', text('v'), createOnly, false),
    xattrs: ['user.known', 'user.new'],
  },
  {
    name: 'setxattr with XATTR_REPLACE',
    work: (guest, inode) => guest.setxattr(inode, 'user.known', text('v'), replaceOnly, false),
    xattrs: ['user.known'],
  },
  { name: 'removexattr', work: (guest, inode) => guest.removexattr(inode, 'user.known'), xattrs: [] },
];

interface Scene {
  readonly all: Succession;
  readonly inode: number;
  readonly handle: number;
}

async function beginWith(before: string | undefined): Promise<Scene> {
  const all = await begin();
  const inode = (await look(all.volume, root, 'f'))!;
  if (before !== undefined) {
    await all.volume.write(inode, 0, 0, text(before), false);
    await all.volume.syncfs();
  }
  await all.guest.setxattr(inode, 'user.known', text('k'), 0, false);
  return { all, inode, handle: await all.guest.open(inode, 2) };
}

suite('a change of a file that is under way when the host that serves the volume dies is done once', () => {
  for (const { name, before, work, content, xattrs } of changes)
    for (const moment of moments)
      for (const successor of ['another', 'its own host', 'the same, whose daemon was killed'])
        test(`${name}, ${moment}; ${successor} is the next`, async () => {
          const { all, inode, handle } = await beginWith(before);
          const next: Record<string, () => Promise<void>> = {
            'its own host': () => all.takeOver(),
            'the same, whose daemon was killed': () => all.next(all.memory),
          };
          await all.through(moment, () => work(all.guest, inode, handle), next[successor]);
          await all.guest.syncfs();
          const judge = async (volume: Volume): Promise<void> => {
            if (content !== undefined) assert.equal((await contentOf(volume, inode)).toString(), content);
            if (xattrs !== undefined) assert.deepEqual([...(await volume.listxattr(inode))].sort(), xattrs);
          };
          await judge(all.volume);
          await judge(await open(all.store));
        });
});

test('what others append meanwhile stays, before and behind', async () => {
  for (const moment of moments) {
    const { all, inode, handle } = await beginWith(large);
    const theirs = async (between: Volume): Promise<void> => {
      const other = new Serving(between).guest('other');
      for (const line of ['one\n', 'two\n']) await other.write(inode, await other.open(inode, 1), 0, text(line), false, true);
    };
    await all.through(moment, () => all.guest.write(inode, handle, 0, text('line\n'), false, true), undefined, theirs);
    const content = moment === 'before it is durable' ? 'one\ntwo\nline\n' : 'line\none\ntwo\n';
    assert.equal((await contentOf(all.volume, inode)).subarray(large.length).toString(), content, moment);
  }
});

test('an append is known to the host after the next as well, and another of the same host to each of them', async () => {
  const { all, inode, handle } = await beginWith(large);
  let content = '';
  for (let turn = 0; turn < 6; turn++) {
    const line = `line ${turn}\n`;
    const further = async (between: Volume): Promise<void> => {
      // The record is written, and the journal of contents is empty.
      await between.setattr(inode, { mode: 0o600 + turn });
      await between.close();
    };
    await all.through(moments[turn % 3]!, () => all.guest.write(inode, handle, 0, text(line), false, true), undefined, further);
    content += line;
    assert.equal((await contentOf(all.volume, inode)).subarray(large.length).toString(), content);
  }
});

test('where a version wrote to the volume that knows nothing of this, it is unknown whether an append was made', async () => {
  for (const knows of [true, false]) {
    const { all, inode, handle } = await beginWith(large);
    const earlier = async (between: Volume): Promise<void> => {
      await between.close();
      const state = new VolumeState(
        new VolumeContext({ store: all.store, sealer: new Sealer(), volumeId, session: 1000, clock: systemClock, logger: silentLogger }),
      );
      const record = (await state.read())!;
      assert.equal(record.remembers, true);
      await all.store.commit([{ update: [state.update({ ...record, remembers: knows })] }]);
    };
    const append = all.through('before it is durable', () => all.guest.write(inode, handle, 0, text('line'), false, true), undefined, earlier);
    if (knows) await append;
    else await assert.rejects(append, { code: 'unknown-outcome' });
  }
});

test('an inode names the last call of each of some hosts, and of the others it is unknown', () => {
  const call = (host: number, number = 1): { host: string; asker: string; number: number } => ({
    host: `host ${host}`,
    asker: `asker ${host}`,
    number,
  });
  let calls: InodeCalls | undefined;
  assert.equal(outcomeIn(calls, call(1), 5, 5), 'not done');
  assert.equal(outcomeIn(calls, call(1), 4, 5), undefined, 'in another memory');
  for (let host = 0; host < maxInodeCalls; host++) calls = withCall(calls, call(host), 5);
  calls = withCall(calls, call(3, 2), 5);
  assert.equal(outcomeIn(calls, call(3, 2), 5, 5), 'done');
  assert.equal(outcomeIn(calls, call(0), 4, 5), 'done', 'in whatever memory');
  assert.equal(outcomeIn(calls, call(100), 5, 5), 'not done');
  calls = withCall(calls, call(100), 5);
  assert.equal(outcomeIn(calls, call(100), 5, 5), 'done');
  assert.equal(outcomeIn(calls, call(0), 5, 5), undefined, 'it gave way');
  assert.equal(outcomeIn(calls, call(0), 6, 6), 'not done', 'in the next memory');
  assert.equal(outcomeIn(calls, { asker: 'x'.repeat(37), number: 1 }, 6, 6), undefined, 'too long a name');
  for (let host = 200; host < 200 + maxInodeCalls; host++) calls = withCall(calls, call(host), 6);
  for (const memory of [5, 6, 7]) assert.equal(outcomeIn(calls, call(0), memory, memory), undefined, 'some of two memories gave way');
});

test('records and blocks of the journal have the calls where earlier versions do not look', () => {
  const calls = withCall(withCall(undefined, { host: 'one', asker: 'a', number: 2 ** 53 - 1 }, 1), { host: 'x'.repeat(40), asker: '', number: 1 }, 1);
  const time = { seconds: 1, nanoseconds: 2 };
  const attributes = { mode: 0o100644, uid: 1, gid: 2, size: 3, accessed: time, modified: time, changed: time };
  const further = { links: 1, device: 0, epoch: 0, allocated: 0, parent: 1, target: undefined, inline: text('abc'), extents: undefined };
  const record = { ...attributes, ...further, truncating: false, journaled: { session: 1, count: 2 }, previous: undefined };
  const xattrs = new Map([['user.a', Uint8Array.of(1)]]);
  const without = Buffer.from(encodeInode({ ...record, xattrs, calls: undefined }));
  const encoded = Buffer.from(encodeInode({ ...record, xattrs, calls }));
  assert.deepEqual(decodeInode(encoded, 'it').calls, calls);
  assert.equal(decodeInode(without, 'it').calls, undefined);
  assert.deepEqual(encoded.subarray(2, without.length), without.subarray(2));
  const pieces = [{ offset: 5, length: 3, slices: [text('abc')] }];
  const block = (both: InodeCalls | undefined): Buffer => {
    const entries = [1, 2].map((inode) => ({ ...attributes, inode, pieces, calls: inode === 2 ? both : undefined }));
    return Buffer.from(encodeContentBlock({ stamp: record.journaled, position: 7, tail: 6, entries }));
  };
  assert.deepEqual(
    decodeContentBlock(block(calls)).entries.map((entry) => entry.calls),
    [undefined, calls],
  );
  assert.deepEqual(block(calls).subarray(0, block(undefined).length), block(undefined));
});

test('an append that the next host makes is known to the one after it', async () => {
  for (const before of ['x', large]) {
    const { all, inode, handle } = await beginWith(before);
    const again = async (): Promise<void> => {
      await all.next();
      const { way } = all;
      way.dies = 'when it is durable';
      void way.dead.then(async () => {
        all.guest.setBacking(undefined);
        await all.next();
      });
    };
    await all.through('before it is durable', () => all.guest.write(inode, handle, 0, text('line\n'), false, true), again);
    assert.equal((await contentOf(all.volume, inode)).toString(), `${before}line\n`);
  }
});
