import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Clock, silentLogger } from '../../src/base/index.ts';
import { mutableAddress, namedAddress } from '../../src/block/index.ts';
import type { Tenure } from '../../src/node/sharing/tenure.ts';
import { type LeaseState, livingHolder, VolumeLease } from '../../src/node/sharing/volume-lease.ts';
import type { BlockStore, Update } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';

const volumeId = '00112233445566778899aabbccddeeff';
const never = new AbortController().signal;

/** Hosts that want the lease of one volume, on one store and one clock. */
class Scene implements Clock {
  readonly store = new MemoryBlockStore();
  now = 1000;
  /** For so long the machine was suspended: the wall clock went on. */
  suspendedMs = 0;
  monotonicMs(): number {
    return this.now;
  }
  wallMs(): number {
    return this.now + this.suspendedMs;
  }

  lease(self: string, store: BlockStore = this.store, onChange: (state: LeaseState) => void = () => {}): VolumeLease {
    return new VolumeLease({ store, volumeId, self, clock: this, logger: silentLogger, isConnected: () => false, onChange });
  }
}

function update(): Update {
  return { address: mutableAddress(), expect: 'absent', payload: new Uint8Array(1) };
}

/** Which of the states told are a holder's, by tenure. */
function tenures(states: readonly LeaseState[]): Tenure[] {
  return states.flatMap((state) => (state.role === 'holder' ? [state.tenure] : []));
}

test('a write that becomes durable after another host has the volume is not called done', async () => {
  const scene = new Scene();
  const { store } = scene;
  await using first = scene.lease('first');
  await using second = scene.lease('second');
  await first.start();
  await second.start();
  const gate = Promise.withResolvers<void>();
  const slow: BlockStore = {
    get: (address) => store.get(address),
    fetch: (address) => store.fetch(address),
    commit: async (stages) => {
      await gate.promise;
      return store.commit(stages);
    },
  };
  const { tenure } = first;
  assert.equal((await first.guard(store, tenure, never).commit([{ update: [update()] }])).done, true);
  const write = first.guard(slow, tenure, never).commit([{ update: [update()] }]);
  // The first host freezes; the second sees its lease run out and takes the volume.
  scene.now += 20_000;
  await second.beat();
  assert.equal(second.held, true);
  gate.resolve();
  await assert.rejects(write, { code: 'unknown-outcome' });
  await assert.rejects(first.guard(store, tenure, never).commit([{ update: [update()] }]), { code: 'unavailable' });
});

test('a host that had a lease before and after another one hears that it is a new tenure, and what it had open is not used again', async () => {
  const scene = new Scene();
  const states: LeaseState[] = [];
  await using first = scene.lease('first', scene.store, (state) => states.push(state));
  await first.start();
  // Frozen: the first host does not look while the second has the volume and gives it back.
  scene.now += 20_000;
  {
    await using second = scene.lease('second');
    await second.beat();
    scene.now += 5000;
    await second.beat();
    assert.equal(second.held, true);
  }
  await first.beat();
  assert.equal(first.held, true);
  const [before, after] = tenures(states);
  assert.ok(after !== undefined && after !== before, 'a new tenure is a change');
  assert.ok(before!.leftMs(scene) <= 0);
  assert.ok(after.leftMs(scene) > 0);
  const { store } = scene;
  await assert.rejects(first.guard(store, before!, never).commit([{ update: [update()] }]), { code: 'unavailable' });
  assert.equal((await first.guard(store, after, never).commit([{ update: [update()] }])).done, true);
});

test('a guest hears that the holder is back after a crash, and nothing while it goes on as it was', async () => {
  const scene = new Scene();
  const states: LeaseState[] = [];
  const { store } = scene;
  let dead = false;
  const network: BlockStore = {
    get: (address) => store.get(address),
    fetch: async (address) => store.fetch(address),
    commit: (stages) => (dead ? Promise.reject(new Error('killed')) : store.commit(stages)),
  };
  await using killed = scene.lease('holder', network);
  await using guest = scene.lease('guest', scene.store, (state) => states.push(state));
  await killed.start();
  await guest.start();
  await killed.beat();
  await guest.beat();
  assert.equal(states.length, 1);
  dead = true;
  // Its daemon is killed, and another has the lease well within its term.
  await using back = scene.lease('holder');
  await back.start();
  await guest.beat();
  assert.equal(states.length, 2, 'it knows nothing of what the guest has locked and open');
  await back.beat();
  await guest.beat();
  back.openedAnew();
  await back.beat();
  await back.beat();
  await guest.beat();
  assert.deepEqual(
    states.map((state) => (state.role === 'guest' ? state.holder : undefined)),
    ['holder', 'holder', 'holder'],
  );
  // A lapse that nobody used.
  scene.now += 2000;
  await back.beat();
  await guest.beat();
  assert.equal(states.length, 3);
});

test('records of an earlier version are of one tenure', async () => {
  const scene = new Scene();
  const states: LeaseState[] = [];
  await using guest = scene.lease('guest', scene.store, (state) => states.push(state));
  for (const count of [1, 2]) {
    const payload = Buffer.from(JSON.stringify({ holder: 'older', count, released: false, termMs: 4000 }));
    await scene.store.commit([{ update: [{ address: namedAddress(volumeId, 'lease'), expect: 'any', payload }] }]);
    await guest.beat();
  }
  assert.deepEqual(states, [{ role: 'guest', holder: 'older', opening: undefined }]);
});

test('a lease that lapsed and that nobody took resumes, though a renewal came through late', async () => {
  const scene = new Scene();
  const { store } = scene;
  const states: LeaseState[] = [];
  let late: (() => Promise<unknown>) | undefined;
  let cut = false;
  const network: BlockStore = {
    get: (address) => store.get(address),
    fetch: async (address) => store.fetch(address),
    commit: async (stages) => {
      if (!cut) return store.commit(stages);
      late = () => store.commit(stages);
      return { done: false, stage: 0, outcomes: [{ status: 'unknown', code: 'unknown-outcome', message: 'cut off' }] };
    },
  };
  await using lease = scene.lease('first', network, (state) => states.push(state));
  await lease.start();
  cut = true;
  scene.now += 20_000;
  await lease.beat();
  assert.equal(lease.held, false);
  await late!();
  cut = false;
  await lease.beat();
  assert.equal(lease.held, true);
  const [before, after] = tenures(states);
  assert.equal(after, before);
});

test('a commit of several stages goes no further without the lease, and goes on where it comes back', async () => {
  const scene = new Scene();
  await using lease = scene.lease('first');
  await lease.start();
  let asked: (() => boolean | Promise<boolean>) | undefined;
  const network: BlockStore = {
    get: (address) => scene.store.get(address),
    fetch: (address) => scene.store.fetch(address),
    commit: (stages, options) => {
      asked = options?.proceed;
      return scene.store.commit(stages);
    },
  };
  const over = new AbortController();
  await lease.guard(network, lease.tenure, over.signal).commit([{ update: [update()] }]);
  assert.equal(asked!(), true);
  scene.now += 5000;
  const waiting = asked!();
  assert.ok(waiting instanceof Promise, 'nothing is begun while the lease is not held');
  await lease.beat();
  assert.equal(await waiting, true);
  scene.now += 5000;
  const closing = asked!();
  over.abort();
  assert.equal(await closing, false, 'what was opened is closed');
  await lease.beat();
  assert.equal(await asked!(), false);
});

test('a write that comes while the lease lapses begins when it is back, and does not where another host has it', async () => {
  const scene = new Scene();
  const { store } = scene;
  await using first = scene.lease('first');
  await first.start();
  const guarded = first.guard(store, first.tenure, never);
  scene.now += 5000;
  const [early, lost] = [update(), update()];
  const write = guarded.commit([{ update: [early] }]);
  await new Promise(setImmediate);
  assert.equal(await store.fetch(early.address), undefined, 'not under a lease that is over');
  await first.beat();
  assert.equal((await write).done, true);
  scene.now += 20_000;
  const late = guarded.commit([{ update: [lost] }]);
  await using second = scene.lease('second');
  await second.beat();
  scene.now += 5000;
  await second.beat();
  assert.equal(second.held, true);
  await assert.rejects(late, { code: 'unavailable' });
  assert.equal(await store.fetch(lost.address), undefined);
});

test('a write that comes in a long lapse waits for as long as a program may, and one of less patience no longer', async () => {
  const scene = new Scene();
  await using lease = scene.lease('first');
  await lease.start();
  const guarded = lease.guard(scene.store, lease.tenure, never);
  scene.now += 5000;
  const write = guarded.commit([{ update: [update()] }]);
  const hasty = guarded.commit([{ update: [update()] }], { deadlineMs: 10_000 });
  scene.now += 45_000;
  await assert.rejects(hasty, { code: 'unavailable' });
  await lease.beat();
  assert.equal((await write).done, true);
});

test('a holder whose machine was suspended does not use the volume before it has renewed its lease', async () => {
  const scene = new Scene();
  const states: LeaseState[] = [];
  await using first = scene.lease('first', scene.store, (state) => states.push(state));
  await first.start();
  const [tenure] = tenures(states);
  assert.ok(first.held && tenure!.leftMs(scene) > 0);
  scene.suspendedMs = 60_000;
  assert.equal(first.held, false);
  assert.ok(tenure!.leftMs(scene) <= 0, 'its worker knows, too');
  // Nobody took it meanwhile.
  await first.beat();
  assert.ok(first.held && first.tenure === tenure && tenure.leftMs(scene) > 0);
});

test('a holder whose machine was suspended while another took the volume writes nothing more', async () => {
  const scene = new Scene();
  const { store } = scene;
  // The machine that stays awake has a clock of its own.
  const awake = new Scene();
  await using first = scene.lease('first');
  await using second = awake.lease('second', store);
  await first.start();
  await second.start();
  const { tenure } = first;
  awake.now += 20_000;
  await second.beat();
  assert.equal(second.held, true);
  scene.suspendedMs = 20_000;
  assert.equal(first.held, false);
  await first.beat();
  await assert.rejects(first.guard(store, tenure, never).commit([{ update: [update()] }]), { code: 'unavailable' });
});

test("another's lease is not taken for over because this host's wall clock was set forward", async () => {
  const scene = new Scene();
  const other = new Scene();
  await using first = scene.lease('first');
  await using second = other.lease('second', scene.store);
  await first.start();
  await second.start();
  other.suspendedMs = 3_600_000;
  await second.beat();
  assert.equal(second.held, false);
});

test('whoever wants to know whether the holder of a lease lives sees it renewed, run out or given back', async () => {
  const scene = new Scene();
  const living = (): Promise<string | undefined> => livingHolder(scene.store, volumeId, scene);
  assert.equal(await living(), undefined, 'nobody ever had it');
  {
    await using first = scene.lease('first');
    await first.start();
    const seen = living();
    await first.beat();
    assert.equal(await seen, 'first');
    // Frozen: the second renewal never comes.
    const looking = livingHolder(scene.store, volumeId, { monotonicMs: () => (scene.now += 5000), wallMs: () => 0 });
    assert.equal(await looking, undefined);
    await first.beat();
  }
  assert.equal(await living(), undefined, 'given back');
});

test('a lease that was given back is not taken again by what still waits for it', async () => {
  const scene = new Scene();
  await using other = scene.lease('other');
  await other.start();
  const lease = scene.lease('ended');
  await lease.start();
  await lease[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await lease.beat();
  assert.equal(lease.held, false);
  assert.equal(await livingHolder(scene.store, volumeId, scene), undefined);
});

test('the next holder knows which hosts the one before had given up, and not those that have heard of it', async () => {
  const scene = new Scene();
  await using first = scene.lease('first');
  await using second = scene.lease('second');
  await first.start();
  await second.start();
  for (const peer of ['third', 'second', 'fourth']) await first.dismiss(peer);
  first.greeted('fourth');
  await first.beat();
  await second.beat();
  scene.now += 10_000;
  await second.beat();
  assert.ok(second.held);
  // It is one itself until its programs' locks are let go, also should it die before.
  assert.deepEqual([...second.dismissed].toSorted(), ['second', 'third']);
});
