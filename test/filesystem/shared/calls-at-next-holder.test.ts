/** Calls that were under way when the host that served the volume was lost: each is done once, and its program hears of nothing. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { CallTable, maxDoneCalls } from '../../../src/filesystem/journal/call-table.ts';
import { decodeJournal, encodeJournal } from '../../../src/filesystem/journal/journal-codec.ts';
import type { SharedFileSystem, Volume } from '../../../src/filesystem/index.ts';
import { errnoOf, look, namesOf, open, put, root, user } from '../harness.ts';
import { Serving } from './serving.ts';
import { begin, type Moment, moments } from './succession.ts';

/** One call of each kind, and whether the volume is as one call leaves it. */
interface Kind {
  readonly name: string;
  readonly work: (guest: SharedFileSystem) => unknown;
  readonly names: readonly string[];
  readonly moments?: readonly Moment[];
}

const kinds: readonly Kind[] = [
  { name: 'mkdir', work: (guest) => guest.mkdir(root, 'new', 0o755, 0, user), names: ['d', 'f', 'g', 'new'] },
  { name: 'mknod', work: (guest) => guest.mknod(root, 'new', 0o010644, 0, 0, user), names: ['d', 'f', 'g', 'new'] },
  { name: 'symlink', work: (guest) => guest.symlink(root, 'new', 'f', user), names: ['d', 'f', 'g', 'new'] },
  { name: 'unlink', work: (guest) => guest.unlink(root, 'f'), names: ['d', 'g'] },
  { name: 'rmdir', work: (guest) => guest.rmdir(root, 'd'), names: ['f', 'g'] },
  { name: 'rename', work: (guest) => guest.rename(root, 'f', root, 'new', 0), names: ['d', 'g', 'new'] },
  { name: 'rename over another', work: (guest) => guest.rename(root, 'f', root, 'g', 0), names: ['d', 'g'] },
  { name: 'rename, not over another', work: (guest) => guest.rename(root, 'f', root, 'new', 1), names: ['d', 'g', 'new'] },
  { name: 'exchange', work: (guest) => guest.rename(root, 'f', root, 'd', 2), names: ['d', 'f', 'g'] },
  {
    name: 'link',
    work: async (guest) => guest.link((await guest.lookup(root, 'f'))!.inode, root, 'new'),
    names: ['d', 'f', 'g', 'new'],
  },
  { name: 'create', work: (guest) => guest.create(root, 'new', 0o644, 0, 0o201, user), names: ['d', 'f', 'g', 'new'] },
  {
    name: 'tmpfile',
    work: (guest) => guest.tmpfile(root, 0o600, 0, 2, user),
    names: ['d', 'f', 'g'],
    // Nothing of it has to be durable.
    moments: ['while it answers'],
  },
];

suite('a call that is under way when the host that serves the volume dies is done once', () => {
  for (const { name, work, names, moments: some = moments } of kinds)
    for (const moment of some)
      for (const successor of ['another', 'its own host', 'the same, whose daemon was killed'])
        test(`${name}, ${moment}; ${successor} is the next`, async () => {
          const all = await begin();
          const next: Record<string, () => Promise<void>> = {
            'its own host': () => all.takeOver(),
            'the same, whose daemon was killed': () => all.next(all.memory),
          };
          const exchanged = await look(all.volume, root, 'f');
          await all.through(moment, () => work(all.guest), next[successor]);
          await all.guest.syncfs();
          assert.deepEqual((await namesOf(all.volume, root)).sort(), names);
          if (name === 'exchange') assert.equal(await look(all.volume, root, 'd'), exchanged);
          if (name === 'link') assert.equal((await all.volume.getattr((await look(all.volume, root, 'new'))!)).links, 2);
          assert.deepEqual((await namesOf(await open(all.store), root)).sort(), names, 'and it is durable');
        });
});

test('what others did to the name meanwhile stays', async () => {
  for (const moment of ['when it is durable', 'while it answers'] as const) {
    const all = await begin();
    let theirs: number | undefined;
    const remake = async (between: Volume): Promise<void> => void (theirs = await put(between, root, 'f', 'theirs', true));
    await all.through(moment, () => all.guest.unlink(root, 'f'), undefined, remake);
    assert.equal(await look(all.volume, root, 'f'), theirs);
  }
});

test('a call is answered by the host after the next as well, after checkpoints, and is not remembered for ever', async () => {
  const all = await begin();
  for (let turn = 0; turn < 3; turn++) {
    const further = async (between: Volume): Promise<void> => {
      for (let count = 0; count < 300; count++) {
        await between.mkdir(root, `m${turn}-${count}`, 0o755, 0, user);
        await between.syncfs();
      }
      await between.close();
    };
    await all.through('when it is durable', () => all.guest.mkdir(root, `d${turn}`, 0o755, 0, user), undefined, further);
    for (let count = 0; count < 2; count++) {
      // Answers count as heard once they have left.
      await new Promise((resolve) => setImmediate(resolve));
      await all.guest.mkdir(root, 'x', 0o755, 0, user);
      await all.guest.rmdir(root, 'x');
    }
  }
  assert.ok(all.volume.calls.recordWith([]).calls.length <= 2, 'the guest has the answers');
});

test('of more calls than are remembered it is unknown whether they were done', async () => {
  const all = await begin();
  const crowd = async (between: Volume): Promise<void> => {
    const serving = new Serving(between);
    // Guests that never say that they have the answers.
    for (let count = 0; count <= maxDoneCalls; count++) {
      const one = serving.guest(`g${count}`);
      await one.mkdir(root, `m${count}`, 0o755, 0, user);
    }
  };
  await assert.rejects(
    all.through('when it is durable', () => all.guest.mkdir(root, 'new', 0o755, 0, user), undefined, crowd),
    {
      code: 'unknown-outcome',
    },
  );
  assert.equal(await errnoOf(() => all.guest.rmdir(root, 'new')), 'none');
});

test('a block of an earlier version says of no call that it was not done', () => {
  const block = { sequence: 3, nextInode: 20, usage: { allocated: 0, files: 1 }, names: [], inodes: [] };
  const done = { asker: 'a', number: 1, inode: 16 };
  const table = new CallTable();
  table.restore({ memory: 5, calls: [done] });
  const kept = decodeJournal(encodeJournal({ ...block, calls: table.recordWith([{ asker: 'b', number: 2 ** 53 - 1, inode: 0 }]) })).calls;
  assert.deepEqual(kept, { memory: 5, calls: [done, { asker: 'b', number: 2 ** 53 - 1, inode: 0 }] });
  assert.equal(table.outcomeOf({ asker: 'a', number: 2 }, 5), 'not done');
  assert.equal(table.outcomeOf({ asker: 'a', number: 2 }, 4), undefined);
  assert.deepEqual(table.outcomeOf(done, 4), done);
  table.restore(decodeJournal(encodeJournal(block)).calls);
  assert.equal(table.outcomeOf(done, 5), undefined);
});
