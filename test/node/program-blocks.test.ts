import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';

import { committed, connect, maxImmutableValueBytes, maxValueBytes, programOwner } from '../../src/api/index.ts';
import { type ErrorCode, errorCodes, InfinitError, silentLogger } from '../../src/base/index.ts';
import { type Address, beginLineage, bodyWithLineage, continueLineage, mutableAddress, Sealer } from '../../src/block/index.ts';
import { type ControlTarget, startControlApi } from '../../src/node/control/control-api.ts';
import { MembersStore, refuseOutside } from '../../src/node/members/membership-right.ts';
import { ProgramBlocks } from '../../src/node/blocks/program-blocks.ts';
import type { BlockStore, Sent, StoredBlock } from '../../src/store/index.ts';
import { ValueHosts } from './daemon-double.ts';

test('what a program puts on one host any program reads on another', async () => {
  await using cluster = await ValueHosts.start(4);
  const [one, , , other] = cluster.hosts;
  const address = await one!.infinit.blocks.put('hello');
  assert.equal((await other!.infinit.blocks.get(address))!.text(), 'hello');
  assert.equal(await other!.infinit.blocks.put('hello'), address);
  const block = await one!.infinit.blocks.create('first');
  assert.equal(block.version, 1);
  const result = await other!.infinit.blocks.update(block.address, 'second', { expect: 1 });
  assert.deepEqual(result, { status: 'committed', version: 2, address: block.address });
  assert.equal((await one!.infinit.blocks.get(block.address))!.text(), 'second');
});

test('a conflict carries the current block, and says where there is none', async () => {
  await using cluster = await ValueHosts.start(3);
  const { blocks } = cluster.hosts[0]!.infinit;
  const { address } = await blocks.create('a');
  await blocks.update(address, 'b');
  const late = await blocks.update(address, 'c', { expect: 1 });
  assert.equal(late.status, 'conflict');
  assert.deepEqual([late.current?.version, late.current?.text()], [2, 'b']);
  assert.deepEqual(await blocks.remove(address, { expect: 2 }), { status: 'committed', version: 3, address });
  assert.equal(await blocks.get(address), undefined);
  assert.deepEqual(await blocks.update(address, 'd'), { status: 'conflict', current: undefined, address });
  assert.throws(() => committed({ status: 'conflict', current: undefined, address }), { code: 'not-found' });
});

test('of many programs that make one named block one commits, and the others see what it wrote', async () => {
  await using cluster = await ValueHosts.start(3);
  const results = await Promise.all(cluster.hosts.map(({ infinit, name }) => infinit.blocks.createNamed('leader', name)));
  assert.equal(results.filter(({ status }) => status === 'committed').length, 1);
  const current = await cluster.hosts[0]!.infinit.blocks.get(cluster.hosts[0]!.infinit.blocks.named('leader'));
  for (const result of results) if (result.status === 'conflict') assert.equal(result.current?.text(), current?.text());
});

test('first writes at the same instant end with one that commits and conflicts for the others, and none of them unknown', async () => {
  await using cluster = await ValueHosts.start(5);
  for (let i = 0; i < 40; i++) {
    const results = await Promise.all(
      cluster.hosts.map(async ({ infinit, name }) => {
        const made = await infinit.blocks.createNamed(`first ${i}`, name);
        // Others write over it at once: by then the first record is to be seen nowhere.
        if (made.status === 'conflict') assert.equal((await infinit.blocks.update(made.address, name)).status, 'committed');
        return made.status;
      }),
    );
    assert.deepEqual(results.toSorted(), ['committed', 'conflict', 'conflict', 'conflict', 'conflict']);
  }
});

test('a counter that nobody has made yet is raised by all at once, and no count is lost', async () => {
  await using cluster = await ValueHosts.start(5);
  for (let i = 0; i < 20; i++) {
    const address = cluster.hosts[0]!.infinit.blocks.named(`counter ${i}`);
    await Promise.all(cluster.hosts.map(({ infinit }) => infinit.blocks.modify(address, (block) => String(Number(block?.text() ?? 0) + 1))));
    assert.equal((await cluster.hosts[0]!.infinit.blocks.get(address))!.text(), '5');
  }
});

/** A store in which the first write ends as unknown, and the block reads as it is given. */
function storeAfter(sent: Sent | undefined, current: StoredBlock): BlockStore {
  return {
    commit: () =>
      Promise.resolve({
        done: false,
        stage: 0,
        outcomes: [{ status: 'unknown', code: 'unknown-outcome', message: '', ...(sent === undefined ? {} : { sent }) }],
      }),
    fetch: () => Promise.resolve(current),
  } as unknown as BlockStore;
}

test('that a block was not made is said only where the write can be no part of what is there, nor come after it', async () => {
  const address = mutableAddress();
  const sealer = new Sealer();
  const by = (session: number): Uint8Array =>
    sealer.sealPayload(
      address,
      { volume: programOwner, inode: 0, epoch: 0, session, sequence: 1 },
      bodyWithLineage(Buffer.from('theirs')),
      Buffer.alloc(1000),
    );
  // Two others wrote: the first of them made the block, at version 3.
  const current = { version: 4, payload: continueLineage(by(2), { version: 3, payload: beginLineage(by(1), 3) }) };
  const statusAfter = async (sent: Sent | undefined): Promise<string> =>
    (await new ProgramBlocks(storeAfter(sent, current), () => assert.fail(), mutableAddress).create(address, Buffer.from('x'), { deadlineMs: 50 }))
      .status;
  assert.equal(await statusAfter({ from: 3, upon: 0 }), 'conflict');
  // Founded at a version that a higher floor asked for.
  assert.equal(await statusAfter({ from: 9, upon: 0 }), 'conflict');
  assert.equal(await statusAfter({ from: 3, upon: 2 }), 'conflict');
  // Of before: it may have been made and removed again since.
  assert.equal(await statusAfter({ from: 2, upon: 0 }), 'unknown');
  // It was to follow upon a removal that this read did not see: it may arrive yet.
  assert.equal(await statusAfter({ from: 6, upon: 5 }), 'unknown');
  assert.equal(await statusAfter(undefined), 'unknown');
});

test('increments of three programs at once lose none', async () => {
  await using cluster = await ValueHosts.start(3);
  const { address } = await cluster.hosts[0]!.infinit.blocks.create('0');
  await Promise.all(
    cluster.hosts.map(async ({ infinit }) => {
      for (let i = 0; i < 20; i++) await infinit.blocks.modify(address, (block) => String(Number(block!.text()) + 1));
    }),
  );
  assert.equal((await cluster.hosts[1]!.infinit.blocks.get(address))!.text(), '60');
});

test('values of every size up to the limit come back as they were, and larger ones are refused by name of the limit', async () => {
  await using cluster = await ValueHosts.start(3);
  const { blocks } = cluster.hosts[0]!.infinit;
  for (const size of [0, 1, 4096, 100_000, maxImmutableValueBytes]) {
    const value = randomBytes(size);
    const address = await blocks.put(value);
    assert.ok(value.equals((await cluster.hosts[2]!.infinit.blocks.get(address))!.value));
  }
  const full = randomBytes(maxValueBytes);
  assert.ok(full.equals((await blocks.get((await blocks.create(full)).address))!.value));
  await assert.rejects(blocks.put(new Uint8Array(maxImmutableValueBytes + 1)), { code: 'too-large', message: /4194304/ });
  await assert.rejects(blocks.create(new Uint8Array(maxValueBytes + 1)), { code: 'too-large', message: /65536/ });
  for (const wrong of [5, null, {}] as unknown as string[])
    await assert.rejects(blocks.put(wrong), { code: 'bad-argument', message: /a value is a string or bytes/ });
});

test('large values in memory that is used again are kept as they were given, on every host', async () => {
  await using cluster = await ValueHosts.start(3);
  const [one, two, three] = cluster.hosts.map(({ infinit }) => infinit.blocks);
  const values = Array.from({ length: 40 }, (_, index) => randomBytes(1024 * 1024 - (index % 3)));
  const addresses: Address[] = [];
  for (let at = 0; at < values.length; at += 4)
    addresses.push(...(await Promise.all(values.slice(at, at + 4).map((value, index) => (index % 2 === 0 ? one! : two!).put(value)))));
  for (const [index, address] of addresses.entries())
    for (const blocks of [one!, three!]) assert.ok(values[index]!.equals((await blocks.get(address))!.value), `value ${index}`);
});

test('a program can neither read nor write nor remove a block of a volume, whatever version it names', async () => {
  await using cluster = await ValueHosts.start(3);
  const [{ store, infinit }] = cluster.hosts as [(typeof cluster.hosts)[0]];
  const { blocks } = infinit;
  const sealer = new Sealer();
  const owner = { volume: randomBytes(16), inode: 1, epoch: 0, session: 7, sequence: 1 };
  const address = mutableAddress();
  const immutable = sealer.seal(owner, Buffer.from('file data'));
  const result = await store.commit([
    { put: [immutable], update: [{ address, expect: 'absent', payload: sealer.sealPayload(address, owner, Buffer.from('inode')) }] },
  ]);
  assert.ok(result.done);
  for (const expect of [undefined, 1]) {
    const limits = expect === undefined ? {} : { expect };
    assert.equal(statusOf(await blocks.update(address, 'mine', limits)), 'failed denied');
    assert.equal(statusOf(await blocks.remove(address, limits)), 'failed denied');
  }
  assert.equal(statusOf(await blocks.remove(immutable.address)), 'failed denied');
  await assert.rejects(blocks.get(address), { code: 'denied' });
  await assert.rejects(blocks.get(immutable.address), { code: 'denied' });
  assert.equal((await store.fetch(address))!.version, 1);
  assert.ok((await store.get(immutable.address)).length > 0);
});

test('a removed immutable block is gone on every host, and can be put again by any', async () => {
  await using cluster = await ValueHosts.start(3);
  const { blocks } = cluster.hosts[0]!.infinit;
  const address = await blocks.put('once');
  assert.equal((await blocks.remove(address)).status, 'committed');
  assert.equal((await blocks.remove(address)).status, 'conflict');
  assert.equal(await cluster.hosts[1]!.infinit.blocks.get(address), undefined);
  assert.equal(await cluster.hosts[1]!.infinit.blocks.put('once'), address);
  for (const host of cluster.hosts) assert.equal((await host.infinit.blocks.get(address))!.text(), 'once');
  const { replicas } = await cluster.hosts[2]!.infinit.blocks.inspect(address);
  assert.deepEqual(
    replicas.map(({ state }) => state),
    ['ok', 'ok', 'ok'],
  );
});

test('without a quorum a write has failed or is unknown, never committed, and the call ends by its deadline', async () => {
  await using cluster = await ValueHosts.start(3);
  const { blocks } = cluster.hosts[0]!.infinit;
  const { address } = await blocks.create('before');
  cluster.network.partition(['host-0'], ['host-1', 'host-2']);
  const result = await blocks.update(address, 'after', { deadlineMs: 500 });
  assert.ok(result.status === 'failed' || result.status === 'unknown', result.status);
  await assert.rejects(blocks.get(address, { deadlineMs: 300 }), { code: 'unavailable' });
});

/** A store that commits in this way, and has nothing to read. */
const storeOf = (commit: BlockStore['commit']): BlockStore => ({ commit, fetch: () => Promise.resolve(undefined) }) as unknown as BlockStore;

test('one truth about what a failure means, whoever says it: the store to the daemon, or the daemon to a program', async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-values-'));
  t.after(() => rm(directory, { recursive: true }));
  const socketPath = path.join(directory, 'control.sock');
  let code: ErrorCode = 'bug';
  const fail = (): Promise<never> => Promise.reject(new InfinitError(code, `it is ${code}`));
  const target = { blocks: { create: fail }, watches: undefined, whoIsMissing: () => undefined } as unknown as ControlTarget;
  await using _api = await startControlApi(socketPath, target, silentLogger);
  await using infinit = connect(socketPath);
  const daemon = new ProgramBlocks(storeOf(fail), fail, mutableAddress);
  // Who commits knows of these whether it was begun, and who reads an answer does not.
  const said = new Set<ErrorCode>(['cancelled', 'disk-failed', 'closed', 'bug']);
  for (code of Object.keys(errorCodes) as ErrorCode[]) {
    if (said.has(code)) continue;
    const byStore = await daemon.create(mutableAddress(), Buffer.from('x'), { deadlineMs: 10 });
    const byDaemon = await infinit.blocks.createNamed('x', 'x');
    assert.equal(byStore.status, byDaemon.status, code);
  }
});

test('on a host that was expelled every call says so at once, and nothing is asked of the store', async () => {
  const blocks = new ProgramBlocks(
    new MembersStore(
      storeOf(() => assert.fail()),
      () => refuseOutside('this host was expelled from the cluster'),
    ),
    () => assert.fail(),
    mutableAddress,
  );
  const limits = { deadlineMs: 10_000 };
  const why = { code: 'unavailable', message: /expelled from the cluster/ };
  await assert.rejects(blocks.get(mutableAddress(), limits), why);
  await assert.rejects(blocks.put(Buffer.from('x'), limits), why);
  for (const made of [blocks.create(mutableAddress(), Buffer.from('x'), limits), blocks.update(mutableAddress(), null, 1, limits)]) {
    const { status, message } = (await made) as { status: string; message?: string };
    assert.equal(status, 'failed');
    assert.match(message ?? '', why.message);
  }
});

test('a write whose turn does not come in time has failed, and is not begun later', async () => {
  let begun = 0;
  const first = Promise.withResolvers<void>();
  const blocks = new ProgramBlocks(
    storeOf(async () => {
      begun++;
      await first.promise;
      return { done: true, versions: [[begun]] };
    }),
    () => assert.fail(),
    mutableAddress,
  );
  const address = mutableAddress();
  const held = blocks.update(address, Buffer.from('a'), undefined, { deadlineMs: 10_000 });
  const late = blocks.update(address, Buffer.from('b'), undefined, { deadlineMs: 20 });
  const patient = blocks.update(address, Buffer.from('c'), undefined, { deadlineMs: 10_000 });
  await sleep(40);
  first.resolve();
  const { status, code } = (await late) as { status: string; code?: string };
  assert.deepEqual([status, code], ['failed', 'deadline-exceeded']);
  assert.deepEqual([(await held).status, (await patient).status, begun], ['committed', 'committed', 2]);
});

test('a call that is cancelled after it began is unknown, one before is cancelled', async () => {
  await using cluster = await ValueHosts.start(3);
  const { blocks } = cluster.hosts[0]!.infinit;
  const { address } = await blocks.create('before');
  cluster.network.partition(['host-0'], ['host-1', 'host-2']);
  const controller = new AbortController();
  const result = blocks.update(address, 'after', { signal: controller.signal });
  setTimeout(() => controller.abort(), 50);
  assert.deepEqual(statusOf(await result), 'unknown cancelled');
  await assert.rejects(blocks.update(address, 'never', { signal: controller.signal }), { code: 'cancelled' });
});

test('when the daemon restarts, what was under way is unknown and the next call connects again', async () => {
  await using cluster = await ValueHosts.start(3);
  const [host] = cluster.hosts;
  const { blocks } = host!.infinit;
  const { address } = await blocks.create('before');
  cluster.network.partition(['host-0'], ['host-1', 'host-2']);
  const underWay = blocks.update(address, 'after');
  await new Promise((resolve) => setTimeout(resolve, 50));
  await host!.restart();
  assert.equal((await underWay).status, 'unknown');
  cluster.network.heal();
  const { text } = { text: (await blocks.get(address))!.text() };
  assert.ok(text === 'before' || text === 'after');
});

test('a program may ask for more at once than is served: the calls take turns, and none fails', async () => {
  await using cluster = await ValueHosts.start(1);
  const { blocks } = cluster.hosts[0]!.infinit;
  const made = await Promise.all(Array.from({ length: 5_000 }, (_, index) => blocks.create(String(index))));
  assert.equal(new Set(made.map(({ address }) => address)).size, 5_000);
  const large = Array.from({ length: 50 }, () => randomBytes(1024 * 1024));
  const addresses = await Promise.all(large.map((value) => blocks.put(value)));
  const back = await Promise.all(addresses.map((address) => blocks.get(address)));
  assert.ok(back.every((block, index) => large[index]!.equals(block!.value)));
});

test('inspect shows every replica with its version and size, and whose the block is', async () => {
  await using cluster = await ValueHosts.start(3);
  const { infinit } = cluster.hosts[0]!;
  const { address } = await infinit.blocks.create('x');
  await infinit.blocks.update(address, 'four');
  const report = await cluster.hosts[1]!.infinit.blocks.inspect(address);
  assert.deepEqual([report.kind, report.owner, report.wanted], ['mutable', 'program', 3]);
  const current = report.replicas.filter(({ state, version, size }) => state === 'ok' && version === 2 && size === 4);
  assert.ok(current.length >= 2, JSON.stringify(report));
});

test('inspect ends within the time it was given, and says which hosts had not answered by then', async () => {
  await using cluster = await ValueHosts.start(3);
  const { infinit, name } = cluster.hosts[0]!;
  const blocks = [(await infinit.blocks.create('x')).address, await infinit.blocks.put('y')];
  // Nothing else ends such a wait before the time that any host has.
  for (const other of cluster.hosts.slice(1)) cluster.network.cut(name, other.name);
  for (const block of blocks) {
    const { replicas } = await infinit.blocks.inspect(block, { deadlineMs: 50 });
    const silent = replicas.filter(({ state }) => state === 'silent');
    assert.equal(silent.length, 2);
    for (const { reason } of silent) assert.match(reason!, /^no answer within [1-5]?\d ms$/);
  }
  const signal = AbortSignal.timeout(20);
  await assert.rejects(infinit.blocks.inspect(blocks[0]!, { signal }), { code: 'cancelled' });
  await assert.rejects(infinit.blocks.inspect(blocks[0]!, { signal }), { code: 'cancelled' }, 'before it began');
});

function statusOf(result: { readonly status: string; readonly code?: string }): string {
  return `${result.status} ${result.code ?? ''}`.trim();
}
