import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type GrantKey, Grants, type GrantsOptions, grantTermMs, ownKernel } from '../../../src/filesystem/index.ts';
import { VirtualTime } from './virtual-time.ts';

/** Grants whose recalls are answered by hand. */
class Desk {
  readonly time = new VirtualTime();
  readonly recalls: { readonly peer: string; readonly keys: readonly GrantKey[]; readonly answer: (heard: boolean) => void }[] = [];
  readonly givenUp: { readonly inode: number; readonly lapsed: boolean }[] = [];
  readonly grants: Grants;

  constructor(options: Partial<GrantsOptions> = {}) {
    this.grants = new Grants({
      now: () => this.time.clock.monotonicMs(),
      sleep: (ms) => this.time.sleep(ms),
      leaseMs: () => Infinity,
      recall: (peer, keys) =>
        new Promise((resolve, reject) => {
          this.recalls.push({ peer, keys: [...keys], answer: (heard) => (heard ? resolve() : reject(new Error('not heard'))) });
        }),
      onGivenUp: (_peer, inode, lapsed) => this.givenUp.push({ inode, lapsed }),
      earlierUntilMs: 0,
      ...options,
    });
  }

  /** Whether the promise is settled once all that is due is done. */
  async isOver(wait: Promise<void> | undefined): Promise<boolean> {
    let over = wait === undefined;
    void wait?.then(() => (over = true));
    await this.time.pass(0);
    return over;
  }
}

test('a change of what nobody has in memory waits for nothing', () => {
  const { grants } = new Desk();
  grants.give('a', 5);
  assert.equal(grants.inode(6), undefined);
  assert.equal(grants.names(5, undefined), undefined, 'the names of a directory are not its attributes');
});

test('a change waits until each guest that has it in memory has forgotten it', async () => {
  const desk = new Desk();
  for (const peer of ['a', 'b']) {
    desk.grants.give(peer, 5);
    desk.grants.term(peer);
  }
  const wait = desk.grants.inode(5);
  assert.equal(await desk.isOver(wait), false);
  desk.recalls[0]!.answer(true);
  assert.equal(await desk.isOver(wait), false);
  desk.recalls[1]!.answer(true);
  assert.equal(await desk.isOver(wait), true);
  assert.equal(desk.grants.inode(5), undefined);
  assert.deepEqual(desk.givenUp, [
    { inode: 5, lapsed: false },
    { inode: 5, lapsed: false },
  ]);
});

test('for a guest that does not answer a change waits until its time is over, however often the guest asks for other things', async () => {
  for (const refuses of [false, true]) {
    const desk = new Desk();
    desk.grants.give('a', 5);
    desk.grants.term('a');
    const wait = desk.grants.inode(5);
    await desk.isOver(wait);
    if (refuses) desk.recalls[0]!.answer(false);
    for (let ms = 0; ms < grantTermMs; ms += 100) {
      assert.equal(await desk.isOver(wait), false);
      assert.equal(desk.grants.term('a').ms, 0, 'nothing is renewed meanwhile');
      await desk.time.pass(100);
    }
    await desk.time.pass(100);
    assert.equal(await desk.isOver(wait), true);
    assert.deepEqual(desk.givenUp, [{ inode: 5, lapsed: true }]);
  }
});

test('what a guest whose time was over had in memory counts as forgotten, and what it is told then bears another id', async () => {
  const desk = new Desk();
  for (const key of [5, 6]) desk.grants.give('a', key);
  const before = desk.grants.term('a');
  await desk.time.pass(2 * grantTermMs);
  assert.equal(await desk.isOver(desk.grants.inode(5)), true);
  assert.equal(desk.grants.holds('a', 6), false);
  assert.notEqual(desk.grants.term('a').id, before.id);
});

test('what is asked back is not granted meanwhile, and to nobody for a moment after', async () => {
  const desk = new Desk();
  desk.grants.give('a', 5);
  desk.grants.term('a');
  const wait = desk.grants.inode(5);
  await desk.isOver(wait);
  for (const peer of ['a', 'b']) {
    desk.grants.give(peer, 5);
    assert.equal(desk.grants.holds(peer, 5), false);
  }
  desk.recalls[0]!.answer(true);
  assert.equal(await desk.isOver(wait), true);
  desk.grants.give('b', 5);
  assert.equal(desk.grants.holds('b', 5), false);
  await desk.time.pass(200);
  desk.grants.give('b', 5);
  assert.equal(desk.grants.holds('b', 5), true);
});

test('who changes a name knows of it, but only under the id that it was named with', async () => {
  const desk = new Desk();
  desk.grants.give('a', -5);
  desk.grants.term('a');
  const asker = desk.grants.askerOf('a');
  assert.equal(desk.grants.names(5, asker), undefined);
  desk.grants.giveBackAll('a');
  desk.grants.give('a', -5);
  desk.grants.term('a');
  assert.notEqual(desk.grants.names(5, asker), undefined, 'a change whose outcome the guest does not know any more');
});

test('nothing is granted beyond the lease of the volume', () => {
  let leaseMs = 300;
  const { grants } = new Desk({ leaseMs: () => leaseMs });
  grants.give('a', 5);
  assert.equal(grants.term('a').ms, 300);
  leaseMs = -1;
  assert.equal(grants.term('a').ms, 0);
});

test('what an earlier opening of the volume on this host granted is waited for before anything changes', async () => {
  const desk = new Desk({ earlierUntilMs: 1800 });
  const wait = desk.grants.inode(5);
  await desk.time.pass(700);
  assert.equal(await desk.isOver(wait), false);
  await desk.time.pass(200);
  assert.equal(await desk.isOver(wait), true);
  assert.equal(desk.grants.inode(5), undefined);
});

test('the volume is let go of when no guest has anything in memory any more', async () => {
  const desk = new Desk();
  for (const key of [5, -6]) desk.grants.give('a', key);
  desk.grants.term('a');
  const closed = desk.grants.close();
  await desk.isOver(closed);
  assert.deepEqual(desk.recalls[0]!.keys, [5, -6], 'in one message');
  desk.recalls[0]!.answer(true);
  assert.equal(await desk.isOver(closed), true);
  desk.grants.give('b', 5);
  assert.equal(desk.grants.holds('b', 5), false);
});

test('the kernel of the host that serves the volume is asked like a guest, but no program has anything open by what it is told', async () => {
  const desk = new Desk();
  desk.grants.give(ownKernel, 5);
  assert.equal(desk.grants.term(ownKernel).ms, grantTermMs);
  const wait = desk.grants.inode(5);
  assert.equal(await desk.isOver(wait), false);
  desk.recalls[0]!.answer(true);
  assert.equal(await desk.isOver(wait), true);
  assert.deepEqual(desk.givenUp, []);
});

test('when its time is over nobody is asked, and what it had may be lent at once', async () => {
  const desk = new Desk();
  desk.grants.give(ownKernel, 5);
  desk.grants.term(ownKernel);
  await desk.time.pass(grantTermMs * 1.1);
  assert.equal(desk.grants.inode(5), undefined);
  assert.deepEqual(desk.recalls, []);
  assert.ok(desk.grants.lend('a', 5) !== undefined);
});
