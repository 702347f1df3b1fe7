import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';

import { InfinitError, programPatienceMs, waningPatienceMs } from '../../src/base/index.ts';
import { type Address, immutableAddress, namedAddress } from '../../src/block/index.ts';
import type { BlockStore, CallOptions, SealedBlock } from '../../src/store/index.ts';
import { PortStore, servePort } from '../../src/store/port/index.ts';

const sealed = randomBytes(300_000);
const address = immutableAddress(sealed);

/** A store that reads into given memory, some bytes after its beginning, as a disk does. */
const source: Pick<BlockStore, 'get'> = {
  get: (_address, options) => {
    const { memory } = options ?? {};
    if (memory === undefined) return Promise.resolve(Uint8Array.from(sealed));
    const bytes = new Uint8Array(memory.buffer, memory.byteOffset + 96, sealed.length);
    bytes.set(sealed);
    return Promise.resolve(bytes);
  },
};

test('what is read into the caller’s memory comes back in that very memory, so that he knows whose it is', async () => {
  const { port1, port2 } = new MessageChannel();
  servePort(port1, source as BlockStore);
  const store = new PortStore(port2);
  const memory = new Uint8Array(new SharedArrayBuffer(400_000));
  const bytes = await store.get(address, { memory });
  assert.equal(bytes.buffer, memory.buffer);
  assert.ok(sealed.equals(bytes));
  const own = await store.get(address);
  assert.notEqual(own.buffer, memory.buffer);
  assert.ok(sealed.equals(own));
  port2.close();
});

test('calls of one tick each get their own answer or error, and begin in the order in which they were made', async () => {
  const { port1, port2 } = new MessageChannel();
  const begun: Address[] = [];
  const addresses = Array.from({ length: 1000 }, (_, index) => namedAddress('volume', `block ${index}`));
  const blocks: Pick<BlockStore, 'fetch'> = {
    fetch: async (wanted) => {
      const index = begun.push(wanted) - 1;
      if (index % 3 === 0) await new Promise(setImmediate);
      if (index % 7 === 0) throw new InfinitError('damaged', wanted);
      return { version: index + 1, payload: Buffer.from(wanted) };
    },
  };
  servePort(port1, blocks as BlockStore);
  const store = new PortStore(port2);
  const results = await Promise.allSettled(addresses.map((wanted) => store.fetch(wanted)));
  assert.deepEqual(begun, addresses);
  for (const [index, result] of results.entries()) {
    if (index % 7 === 0) assert.equal(result.status === 'rejected' && result.reason.code === 'damaged' && result.reason.message, addresses[index]);
    else assert.equal(result.status === 'fulfilled' && Buffer.from(result.value!.payload).toString(), addresses[index]);
  }
  port2.close();
});

test('of large commits that come together each has a turn of the event loop to itself', async () => {
  const { port1, port2 } = new MessageChannel();
  let inTurn = 0;
  let most = 0;
  const blocks: Pick<BlockStore, 'commit'> = {
    commit: async () => {
      most = Math.max(most, ++inTurn);
      setImmediate(() => (inTurn = 0));
      return { done: true, versions: [[1]] };
    },
  };
  servePort(port1, blocks as BlockStore);
  const store = new PortStore(port2);
  const update = Array.from({ length: 100 }, (_, index) => ({
    address: namedAddress('volume', `block ${index}`),
    expect: 'absent' as const,
    payload: new Uint8Array(10),
  }));
  await Promise.all(Array.from({ length: 10 }, () => store.commit([{ update }])));
  port2.close();
  assert.equal(most, 1);
});

test('a call that waits for its turn can be cancelled like one that is under way, and all are when the worker goes away', async () => {
  const { port1, port2 } = new MessageChannel();
  const ended: boolean[] = [];
  const blocks: Pick<BlockStore, 'fetch'> = {
    fetch: async (wanted, given) => {
      // As a layer between may do.
      const { signal }: CallOptions = { ...given };
      if (!signal!.aborted) await new Promise((resolve) => signal!.addEventListener('abort', resolve));
      ended.push(signal!.aborted);
      throw new InfinitError('cancelled', wanted);
    },
  };
  servePort(port1, blocks as BlockStore);
  const store = new PortStore(port2);
  const cancel = new AbortController();
  const wanted = namedAddress('volume', 'block');
  const calls = Array.from({ length: 500 }, (_, index) => store.fetch(wanted, index % 2 === 0 ? { signal: cancel.signal } : {}));
  const outcomes = Promise.allSettled(calls);
  cancel.abort();
  for (const [index, call] of calls.entries()) if (index % 2 === 0) await assert.rejects(call, { code: 'cancelled' });
  port2.close();
  for (const [index, outcome] of (await outcomes).entries())
    assert.equal(outcome.status === 'rejected' && outcome.reason.code, index % 2 === 0 ? 'cancelled' : 'unknown-outcome');
  while (ended.length < calls.length) await new Promise(setImmediate);
  assert.ok(ended.every(Boolean));
});

test('a commit that its caller can cancel is cancelled alone; one that he cannot is when the worker goes away', async () => {
  const { port1, port2 } = new MessageChannel();
  const signals: AbortSignal[] = [];
  const blocks: Pick<BlockStore, 'commit'> = {
    commit: async (_, { signal }: CallOptions = {}) => {
      signals.push(signal!);
      await new Promise((resolve) => signal!.addEventListener('abort', resolve));
      throw new InfinitError('cancelled', 'given up');
    },
  };
  servePort(port1, blocks as BlockStore);
  const store = new PortStore(port2);
  const cancel = new AbortController();
  const cancelled = store.commit([], { signal: cancel.signal });
  const others = Promise.allSettled([store.commit([]), store.commit([])]);
  while (signals.length < 3) await new Promise(setImmediate);
  cancel.abort();
  await assert.rejects(cancelled, { code: 'cancelled' });
  assert.deepEqual(
    signals.map(({ aborted }) => aborted),
    [true, false, false],
  );
  port2.close();
  await others;
  while (!signals.every(({ aborted }) => aborted)) await new Promise(setImmediate);
});

test('a block crosses without what its owner keeps with it, also where he adds to that right after the call', async () => {
  const { port1, port2 } = new MessageChannel();
  const stored: unknown[] = [];
  const blocks: Pick<BlockStore, 'commit'> = {
    commit: (stages) => {
      stored.push(...stages.flatMap(({ put }) => put ?? []));
      return Promise.resolve({ done: true, versions: [[]] });
    },
  };
  servePort(port1, blocks as BlockStore);
  const store = new PortStore(port2);
  const block: { address: Address; sealed: Uint8Array; putting?: Promise<unknown> } = { address, sealed };
  block.putting = store.commit([{ put: [block] }]);
  await block.putting;
  assert.deepEqual(stored, [{ address, sealed: new Uint8Array(sealed) }]);
  port2.close();
});

test('a small block that shares its memory with others crosses alone', async () => {
  const { port1, port2 } = new MessageChannel();
  const slab = randomBytes(8192);
  const payload = new Uint8Array(slab.buffer, slab.byteOffset + 1000, 300);
  const blocks: Pick<BlockStore, 'fetch'> = { fetch: () => Promise.resolve({ version: 7, payload }) };
  servePort(port1, blocks as BlockStore);
  const fetched = await new PortStore(port2).fetch(address);
  assert.deepEqual(fetched, { version: 7, payload: Uint8Array.from(payload) });
  assert.equal(fetched.payload.buffer.byteLength, 300);
  port2.close();
});

test('calls have a minute, and less while the store was out of reach for that long: one operation of a program takes several', async () => {
  const { port1, port2 } = new MessageChannel();
  let now = 0;
  let reach: 'all' | 'own' | 'none' = 'none';
  const given: (number | undefined)[] = [];
  const take = (options?: CallOptions): void => {
    given.push(options?.deadlineMs);
    if (reach !== 'all') now += options!.deadlineMs!;
  };
  const lost = (): InfinitError => new InfinitError('unavailable', 'no majority');
  const blocks: BlockStore = {
    get: async () => sealed,
    fetch: async (_, options) => {
      take(options);
      if (reach !== 'all') throw lost();
      return undefined;
    },
    commit: async (_, options) => {
      take(options);
      return reach === 'all'
        ? { done: true, versions: [] }
        : { done: false, stage: 0, outcomes: [{ status: 'unknown', code: 'unavailable', message: 'no majority' }] };
    },
  };
  servePort(port1, blocks);
  const store = new PortStore(port2, { monotonicMs: () => now, wallMs: () => 0 });
  await store.commit([]);
  await assert.rejects(store.fetch(address), { code: 'unavailable' });
  reach = 'own';
  // This host's own copy: it says nothing about the others.
  await store.get(address);
  await store.commit([]);
  reach = 'all';
  await store.commit([]);
  await store.fetch(address);
  await store.commit([], { deadlineMs: 5 });
  assert.deepEqual(given, [programPatienceMs, waningPatienceMs, waningPatienceMs, waningPatienceMs, programPatienceMs, 5]);
  port2.close();
});

test('the worker is told which blocks nobody reads any more, also long after the answer, and not where they are all released with it', async () => {
  const { port1, port2 } = new MessageChannel();
  const lent: { block: SealedBlock; release: (() => void) | undefined }[] = [];
  const blocks: Pick<BlockStore, 'commit'> = {
    commit: async (stages, options) => {
      for (const block of stages.flatMap(({ put }) => put ?? []))
        lent.push({ block, release: options?.onReleased && ((): void => options.onReleased!(block)) });
      return { done: true, versions: [[]], ...(lent.length > 3 ? { released: true } : {}) };
    },
  };
  servePort(port1, blocks as BlockStore);
  const store = new PortStore(port2);
  const put = Array.from({ length: 3 }, (_, index) => {
    const bytes = Buffer.from(`block ${index}`);
    return { address: immutableAddress(bytes), sealed: bytes };
  });
  const told: SealedBlock[] = [];
  const onReleased = (block: SealedBlock): void => void told.push(block);
  await store.commit([{ put: put.slice(0, 2) }, { put: put.slice(2) }], { onReleased });
  assert.deepEqual(told, []);
  lent[2]!.release!();
  lent[0]!.release!();
  // Said twice is told once.
  lent[0]!.release!();
  await store.commit([{ put: put.slice(0, 1) }], { onReleased });
  assert.equal(told.length, 2);
  assert.equal(told[0], put[2], 'in the caller’s own object');
  assert.equal(told[1], put[0]);
  await store.commit([{ put: put.slice(0, 1) }]);
  assert.equal(lent.at(-1)!.release, undefined, 'nobody asked');
  port2.close();
});

test('who waits for a commit is answered from the main thread once it is durable, and the worker knows', async () => {
  const cases = [
    { result: { done: true, versions: [[1]] }, takes: [true, true], sent: [7, 8], told: [true, true] },
    // Of one that cannot be sent the others know nothing: whoever got his is not answered again.
    { result: { done: true, versions: [[1]] }, takes: [false, true], sent: [7, 8], told: [false, true] },
    { result: { done: true, versions: [[1]] }, takes: [true, false], sent: [7, 8], told: [true, false] },
    { result: { done: false, stage: 0, outcomes: [{ status: 'conflict', current: undefined }] }, takes: [true, true], sent: [], told: undefined },
  ] as const;
  for (const { result, takes, sent, told } of cases) {
    const { port1, port2 } = new MessageChannel();
    const durable = Promise.withResolvers<void>();
    const answers: number[] = [];
    const blocks: Pick<BlockStore, 'commit'> = { commit: () => durable.promise.then(() => result) };
    servePort(port1, blocks as BlockStore, ([byte]) => takes[answers.push(byte!) - 1]!);
    const committed = new PortStore(port2).commit([], { tell: [Uint8Array.of(7), Uint8Array.of(8)] });
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(answers, []);
    durable.resolve();
    const outcome = await committed;
    assert.deepEqual(answers, sent);
    assert.deepEqual(outcome.done ? outcome.told : undefined, told);
    port2.close();
  }
});
