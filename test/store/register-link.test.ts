import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger, systemClock, systemRandom } from '../../src/base/index.ts';
import { mutableAddress } from '../../src/block/index.ts';
import { encodeRequest, read, type Reply, type Request } from '../../src/consensus/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { type Handler, MemoryNetwork, type Transport } from '../../src/overlay/index.ts';
import { kinds } from '../../src/store/kinds.ts';
import { Leases } from '../../src/store/leases.ts';
import { Permits } from '../../src/store/permits.ts';
import { RegisterLink } from '../../src/store/register-link.ts';
import { Registers } from '../../src/store/registers.ts';
import { Replica } from '../../src/store/replica.ts';
import { Store } from '../../src/store/index.ts';

const names = ['a', 'b', 'c'];
/** What asks for one goes to all at once. */
const lease = { mode: 'shared', incarnation: 1, sequence: 1 } as const;
const placement = { alone: false, replicas: 3, rank: () => names, views: () => [{ number: 0, replicas: names }] };

async function hosts(network: MemoryNetwork) {
  return Promise.all(
    names.map((self) =>
      Store.open({
        self,
        incarnation: 1,
        disk: new MemoryDisk(),
        logger: silentLogger,
        cluster: { transport: network.open(self), placement },
      }),
    ),
  );
}

test('operations end well though one message in four is lost', async () => {
  const network = new MemoryNetwork();
  const [first, second] = (await hosts(network)) as [Store, Store, Store];
  const addresses = Array.from({ length: 40 }, () => mutableAddress());
  network.setLoss(0.25);
  const written = await Promise.all(
    addresses.map((address, index) =>
      first.commit([{ update: [{ address, expect: 'any', payload: Uint8Array.of(index) }] }], { deadlineMs: 30_000 }),
    ),
  );
  assert.ok(written.every(({ done }) => done));
  const read = await Promise.all(addresses.map((address) => second.fetch(address, { deadlineMs: 30_000 })));
  assert.deepEqual(
    read.map((block) => block?.payload[0]),
    addresses.map((_, index) => index),
  );
});

test('no tag of one start of the daemon is one of another start', async () => {
  const disk = new MemoryDisk();
  const unused = { hasSay: () => true, isMember: () => true, recall: () => {}, onLost: () => {}, onDurable: () => {}, onBug: assert.ifError };
  const replica = await Replica.open({ self: 'a', incarnation: 1, disk, clock: systemClock, views: placement.views, leaseTermMs: 1000, ...unused });
  const leasesOf = (incarnation: number): Leases =>
    new Leases(
      { self: 'a', incarnation, disk, clock: systemClock, transport: undefined, permits: new Permits(undefined), termMs: 1000 },
      replica.acceptor.leases,
    );
  const tagsOf = (incarnation: number): number[] => {
    const tags: number[] = [];
    const send = (_peers: readonly string[], { tag }: Request): unknown => tags.push(tag);
    const views = placement.views;
    const registers = new Registers({
      self: 'a',
      incarnation,
      replica,
      views,
      hasSay: () => true,
      floor: () => 0,
      send,
      isConnected: () => true,
      leases: leasesOf(incarnation),
      random: systemRandom,
      onRefused: () => {},
    });
    for (let count = 0; count < 10; count++) void registers.run(mutableAddress(), read, { deadlineMs: 10 });
    return tags;
  };
  const first = new Set(tagsOf(1));
  assert.equal(first.size, 10);
  assert.ok(tagsOf(2).every((tag) => !first.has(tag)));
});

test('a replica that refused for a lease what a quorum took is told of: nobody asks it again', async () => {
  const disk = new MemoryDisk();
  const unused = { hasSay: () => true, isMember: () => true, recall: () => {}, onLost: () => {}, onDurable: () => {}, onBug: assert.ifError };
  const replica = await Replica.open({ self: 'a', incarnation: 1, disk, clock: systemClock, views: placement.views, leaseTermMs: 1000, ...unused });
  const permits = new Permits(undefined);
  const leases = new Leases(
    { self: 'a', incarnation: 1, disk, clock: systemClock, transport: undefined, permits, termMs: 1000 },
    replica.acceptor.leases,
  );
  const refused: string[] = [];
  const sent: Request[] = [];
  const registers = new Registers({
    self: 'a',
    incarnation: 1,
    replica,
    views: placement.views,
    hasSay: () => true,
    floor: () => 0,
    send: (_peers, request) => void sent.push(request),
    isConnected: () => true,
    leases,
    random: systemRandom,
    onRefused: (block) => refused.push(block),
  });
  const address = mutableAddress();
  const running = registers.run(address, read, { deadlineMs: 20 });
  const { tag, attempt } = sent[0]!;
  const nothing = { promised: null, accepted: null, same: false, floor: 0, views: [], unsure: false, grant: 0 };
  const leased = { type: 'leased', from: 'c', block: address, tag, attempt, ...nothing } as const;
  registers.hear(leased);
  assert.deepEqual(refused, [], 'it is asked again');
  await running;
  registers.hear(leased);
  assert.deepEqual(refused, [address]);
});

test('what goes to others has left before this host works on its own part', async () => {
  const events: string[] = [];
  // As lines do: what is sent in a turn of the event loop leaves in the next one.
  const transport = {
    handle: () => () => {},
    onPeerDown: () => () => {},
    isConnected: () => true,
    notify: (peer: string) => void setImmediate(() => events.push(peer)),
  };
  const replica = { serveAll: () => void events.push('own disk') };
  const link = new RegisterLink({
    self: 'a',
    transport: transport as unknown as Transport,
    replica: replica as unknown as Replica,
    permits: new Permits(undefined),
    onReply: () => false,
    onBug: assert.ifError,
  });
  const request: Request = { type: 'read', from: 'a', block: mutableAddress(), tag: 1, attempt: 1, view: 0, known: null, lease };
  link.send(names, request);
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(events, ['b', 'c', 'own disk']);
});

test('what several hosts ask in one turn is one group of the disk with what this host asks itself, and the answers leave with its own requests', async () => {
  const handlers = new Map<number, Handler>();
  const left: string[][] = [];
  let turn: string[] = [];
  const transport = {
    handle: (kind: number, handler: Handler) => (handlers.set(kind, handler), () => {}),
    onPeerDown: () => () => {},
    isConnected: () => true,
    notify: (peer: string, kind: number) => void turn.push(`${peer} ${kind === kinds.registerReplies ? 'answers' : 'requests'}`),
  };
  const groups: string[][] = [];
  const replica = {
    serveAll: (requests: readonly Request[], answer: (reply: Reply, to: string) => void): void => {
      groups.push(requests.map(({ from }) => from));
      const nothing = { promised: null, accepted: null, same: false, floor: 0, views: [], unsure: false, grant: 0 };
      // As after a write that the thread made itself.
      const written = Promise.resolve();
      for (const { block, tag, attempt, from } of requests)
        void written.then(() => answer({ type: 'value', from: 'a', block, tag, attempt, ...nothing }, from));
    },
  };
  const replies: Reply[] = [];
  const link = new RegisterLink({
    self: 'a',
    transport: transport as unknown as Transport,
    replica: replica as unknown as Replica,
    permits: new Permits(undefined),
    onReply: (reply) => replies.push(reply) === 0,
    onBug: assert.ifError,
  });
  const request: Request = { type: 'read', from: 'a', block: mutableAddress(), tag: 1, attempt: 1, view: 0, known: null, lease };
  const [head] = encodeRequest(request);
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32LE(1, 0);
  lengths.writeUInt32LE(head!.length, 4);
  const body = Buffer.concat([lengths, head!]);
  const call = { deadlineMs: 0, channel: 'control', signal: new AbortController().signal } as const;
  for (const peer of ['b', 'c']) void handlers.get(kinds.registerRequests)!(peer, body, call);
  link.send(names, request);
  for (let turns = 0; turns < 3; turns++) {
    await new Promise((resolve) => setImmediate(resolve));
    left.push(turn);
    turn = [];
  }
  assert.deepEqual(groups, [['b', 'c', 'a']]);
  assert.deepEqual(left, [['b requests', 'c requests', 'b answers', 'c answers'], [], []]);
  assert.equal(replies.length, 1);
});

test('a bug that requests of others meet is told of, and does not end this host', async () => {
  let handler: Handler | undefined;
  const bugs: unknown[] = [];
  const bug = new Error('a bug');
  const transport = {
    handle: (kind: number, handle: Handler) => {
      if (kind === kinds.registerRequests) handler = handle;
    },
    onPeerDown: () => () => {},
  };
  const replica = {
    serveAll: () => {
      throw bug;
    },
  };
  const link = new RegisterLink({
    self: 'a',
    transport: transport as unknown as Transport,
    replica: replica as unknown as Replica,
    permits: new Permits(undefined),
    onReply: () => false,
    onBug: (error) => bugs.push(error),
  });
  const [head] = encodeRequest({ type: 'read', from: 'b', block: mutableAddress(), tag: 1, attempt: 1, view: 0, known: null, lease: null });
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32LE(1, 0);
  lengths.writeUInt32LE(head!.length, 4);
  void handler!('b', Buffer.concat([lengths, head!]), { deadlineMs: 0, channel: 'control', signal: new AbortController().signal });
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(bugs, [bug]);
  link[Symbol.dispose]();
});
