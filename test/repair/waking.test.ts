import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import { type Address, mutableAddress } from '../../src/block/index.ts';
import type { AcceptorState } from '../../src/consensus/index.ts';
import { staticViews } from '../../src/membership/index.ts';
import { place, Roster } from '../../src/placement/index.ts';
import { noCounts } from '../../src/repair/counts.ts';
import { Pace } from '../../src/repair/pace.ts';
import type { Strain } from '../../src/repair/strain.ts';
import { RegisterKeeper } from '../../src/repair/register-keeper.ts';
import { defaultRepairSettings, maxBusyJobs, maxIdleJobs } from '../../src/repair/settings.ts';
import { Standpoint } from '../../src/repair/standpoint.ts';
import { eventually, TestCluster } from './test-cluster.ts';

const three = ['a', 'b', 'c'];
const signal = new AbortController().signal;

test('a register that turns out to be damaged while repair ends its work is replaced at once', async () => {
  await using cluster = await TestCluster.of(three, 3, { checkIntervalMs: 1e9, tombstoneMs: 500 });
  const write = async (address: Address, payload: Uint8Array | null): Promise<void> => {
    const { done } = await cluster.host('b').store.commit([{ update: [{ address, expect: 'any', payload }] }]);
    assert.ok(done);
  };
  // It is a that forgets the one.
  const [removed, damaged] = [registerOf('a', cluster), mutableAddress()];
  await write(damaged, Buffer.from('x'));
  await write(removed, Buffer.from('x'));
  await write(removed, null);
  // The third copy may come a little later.
  const { housekeeping: before } = cluster.host('a').store;
  const last = async (address: Address): Promise<unknown> => (await before.inspect(address))?.accepted?.record.value;
  await eventually(async () => (await last(damaged)) !== undefined && (await last(removed)) === null, 5000, 'copies are missing');
  // Nothing is in its memory any longer.
  await cluster.crash('a');
  const { disk, repair, store } = await cluster.open('a');
  await eventually(async () => repair.status().lastCheck !== undefined, 20_000, 'the first check did not end');
  disk.damage(damaged);
  const { housekeeping } = store;
  const forget = housekeeping.forget.bind(housekeeping);
  const forgetting = Promise.withResolvers<void>();
  housekeeping.forget = async (address, call) => {
    await store.fetch(damaged);
    assert.equal((await housekeeping.inspect(damaged))?.lost, true);
    forgetting.resolve();
    return forget(address, call);
  };
  await forgetting.promise;
  await eventually(async () => (await housekeeping.inspect(damaged))?.lost !== true, 20_000, 'nobody looked after it');
});

function registerOf(first: string, cluster: TestCluster): Address {
  for (;;) {
    const address = mutableAddress();
    if (place(address, cluster.views.list[0]!.roster, 3)[0] === first) return address;
  }
}

test('a removed block that cannot be forgotten yet is looked at again after a while, and not at once', async () => {
  const view = { number: 1, roster: Roster.of(three.map((peer) => ({ peer, zone: '', capacity: 1 }))), replicas: 3 };
  const address = mutableAddress();
  const replicas = place(address, view.roster, 3);
  const ballot = { round: 1, peer: 'a', incarnation: 1, serial: 1 };
  const record = { version: 2, epoch: 1, replicas, previous: [], unsettled: [], origin: ballot, value: null };
  let state: AcceptorState | undefined = { promised: ballot, accepted: { ballot, record, pointer: false }, lost: false };
  let others = true;
  const keeper = new RegisterKeeper(
    new Standpoint({
      self: replicas[0]!,
      housekeeping: { inspect: async () => state } as never,
      transport: { isConnected: () => others } as never,
      views: staticViews(view),
      pace: new Pace(() => false, 1e9),
      settings: { ...defaultRepairSettings, tombstoneMs: 30 },
    }),
  );
  await keeper.tend(address, noCounts(), signal);
  others = false;
  for (let look = 0; look < 2; look++) {
    assert.deepEqual(keeper.ripe(), []);
    await eventually(async () => keeper.ripeAt! <= performance.now(), 5000, 'it is never looked at');
    assert.deepEqual(keeper.ripe(), [address]);
    await keeper.tend(address, noCounts(), signal);
  }
  // Another host has had it forgotten.
  state = undefined;
  await keeper.tend(address, noCounts(), signal);
  assert.equal(keeper.ripeAt, undefined);
});

test('once clients are quiet repair uses all its lanes, whatever it began with', async () => {
  let isBusy = true;
  // A busy machine would strain it.
  const calm = { factor: 1, began: () => {}, ended: () => {} } as Strain;
  const pace = new Pace(() => isBusy, 1e9, calm);
  const running: (() => void)[] = [];
  const all = pace.each(Array.from({ length: 40 }), () => new Promise<void>((resolve) => running.push(resolve)));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(running.length, maxBusyJobs);
  isBusy = false;
  await new Promise((resolve) => setTimeout(resolve, 300));
  running.shift()!();
  await eventually(async () => running.length === maxIdleJobs, 5000, 'lanes stay empty');
  const rest = setInterval(() => running.splice(0).forEach((end) => end()), 5);
  await all;
  clearInterval(rest);
});

test('after a failure repair waits a while, also where something is overdue', async () => {
  await using cluster = await TestCluster.of(three);
  const { housekeeping } = cluster.host('a').store;
  const list = housekeeping.list.bind(housekeeping);
  let failures = 0;
  housekeeping.list = () => {
    failures++;
    return Promise.reject(new Error('the disk is gone'));
  };
  const startedAt = performance.now();
  // The move to it is what fails, and a check is due all the time.
  cluster.views.append(three);
  await eventually(async () => failures >= 3, 20_000, 'it is not tried again');
  assert.ok(failures <= 2 + (performance.now() - startedAt) / 500, 'it is tried without a pause');
  housekeeping.list = list;
  await cluster.settled([]);
});

test('a check that failed is made again soon', async () => {
  await using cluster = await TestCluster.of(three, 3, { checkIntervalMs: 1e9 });
  const { repair, store } = cluster.host('a');
  const { housekeeping } = store;
  const list = housekeeping.list.bind(housekeeping);
  housekeeping.list = () => {
    housekeeping.list = list;
    return Promise.reject(new Error('the disk is busy'));
  };
  await eventually(async () => repair.status().lastCheck !== undefined, 20_000, 'nothing is checked');
  assert.equal(housekeeping.list, list);
});

test('a check that fails again and again is tried less and less often, until one ends', async () => {
  await using cluster = await TestCluster.of(['a'], 1, { checkIntervalMs: 1e9 });
  const { repair, store } = cluster.host('a');
  const { housekeeping } = store;
  const list = housekeeping.list.bind(housekeeping);
  const tries: number[] = [];
  housekeeping.list = () => {
    tries.push(performance.now());
    return Promise.reject(new InfinitError('disk-failed', 'the disk fails'));
  };
  repair.check();
  await eventually(async () => tries.length >= 3, 60_000, 'it is not tried again');
  const pauses = [tries[1]! - tries[0]!, tries[2]! - tries[1]!];
  assert.ok(pauses[0]! > 900 && pauses[1]! > 1900, `it is tried again after ${pauses.join(' and ')} ms`);
  housekeeping.list = list;
  repair.check();
  await eventually(async () => repair.status().lastCheck !== undefined, 60_000, 'it does not end');
});
