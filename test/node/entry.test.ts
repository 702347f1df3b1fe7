import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MemoryDisk } from '../../src/disk/index.ts';
import { createLogger, InfinitError, silentLogger } from '../../src/base/index.ts';
import { Entry, type EntryContext } from '../../src/node/members/entry.ts';
import { ExpectedNames } from '../../src/node/volumes/expected-names.ts';

/** The part of the overlay and of the roster that an entry asks. */
interface World {
  clusterId: string | undefined;
  known: string | undefined;
  standing: 'stranger' | 'fresh' | 'member';
  halted: string | undefined;
  forgotten: number;
  letIn: PromiseWithResolvers<void>;
}

async function entryIn(world: World, more: Partial<EntryContext> = {}): Promise<Entry> {
  const context = {
    overlay: {
      get clusterId() {
        return world.clusterId;
      },
      get halted() {
        return world.halted;
      },
      get state() {
        return world.known === undefined ? 'joining' : 'up';
      },
      isPassportExpired: false,
      whyNotJoined: () => 'nobody answers',
      whenJoined: () => world.letIn.promise,
      join: async () => void (world.clusterId = 'c'),
    },
    membership: {
      isKnown: true,
      status: () => ({ standing: world.standing }),
      enter: async () => void (world.standing = 'fresh'),
      whenKnown: () => Promise.resolve(),
      abandonFounding: () => Promise.resolve(),
    },
    mounted: () => [],
    standstill: <T>(job: () => Promise<T>) => job(),
    ownVolume: () => Promise.resolve(world.standing === 'member' ? 'data' : undefined),
    ownTrash: () => Promise.resolve([]),
    holdsBlocks: () => true,
    forgetEverything: async () => void world.forgotten++,
    knownCluster: () => Promise.resolve(world.known),
    rememberCluster: async (id: string) => void (world.known = id),
    keyFile: '/nowhere',
    onEntered: () => Promise.resolve(),
    logger: silentLogger,
    ...more,
  };
  return new Entry(context as unknown as EntryContext, await ExpectedNames.open(new MemoryDisk()));
}

function world(): World {
  return { clusterId: 'c', known: undefined, standing: 'stranger', halted: undefined, forgotten: 0, letIn: Promise.withResolvers<void>() };
}

test('a founder that crashed before it had noted its cluster keeps its volumes', async () => {
  const founder: World = { ...world(), standing: 'member' };
  using entry = await entryIn(founder);
  await entry.enter();
  assert.equal(entry.whyOutside(), undefined);
  assert.deepEqual([founder.known, founder.forgotten], ['c', 0]);
});

test('a host that was killed while it entered, its cluster noted already, may be taken into a view', async () => {
  const killed: World = { ...world(), known: 'c' };
  using entry = await entryIn(killed);
  await entry.enter();
  assert.deepEqual([killed.standing, killed.forgotten], ['fresh', 0]);
  const member: World = { ...world(), known: 'c', standing: 'member' };
  using restarted = await entryIn(member);
  await restarted.enter();
  assert.equal(member.standing, 'member');
});

test('a host that waits to be let in is outside until then, and one that was stopped has no hope', async () => {
  const late = world();
  using entry = await entryIn(late);
  await entry.enter();
  assert.equal(entry.whyOutside(), 'nobody answers');
  const inside = entry.whenInside(AbortSignal.timeout(10_000));
  late.letIn.resolve();
  await inside;
  assert.deepEqual([entry.whyOutside(), late.known, late.forgotten], [undefined, 'c', 1]);
  late.halted = 'this host was expelled';
  assert.equal(entry.whyOutside(), 'this host was expelled');
  await assert.rejects(entry.whenInside(AbortSignal.timeout(10_000)), { code: 'unavailable', message: /was expelled/ });
});

test('whether a host may leave is asked again once the others have heard that it leaves', async () => {
  let why: string | undefined;
  const overlay = {
    clusterId: 'c',
    halted: undefined,
    state: 'up',
    self: 'a',
    leave: (whyNot?: () => string | undefined) => {
      why = 'b is missing too';
      return Promise.resolve(whyNot?.()).then((said) => assert.match(said ?? '', /b is missing too: drain it first/));
    },
  };
  const membership = { status: () => ({ standing: 'member' }) };
  const context = {
    overlay,
    membership,
    removals: { whyItMustStay: () => why },
    mounted: () => [],
    standstill: <T>(job: () => Promise<T>) => job(),
    keyFile: '/nowhere',
  };
  using entry = new Entry(context as unknown as EntryContext, await ExpectedNames.open(new MemoryDisk()));
  assert.deepEqual(await entry.leave({ force: true }), { alone: false });
});

test('a member that has not heard of the others yet does not take its join back', async () => {
  const overlay = {
    clusterId: 'c',
    halted: undefined,
    state: 'joining',
    self: 'a',
    takeBackJoin: () => assert.fail('it was let in long ago'),
    leave: () => Promise.reject(new InfinitError('unavailable', 'nobody hears it')),
  };
  const membership = { status: () => ({ standing: 'member' }) };
  const context = {
    overlay,
    membership,
    removals: { whyItMustStay: () => undefined },
    mounted: () => [],
    standstill: <T>(job: () => Promise<T>) => job(),
    keyFile: '/nowhere',
  };
  using entry = new Entry(context as unknown as EntryContext, await ExpectedNames.open(new MemoryDisk()));
  await assert.rejects(entry.leave({ force: true }), { code: 'unavailable' });
});

test('names that Docker was told of outlive a restart, so many at the most', async () => {
  const disk = new MemoryDisk();
  const names = await ExpectedNames.open(disk);
  for (let index = 0; index < 1030; index++) await names.add(`v${index}`);
  await names.delete('v1000');
  const again = await ExpectedNames.open(disk);
  assert.ok(again.has('v1029') && !again.has('v1000') && !again.has('v0'));
  assert.equal(again.list().length, 1023);
});

test('a host that is to store nothing and has no cluster warns at its start that it serves nothing', async () => {
  const lines: string[] = [];
  const logger = createLogger('warn', (_, line) => lines.push(line));
  for (const [clusterId, storesNothing] of [
    [undefined, true],
    [undefined, false],
    ['c', true],
  ] as const) {
    using entry = await entryIn({ ...world(), clusterId, known: clusterId }, { logger, storesNothing });
    await entry.enter();
  }
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /warn this host serves no volume: it stores nothing \(--capacity 0\) and belongs to no cluster/);
});

test('two commands to found a cluster at once found one', async () => {
  const done: string[] = [];
  const step = async (what: string): Promise<void> => {
    done.push(what);
    await new Promise(setImmediate);
  };
  const overlay = {
    clusterId: undefined as string | undefined,
    initCluster: async () => {
      await step('made');
      overlay.clusterId = 'c';
      return { clusterId: 'c' };
    },
    join: () => assert.fail('a cluster has been founded meanwhile'),
  };
  const membership = { intendToFound: () => step('intended'), abandonFounding: () => step('abandoned'), found: () => step('founded') };
  const context = {
    overlay,
    membership,
    storesNothing: false,
    mounted: () => [],
    standstill: <T>(job: () => Promise<T>) => job(),
    ownVolume: () => Promise.resolve('data'),
    knownCluster: () => Promise.resolve(undefined),
    rememberCluster: () => step('remembered'),
    keyFile: '/nowhere',
  };
  using entry = new Entry(context as unknown as EntryContext, await ExpectedNames.open(new MemoryDisk()));
  const [first, second, joined] = await Promise.allSettled([entry.init(), entry.init(), entry.join(['b:7470'], 'token')]);
  assert.equal(first.status, 'fulfilled');
  assert.match(String((second as PromiseRejectedResult).reason), /belongs to cluster c already/);
  assert.equal(((joined as PromiseRejectedResult).reason as InfinitError).code, 'already-exists');
  assert.deepEqual(done, ['intended', 'made', 'remembered', 'founded']);
});

test('a join that is let in and not told the roster in time is unavailable, and says what it waits for', async (t) => {
  const patience = new AbortController();
  t.mock.method(AbortSignal, 'timeout', () => patience.signal);
  const slow = { ...world(), clusterId: undefined as string | undefined };
  using entry = await entryIn(slow, {
    // Entering takes longer than anybody waits.
    forgetEverything: () => {
      setImmediate(() => patience.abort(new DOMException('over', 'TimeoutError')));
      return new Promise(() => {});
    },
  });
  slow.letIn.resolve();
  await assert.rejects(entry.join(['a:7470'], 'token'), {
    code: 'unavailable',
    message: /^nobody answers; this host goes on trying/,
  });
});

test('who is refused at a command is told that the host goes on trying, and how to take it back', async () => {
  const refused = { ...world(), clusterId: undefined as string | undefined };
  using entry = await entryIn(refused);
  refused.letIn.reject(new InfinitError('denied', 'the token was used'));
  await assert.rejects(entry.join(['a:7470'], 'token'), {
    code: 'denied',
    message: /^the token was used; this host goes on trying.*`infinit cluster leave` takes it back$/,
  });
});
