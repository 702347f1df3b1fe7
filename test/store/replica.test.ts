import assert from 'node:assert/strict';
import { test } from 'node:test';

import { codeOf, InfinitError, systemClock } from '../../src/base/index.ts';
import { type Address, mutableAddress } from '../../src/block/index.ts';
import type { Reply, Request } from '../../src/consensus/index.ts';
import { type DiskOperation, MemoryDisk } from '../../src/disk/index.ts';
import { Replica } from '../../src/store/replica.ts';

/** A disk that is so slow with what `slow` names, and has no room for values. */
class StuckDisk extends MemoryDisk {
  readonly #stuck = Promise.withResolvers<void>();

  override async write(operations: readonly DiskOperation[]): Promise<void> {
    if (operations.some(({ type }) => type === 'put')) throw new InfinitError('disk-full', 'a test said so');
    await this.#stuck.promise;
    await super.write(operations);
  }

  goOn(): void {
    this.#stuck.resolve();
  }
}

const head = (block: Address) => ({ from: 'b', block, tag: 1, attempt: 1 });
const ballot = (round: number) => ({ round, peer: 'b', incarnation: 1, serial: round });

function open(disk: MemoryDisk, isMember = (): boolean => true): Promise<Replica> {
  return Replica.open({
    self: 'a',
    incarnation: 1,
    disk,
    clock: systemClock,
    views: () => [],
    leaseTermMs: 1000,
    recall: () => {},
    onLost: () => {},
    onDurable: () => {},
    onBug: assert.ifError,
    hasSay: isMember,
    isMember,
  });
}

test('a promise that the disk refused is not told, though another write is under way', async () => {
  const disk = new StuckDisk();
  const replica = await open(disk);
  const forget: Request = { type: 'forget', ...head(mutableAddress()), ballot: ballot(1), floor: 5 };
  const prepare: Request = { type: 'prepare', ...head(mutableAddress()), ballot: ballot(9), view: 0, known: null };
  const forgotten = replica.serve(forget);
  const promised = replica.serve(prepare);
  // The refusal comes first, and then the floor gets through.
  const refused = assert.rejects(promised, { code: 'disk-full' });
  await new Promise((resolve) => setTimeout(resolve, 20));
  disk.goOn();
  await refused;
  assert.equal((await forgotten).type, 'forgotten');
});

/** A disk that takes the acceptor's floor when the test says so. */
class SlowFloorDisk extends MemoryDisk {
  readonly #slow = Promise.withResolvers<void>();

  override async write(operations: readonly DiskOperation[]): Promise<void> {
    if (operations.some((operation) => operation.type === 'put-meta' && operation.key === 'acceptor/floor')) await this.#slow.promise;
    await super.write(operations);
  }

  goOn(): void {
    this.#slow.resolve();
  }
}

test('a read of what is here does not wait for a floor that is raised for another block, and tells the one before; all else waits', async () => {
  const disk = new SlowFloorDisk();
  const replica = await open(disk);
  const [here, there, gone] = [mutableAddress(), mutableAddress(), mutableAddress()];
  const record = {
    version: 1,
    epoch: 1,
    replicas: ['a', 'b', 'c'],
    previous: [],
    unsettled: [],
    value: Buffer.from('x'),
    origin: { peer: 'b', incarnation: 1, serial: 1 },
  };
  await replica.serve({ type: 'learn', ...head(here), ballot: ballot(3), record });
  await replica.serve({ type: 'learn', ...head(there), ballot: ballot(3), record });

  const answers: string[] = [];
  const answer = ({ type, block, floor, accepted }: Reply): void => {
    const name = block === here ? 'here' : block === there ? 'there' : 'gone';
    answers.push(`${type} ${name}${accepted === null ? '' : ' with a record'}, floor ${floor}`);
  };
  const read = (block: Address): Request => ({ type: 'read', ...head(block), view: -1, known: null, lease: null });
  await replica.prepareAll([gone]);
  replica.serveAll([{ type: 'forget', ...head(gone), ballot: ballot(7), floor: 0 }], answer);
  replica.serveAll([read(here), read(gone), { type: 'prepare', ...head(there), ballot: ballot(9), view: 0, known: null }], answer);
  // What waits to be durable is read no sooner than it is.
  replica.serveAll([read(there)], answer);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(answers, ['value here with a record, floor 0']);
  disk.goOn();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(answers.slice(1).toSorted(), [
    'forgotten gone, floor 7',
    'promised there with a record, floor 7',
    'value gone, floor 7',
    'value there with a record, floor 7',
  ]);
});

/** A disk of which one read takes as long as the test says. */
class SlowDisk extends MemoryDisk {
  readonly goOn = Promise.withResolvers<void>();
  slow: Address | undefined;
  onMark: () => void = () => {};

  override async read(address: Address): Promise<Uint8Array | undefined> {
    const isSlow = address === this.slow;
    if (isSlow) this.slow = undefined;
    const bytes = await super.read(address);
    if (!isSlow) return bytes;
    await this.goOn.promise;
    return bytes;
  }

  override async write(operations: readonly DiskOperation[]): Promise<void> {
    if (operations.some(({ type }) => type === 'put-meta')) this.onMark();
    await super.write(operations);
  }
}

test('a register that a look of repair was reading while a host gave all up does not keep its old state', async () => {
  const disk = new SlowDisk();
  const address = mutableAddress();
  const prepare: Request = { type: 'prepare', ...head(address), ballot: ballot(1), view: 0, known: null };
  assert.equal((await (await open(disk)).serve(prepare)).type, 'promised');
  const replica = await open(disk);
  let reading: Promise<unknown> | undefined;
  // It begins after what was being read was waited for, and before anything is marked.
  disk.onMark = () => {
    if (reading !== undefined) return;
    disk.slow = address;
    reading = Promise.allSettled([replica.dropLost(address)]);
  };
  await replica.loseEverything();
  disk.goOn.resolve();
  await reading;
  // Lost, or given up as such since the floor covers it.
  assert.notEqual((await replica.peek(address))?.lost, false);
  assert.ok(replica.acceptor.floor >= 1);
});

test('a host that is in no view is told where blocks are, and takes no part in one', async () => {
  let isMember = true;
  const replica = await open(new MemoryDisk(), () => isMember);
  const record = { version: 8, epoch: 3, previous: [], unsettled: [], origin: { peer: 'b', incarnation: 1, serial: 1 }, value: Uint8Array.of(1) };
  const address = mutableAddress();
  const learn = (replicas: readonly string[], round: number, block = address): Request => ({
    type: 'learn',
    ...head(block),
    ballot: ballot(round),
    record: { ...record, replicas },
  });
  await replica.serve(learn(['a', 'b', 'c'], 1));
  await replica.loseEverything();
  isMember = false;
  for (const [round, block] of [
    [2, address],
    [3, mutableAddress()],
  ] as const) {
    // By somebody who does not know yet that it was counted out.
    await assert.rejects(replica.serve(learn(['a', 'b', 'c'], round, block)), { code: 'unavailable' });
    replica.serveAll([learn(['b', 'c', 'a'], round, block)], () => assert.fail('it is replica of nothing'));
    assert.equal((await replica.serve(learn(['b', 'c', 'd'], round + 2, block))).type, 'learned');
    assert.equal((await replica.peek(block))!.accepted!.pointer, true);
    await assert.rejects(replica.serve(learn(['a', 'b', 'c'], round + 4, block)), { code: 'unavailable' });
    assert.equal((await replica.peek(block))!.accepted!.pointer, true);
  }
});

/** A disk that refuses the first write of the acceptor's floor, after others were begun. */
class FloorRefusingDisk extends MemoryDisk {
  readonly goOn = Promise.withResolvers<void>();
  #refused = false;

  override async write(operations: readonly DiskOperation[]): Promise<void> {
    if (!this.#refused && operations.some(({ type }) => type === 'put-meta')) {
      this.#refused = true;
      await this.goOn.promise;
      throw new InfinitError('disk-full', 'a test said so');
    }
    await super.write(operations);
  }
}

for (const together of [false, true])
  test(`what a state promised stays refused though the floor that covers it was refused by the disk (${together ? 'in a group' : 'alone'})`, async () => {
    const disk = new FloorRefusingDisk();
    const [first, second] = [mutableAddress(), mutableAddress()];
    const replica = await open(disk);
    await replica.serve({ type: 'prepare', ...head(second), ballot: ballot(3), view: 0, known: null });
    // Known before, so that both are served at once, in this order.
    await replica.prepareAll([first, second]);
    const raising = replica.serve({ type: 'forget', ...head(first), ballot: ballot(1), floor: 5 });
    const refused = assert.rejects(raising, { code: 'disk-full' });
    const covered: Request = { type: 'forget', ...head(second), ballot: ballot(1), floor: 0 };
    if (together) replica.serveAll([covered], () => {});
    else replica.serve(covered).catch(() => {});
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    disk.goOn.resolve();
    await refused;
    // The host is restarted before it writes anything else.
    const restarted = await open(disk);
    const straggler = await restarted.serve({ type: 'prepare', ...head(second), ballot: ballot(2), view: 0, known: null });
    assert.equal(straggler.type, 'rejected');
  });

test('a request that this host cannot judge keeps no other from being served, and one that meets a bug is told of', async () => {
  const [strange, broken, plain, unloaded] = [mutableAddress(), mutableAddress(), mutableAddress(), mutableAddress()];
  const met = Promise.withResolvers<unknown>();
  const replica = await Replica.open({
    self: 'a',
    incarnation: 1,
    disk: new MemoryDisk(),
    clock: systemClock,
    views: (block) => {
      if (block === strange) throw new InfinitError('unavailable', 'this host does not know the views yet');
      assert.notEqual(block, broken);
      assert.notEqual(block, unloaded);
      return [{ number: 0, replicas: ['a', 'b', 'c'] }];
    },
    leaseTermMs: 1000,
    hasSay: () => true,
    isMember: () => true,
    recall: () => {},
    onLost: () => {},
    onDurable: () => {},
    onBug: met.resolve,
  });
  await replica.prepareAll([strange, broken, plain]);
  const record = { version: 1, epoch: 1, previous: [], unsettled: [], origin: { peer: 'b', incarnation: 1, serial: 1 }, value: Uint8Array.of(1) };
  const found = (block: Address): Request => ({
    type: 'accept',
    ...head(block),
    ballot: ballot(3),
    record: { ...record, replicas: ['a', 'b', 'c'] },
    next: null,
    condition: null,
    founding: 0,
    leaseClock: 0,
    lease: null,
  });
  const answered = Promise.withResolvers<string>();
  assert.throws(() => replica.serveAll([strange, broken, plain].map(found), (reply) => answered.resolve(reply.block)), { code: 'ERR_ASSERTION' });
  assert.equal(await answered.promise, plain);
  replica.serveAll([found(strange)], () => assert.fail('nothing can be said'));
  replica.serveAll([found(unloaded)], () => assert.fail('nothing can be said'));
  assert.equal(codeOf(await met.promise), 'bug', 'its register had to be loaded first');
});

test('a host that is in no view forgets a pointer when it is asked to, and nothing is promised, accepted or read there', async () => {
  const replica = await open(new MemoryDisk(), () => false);
  const address = mutableAddress();
  const record = {
    version: 1,
    epoch: 1,
    replicas: ['b', 'c', 'd'],
    previous: [],
    unsettled: ['a'],
    value: Buffer.from('x'),
    origin: { peer: 'b', incarnation: 1, serial: 1 },
  };
  assert.equal((await replica.serve({ type: 'learn', ...head(address), ballot: ballot(3), record })).type, 'learned');
  await assert.rejects(replica.serve({ type: 'read', ...head(address), view: -1, known: null, lease: null }), { code: 'unavailable' });
  await assert.rejects(replica.serve({ type: 'prepare', ...head(address), ballot: ballot(9), view: 0, known: null }), { code: 'unavailable' });
  assert.equal((await replica.serve({ type: 'forget', ...head(address), ballot: ballot(3), floor: 3 })).type, 'forgotten');
  assert.equal(await replica.peek(address), undefined);
});

/** A disk that refuses to delete, as long as that is said. */
class KeepingDisk extends MemoryDisk {
  keeps = false;

  override async write(operations: readonly DiskOperation[]): Promise<void> {
    if (this.keeps && operations.some(({ type }) => type === 'delete')) throw new InfinitError('disk-full', 'a test said so');
    await super.write(operations);
  }
}

test('a host that gives up what it held has not given up what its disk refused to delete', async () => {
  const disk = new KeepingDisk();
  const replica = await open(disk, () => false);
  const [moved, lost] = [mutableAddress(), mutableAddress()];
  const origin = { peer: 'b', incarnation: 1, serial: 1 };
  const record = { version: 1, epoch: 1, replicas: ['b', 'c'], previous: [], unsettled: ['a'], value: Buffer.from('x'), origin };
  await replica.serve({ type: 'learn', ...head(lost), ballot: ballot(3), record });
  await replica.loseEverything();
  await replica.serve({ type: 'learn', ...head(moved), ballot: ballot(9), record });
  disk.keeps = true;
  for (let tries = 0; tries < 2; tries++) {
    await assert.rejects(replica.dropPointer(moved), { code: 'disk-full' });
    await assert.rejects(replica.dropLost(lost), { code: 'disk-full' });
  }
  disk.keeps = false;
  assert.ok(await replica.dropPointer(moved));
  assert.ok(await replica.dropLost(lost));
  assert.deepEqual(await disk.list(undefined, 10), []);
});
