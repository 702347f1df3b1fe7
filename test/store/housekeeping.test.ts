import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { type Address, addressToBytes, immutableAddress, mutableAddress, namedAddress } from '../../src/block/index.ts';
import { type Disk, LogDisk, MemoryDisk } from '../../src/disk/index.ts';
import { MemoryNetwork } from '../../src/overlay/index.ts';
import { Store } from '../../src/store/index.ts';
import { kinds } from '../../src/store/kinds.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const sealed = (text: string) => ({ address: immutableAddress(bytes(text)), sealed: bytes(text) });

interface TestHost {
  readonly name: string;
  readonly disk: Disk;
  readonly store: Store;
}

/** Three hosts a, b, c; blocks belong to the hosts that `belongs` names. */
class Scene {
  readonly network = new MemoryNetwork();
  readonly hosts = new Map<string, TestHost>();
  belongs: readonly string[] = ['a', 'b', 'c'];
  /** Hosts of an older view that is in force as well. */
  belonged: readonly string[] | undefined;
  /** Hosts of which nobody confirms that they were not counted out. */
  readonly silent = new Set<string>();
  #incarnation = 0;

  async open(name: string, disk: Disk): Promise<TestHost> {
    const transport = this.network.open(name);
    const { silent } = this;
    const placement = {
      alone: false,
      get hasSay(): boolean {
        return !silent.has(name);
      },
      get replicas(): number {
        return 3;
      },
      rank: () => this.belongs,
      views: () => [...(this.belonged === undefined ? [] : [{ number: 0, replicas: this.belonged }]), { number: 1, replicas: this.belongs }],
    };
    const store = await Store.open({ self: name, incarnation: ++this.#incarnation, disk, logger: silentLogger, cluster: { transport, placement } });
    const host = { name, disk, store };
    this.hosts.set(name, host);
    return host;
  }

  /** The daemon dies and starts again on the same disk. */
  restart(name: string): Promise<TestHost> {
    this.network.crash(name);
    return this.open(name, this.hosts.get(name)!.disk);
  }
}

async function write(store: Store, address: Address, expect: number | 'absent', payload: string | null): Promise<number> {
  const result = await store.commit([{ update: [{ address, expect, payload: payload === null ? null : bytes(payload) }] }]);
  assert.ok(result.done, JSON.stringify(result));
  return result.versions[0]![0]!;
}

/** Once on disks in memory, once on the real one. */
function onDisks(title: string, run: (scene: Scene, open: (name: string) => Promise<TestHost>) => Promise<void>): void {
  test(`${title} (in memory)`, async () => {
    const scene = new Scene();
    await run(scene, (name) => scene.open(name, new MemoryDisk()));
  });
  test(`${title} (on a real disk)`, async () => {
    const scene = new Scene();
    const directory = await mkdtemp(path.join(tmpdir(), 'infinit-housekeeping-'));
    const disks: Disk[] = [];
    try {
      await run(scene, async (name) => {
        const disk = await LogDisk.open(path.join(directory, name), { segmentBytes: 4 * 1024 * 1024 });
        disks.push(disk);
        return scene.open(name, disk);
      });
    } finally {
      for (const disk of disks) await disk[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    }
  });
}

onDisks('a forgotten block leaves nothing but a floor, which a restart remembers', async (scene, open) => {
  for (const name of ['a', 'b', 'c']) await open(name);
  const { store } = scene.hosts.get('a')!;
  const address = mutableAddress();
  assert.equal(await write(store, address, 'absent', 'one'), 1);
  const removed = await write(store, address, 1, null);
  assert.equal((await store.housekeeping.forget(address)).status, 'committed');
  for (const { store: each } of scene.hosts.values()) assert.equal(await each.housekeeping.inspect(address), undefined);
  for (const name of ['a', 'b', 'c']) await scene.restart(name);
  const next = scene.hosts.get('b')!.store;
  assert.equal(await next.fetch(address), undefined);
  // Without the floor it would begin with version 1 again.
  assert.ok((await write(next, address, 'absent', 'two')) > removed);
});

onDisks('a tombstone with a replica that did not acknowledge it is not forgotten', async (scene, open) => {
  for (const name of ['a', 'b', 'c']) await open(name);
  const { store } = scene.hosts.get('a')!;
  const address = mutableAddress();
  await write(store, address, 'absent', 'one');
  scene.network.crash('c');
  await write(store, address, 1, null);
  assert.equal((await store.housekeeping.forget(address, { deadlineMs: 300 })).status, 'no-quorum');
  assert.notEqual(await store.housekeeping.inspect(address), undefined);
  await scene.open('c', scene.hosts.get('c')!.disk);
  assert.equal(await scene.hosts.get('c')!.store.fetch(address), undefined);
});

onDisks('a block follows a change of replicas and what is left behind is forgotten', async (scene, open) => {
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) await open(name);
  const { store } = scene.hosts.get('a')!;
  const address = namedAddress('volume', 'x');
  await write(store, address, 'absent', 'one');
  const { housekeeping } = scene.hosts.get('b')!.store;
  const found = await housekeeping.resolve(address);
  assert.equal(found.status, 'resolved');
  scene.belongs = ['d', 'e', 'f'];
  assert.equal((await housekeeping.change(address, found.outcome.accepted!.record.epoch, ['d', 'e', 'f'])).status, 'committed');
  assert.equal((await housekeeping.settle(address, [])).status, 'committed');
  for (const name of ['a', 'b', 'c']) assert.equal(await scene.hosts.get(name)!.store.housekeeping.inspect(address), undefined);
  for (const { store: each } of scene.hosts.values()) assert.equal(Buffer.from((await each.fetch(address))!.payload).toString(), 'one');
});

onDisks('a host that may have been counted out without knowing moves no block', async (scene, open) => {
  for (const name of ['a', 'b', 'c', 'd']) await open(name);
  const address = namedAddress('volume', 'x');
  await write(scene.hosts.get('a')!.store, address, 'absent', 'one');
  scene.silent.add('d');
  const { housekeeping } = scene.hosts.get('d')!.store;
  const found = await housekeeping.resolve(address);
  assert.equal(found.status, 'resolved');
  const { epoch } = found.outcome.accepted!.record;
  assert.equal((await housekeeping.change(address, epoch, ['a', 'b', 'd'])).status, 'no-quorum');
  assert.equal((await scene.hosts.get('a')!.store.housekeeping.inspect(address))!.accepted!.record.epoch, epoch);
  scene.silent.delete('d');
  assert.equal((await housekeeping.change(address, epoch, ['a', 'b', 'd'])).status, 'committed');
});

onDisks('a host that was counted out has no say, and is empty once it was told where its blocks are', async (scene, open) => {
  for (const name of ['a', 'b', 'c', 'd']) await open(name);
  const { store } = scene.hosts.get('a')!;
  const [kept, removed] = [mutableAddress(), mutableAddress()];
  await write(store, kept, 'absent', 'one');
  await write(store, removed, 'absent', 'one');
  scene.network.crash('c');
  const move = async (address: Address): Promise<void> => {
    assert.equal((await store.housekeeping.change(address, 1, ['a', 'b', 'd'])).status, 'committed');
    assert.equal((await store.housekeeping.settle(address, ['c'])).status, 'committed');
  };
  scene.belongs = ['a', 'b', 'd'];
  await move(kept);
  await move(removed);
  await write(store, removed, 1, null);
  assert.equal((await store.housekeeping.forget(removed)).status, 'committed');
  // Only the host that returns remembers the block that was removed.
  const { store: returned } = await scene.open('c', scene.hosts.get('c')!.disk);
  await returned.housekeeping.loseEverything();
  for (const address of [kept, removed]) assert.equal(await returned.housekeeping.inspect(address), undefined);
  // And what it promised then stays refused.
  const { store: again } = await scene.restart('c');
  scene.belongs = ['a', 'c', 'd'];
  assert.ok((await write(again, removed, 'absent', 'two')) > 2);
  assert.equal(Buffer.from((await again.fetch(kept))!.payload).toString(), 'one');
});

test('hosts are told of a record each for itself: one that is gone does not hide what the others answered', async () => {
  const scene = new Scene();
  for (const name of ['a', 'b', 'c', 'd']) await scene.open(name, new MemoryDisk());
  const { housekeeping } = scene.hosts.get('a')!.store;
  const address = mutableAddress();
  await write(scene.hosts.get('a')!.store, address, 'absent', 'one');
  const found = await housekeeping.resolve(address);
  assert.ok(found.status === 'resolved' && found.outcome.accepted !== null);
  const { accepted } = found.outcome;
  assert.deepEqual(await housekeeping.tell(address, accepted, ['a', 'b', 'c']), { have: 3, refuse: 0, silent: 0 });
  scene.network.crash('b');
  assert.deepEqual(await housekeeping.tell(address, accepted, ['b', 'a', 'c']), { have: 2, refuse: 0, silent: 1 });
});

test('a register that is written all the time is resolved at once by every host that has it', async () => {
  const scene = new Scene();
  for (const name of ['a', 'b', 'c']) await scene.open(name, new MemoryDisk());
  const address = mutableAddress();
  // Between a host's own answer and those of the others it accepts a newer record.
  scene.network.setDelay(() => 3);
  let writing = true;
  const writer = async ({ store }: TestHost): Promise<void> => {
    while (writing) await store.commit([{ update: [{ address, expect: 'any', payload: bytes('x') }] }]);
  };
  const running = writer(scene.hosts.get('a')!);
  try {
    for (const name of ['b', 'c', 'b', 'c', 'b', 'c', 'b', 'c', 'b', 'c'])
      assert.equal((await scene.hosts.get(name)!.store.housekeeping.resolve(address)).status, 'resolved');
  } finally {
    writing = false;
    await running;
  }
});

test('a host that was counted out gives up what it held without waiting for others that are away', async () => {
  const scene = new Scene();
  for (const name of ['a', 'b', 'c', 'd', 'e']) await scene.open(name, new MemoryDisk());
  const { store } = scene.hosts.get('a')!;
  const address = mutableAddress();
  await write(store, address, 'absent', 'one');
  scene.network.crash('c');
  assert.equal((await store.housekeeping.change(address, 1, ['a', 'd', 'e'])).status, 'committed');
  scene.belongs = ['a', 'd', 'e'];
  scene.network.crash('b');
  const { housekeeping } = (await scene.open('c', scene.hosts.get('c')!.disk)).store;
  const settle = housekeeping.settle.bind(housekeeping);
  // Settling waits for b.
  housekeeping.settle = (block, revoked, also, call) => settle(block, revoked, also, { ...call, deadlineMs: 2 ** 30 });
  await housekeeping.loseEverything();
  assert.equal(await housekeeping.inspect(address), undefined);
});

test('while its blocks cannot be asked for, a host that was counted out holds them as lost, over a restart too', async () => {
  const scene = new Scene();
  const disks = new Map(['a', 'b', 'c'].map((name) => [name, new MemoryDisk()]));
  for (const [name, disk] of disks) await scene.open(name, disk);
  const address = mutableAddress();
  await write(scene.hosts.get('a')!.store, address, 'absent', 'one');
  const stop = new AbortController();
  const losing = scene.hosts.get('c')!.store.housekeeping.loseEverything([], stop.signal);
  await new Promise((resolve) => setTimeout(resolve, 100));
  stop.abort();
  await assert.rejects(losing, { code: 'cancelled' });
  const { store } = await scene.restart('c');
  assert.equal((await store.housekeeping.inspect(address))!.lost, true);
  assert.equal(await write(scene.hosts.get('a')!.store, address, 1, 'two'), 2);
});

test('a damaged record is stored as lost, and told of', async () => {
  const scene = new Scene();
  const disks = new Map(['a', 'b', 'c'].map((name) => [name, new MemoryDisk()]));
  for (const [name, disk] of disks) await scene.open(name, disk);
  const address = mutableAddress();
  await write(scene.hosts.get('a')!.store, address, 'absent', 'one');
  disks.get('b')!.damage(address);
  const { store } = await scene.restart('b');
  const lost: Address[] = [];
  store.onLost = (block) => void lost.push(block);
  assert.equal((await store.housekeeping.inspect(address))!.lost, true);
  assert.deepEqual(lost, [address]);
  assert.deepEqual(disks.get('b')!.damagedAddresses(), []);
  assert.equal((await (await scene.restart('b')).store.housekeeping.inspect(address))!.lost, true);
});

test('copies of immutable blocks are counted, pushed, pulled and trimmed; a damaged one does not count', async () => {
  const scene = new Scene();
  const disks = new Map(['a', 'b', 'c', 'd'].map((name) => [name, new MemoryDisk()]));
  for (const [name, disk] of disks) await scene.open(name, disk);
  const block = sealed('data');
  const { store } = scene.hosts.get('a')!;
  await store.commit([{ put: [block] }]);
  const has = async (name: string): Promise<boolean> => (await store.housekeeping.has(name, [block.address]))[0]!;
  assert.deepEqual(await Promise.all(['a', 'b', 'c', 'd'].map(has)), [true, true, true, false]);
  assert.equal(await store.housekeeping.push(block.address, 'd'), 4);
  assert.equal(await has('d'), true);
  disks.get('b')!.damage(block.address);
  assert.equal(await has('b'), false);
  assert.equal(await scene.hosts.get('b')!.store.housekeeping.pull(block.address), 4);
  assert.equal(await has('b'), true);
  await scene.hosts.get('d')!.store.housekeeping.trim([block.address]);
  assert.equal(await has('d'), false);
});

test('a large copy is not sent, fetched or written again where it is by now', async () => {
  const scene = new Scene();
  const disks = new Map(['a', 'b', 'c', 'd'].map((name) => [name, new MemoryDisk()]));
  for (const [name, disk] of disks) await scene.open(name, disk);
  const block = sealed('x'.repeat(100_000));
  const { store } = scene.hosts.get('a')!;
  await store.commit([{ put: [block] }]);
  assert.equal(await store.housekeeping.push(block.address, 'd'), 100_000);
  assert.equal(await store.housekeeping.push(block.address, 'd'), 0);
  assert.equal(await scene.hosts.get('d')!.store.housekeeping.pull(block.address), 0);
  // Two hosts that ask at once both hear that it is missing.
  const disk = disks.get('d')!;
  let written = 0;
  const write = disk.write.bind(disk);
  disk.write = (operations) => (written++, write(operations));
  const another = scene.network.open('another');
  await another.request('d', kinds.copyBlock, [addressToBytes(block.address), block.sealed], { channel: 'bulk' });
  assert.equal(written, 0);
  disk.damage(block.address);
  assert.equal(await store.housekeeping.push(block.address, 'd'), 100_000);
  assert.equal(written, 1);
});

test('a host that takes a copy says how strained it is, and the sender hears it', async () => {
  const scene = new Scene();
  for (const name of ['a', 'b', 'c', 'd']) await scene.open(name, new MemoryDisk());
  const { store } = scene.hosts.get('a')!;
  const { housekeeping } = store;
  const heard: number[] = [];
  housekeeping.copyStrain = { own: () => 1, told: (factor) => void heard.push(factor) };
  scene.hosts.get('d')!.store.housekeeping.copyStrain = { own: () => 5, told: () => {} };
  const block = sealed('data');
  await store.commit([{ put: [block] }]);
  await housekeeping.push(block.address, 'd');
  assert.deepEqual(heard, [5]);
});

for (const [what, act] of [
  ['a read', async (store: Store, address: Address) => assert.equal(await store.fetch(address, { deadlineMs: 30_000 }), undefined)],
  ['a write', async (store: Store, address: Address) => assert.equal(await write(store, address, 'absent', 'x'), 1)],
] as const)
  test(`${what} that waits for lost hosts of an older view goes on when that is retired, and not only when it is begun again`, async () => {
    const scene = new Scene();
    scene.belongs = ['a'];
    scene.belonged = ['a', 'b', 'c'];
    const { store } = await scene.open('a', new MemoryDisk());
    const done = act(store, mutableAddress());
    assert.equal(await Promise.race([done.then(() => 'done'), new Promise((resolve) => setTimeout(resolve, 300, 'waits'))]), 'waits');
    scene.belonged = undefined;
    await done;
    await store[Symbol.asyncDispose]();
  });
