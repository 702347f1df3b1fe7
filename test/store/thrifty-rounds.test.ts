import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';

import { type Address, mutableAddress } from '../../src/block/index.ts';
import { decodeRequest, encodeReply, type Reply, type Request } from '../../src/consensus/index.ts';
import type { Transport } from '../../src/overlay/index.ts';
import { kinds } from '../../src/store/kinds.ts';
import { Permits } from '../../src/store/permits.ts';
import { RegisterLink } from '../../src/store/register-link.ts';
import type { Replica } from '../../src/store/replica.ts';

type Accept = Request & { readonly type: 'accept' };

const names = ['a', 'b', 'c'];
let tag = 0;

function accept(changes: Partial<Accept> = {}, value = Uint8Array.of(1), block: Address = mutableAddress()): Accept {
  const ballot = { round: ++tag, peer: 'a', incarnation: 1, serial: tag };
  const record = { version: 1, epoch: 1, replicas: names, previous: [], unsettled: [], origin: { peer: 'a', incarnation: 1, serial: tag }, value };
  const what = { ballot, record, next: { ...ballot, round: tag + 1 }, condition: null, founding: -1, leaseClock: 0, lease: null };
  return { type: 'accept', from: 'a', block, tag, attempt: 1, ...what, ...changes };
}

function replyTo({ block, tag: of, attempt }: Request, from: string, type: Reply['type'] = 'accepted'): Reply {
  const nothing = { promised: null, accepted: null, same: false, floor: 0, views: [], unsure: false, grant: 0 };
  return { type, from, block, tag: of, attempt, ...nothing };
}

/** A link of host a whose messages are noted as `peer:number of requests`, and whose time is the test's. */
class Bench {
  readonly sent: string[] = [];
  readonly bodies: { readonly peer: string; readonly body: Buffer }[] = [];
  readonly heard: Reply[] = [];
  /** Whether the proposer waits for more answers once it has heard one. */
  waits = false;
  readonly link: RegisterLink;
  readonly #handlers = new Map<number, (peer: string, body: Uint8Array) => void>();
  #down: (peer: string) => void = () => {};
  readonly #away = new Set<string>();
  #own: Request[] = [];

  constructor(self = 'a') {
    const transport = {
      handle: (kind: number, handler: (peer: string, body: Uint8Array) => void) => this.#handlers.set(kind, handler),
      onPeerDown: (listener: (peer: string) => void) => (this.#down = listener),
      isConnected: (peer: string) => !this.#away.has(peer),
      notify: (peer: string, kind: number, parts: readonly Uint8Array[]) => {
        const body = Buffer.concat(parts);
        assert.equal(kind, kinds.registerRequests);
        this.sent.push(`${peer}:${body.readUInt32LE(0)}`);
        this.bodies.push({ peer, body });
        return true;
      },
    };
    let tell: (reply: Reply, to: string) => void = () => {};
    const replica = { serveAll: (requests: Request[], answer: (reply: Reply, to: string) => void) => ((this.#own = requests), (tell = answer)) };
    this.link = new RegisterLink({
      self,
      transport: transport as unknown as Transport,
      replica: replica as unknown as Replica,
      permits: new Permits(undefined),
      onReply: (reply) => {
        this.heard.push(reply);
        return this.waits;
      },
      onBug: assert.ifError,
    });
    this.ownDisk = (type) => {
      for (const request of this.#own.splice(0)) tell(replyTo(request, self, type), request.from);
    };
  }

  /** This host's own acceptor answers all that it was asked. */
  readonly ownDisk: (type?: Reply['type']) => void;

  answer(peer: string, request: Request, type?: Reply['type']): void {
    const bytes = Buffer.concat(encodeReply(replyTo(request, peer, type)));
    const head = Buffer.alloc(8);
    head.writeUInt32LE(1, 0);
    head.writeUInt32LE(bytes.length, 4);
    this.#handlers.get(kinds.registerReplies)!(peer, Buffer.concat([head, bytes]));
  }

  lose(peer: string): void {
    this.#away.add(peer);
    this.#down(peer);
  }

  /** What left since the last call. */
  left(): string[] {
    return this.sent.splice(0);
  }
}

/** Turns of the event loop. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Time passes for the link's timers. */
async function pass(ms: number): Promise<void> {
  mock.timers.tick(ms);
  now += ms;
  await turns();
}

let now = 0;
beforeEach(() => {
  now = 1000;
  mock.timers.enable({ apis: ['setTimeout'] });
  mock.method(performance, 'now', () => now);
});
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

/** One write that ends well. */
async function write(bench: Bench, by = 'b'): Promise<Accept> {
  const request = accept();
  bench.link.send(names, request);
  await turns();
  bench.ownDisk();
  now += 1;
  bench.answer(by, request);
  return request;
}

test('a stream of writes asks one other host each time, always the same, and the third once for all', async () => {
  const bench = new Bench();
  for (let count = 0; count < 10; count++) await write(bench);
  assert.deepEqual(
    bench.left(),
    Array.from({ length: 10 }, () => 'b:1'),
  );
  await pass(15);
  assert.deepEqual(bench.left(), ['c:10']);
  assert.equal(bench.heard.length, 20);
});

test('what is deferred arrives as it was sent', async () => {
  const bench = new Bench();
  const requests = [await write(bench), await write(bench)];
  await pass(15);
  const { body } = bench.bodies.find(({ peer }) => peer === 'c')!;
  const [first, second] = [body.readUInt32LE(4), body.readUInt32LE(8)];
  assert.deepEqual(decodeRequest('a', body.subarray(12, 12 + first)), requests[0]);
  assert.deepEqual(decodeRequest('a', body.subarray(12 + first, 12 + first + second)), requests[1]);
});

test('each host begins with another, and one that keeps no copy asks two of three', async () => {
  for (const [self, first] of [
    ['b', ['c:1']],
    ['c', ['a:1']],
    ['d', ['a:1', 'b:1']],
    ['bb', ['a:1', 'c:1']],
  ] as const) {
    const bench = new Bench(self);
    bench.link.send(names, accept());
    await turns();
    assert.deepEqual(bench.left().toSorted(), first, self);
  }
});

test('all are asked at once after a prepare, for a lease, while the set changes, and where one is out of reach', async () => {
  const bench = new Bench();
  const request = accept();
  const lease = { mode: 'exclusive', incarnation: 1, sequence: 1 } as const;
  const joint = { ...request.record, previous: [['a', 'b', 'd']] };
  for (const whole of [accept({ attempt: 2 }), accept({ lease }), accept({ record: joint })]) {
    bench.link.send(names, whole);
    await turns();
    assert.deepEqual(bench.left(), ['b:1', 'c:1']);
  }
  bench.lose('b');
  bench.link.send(names, accept());
  await turns();
  assert.deepEqual(bench.left(), ['c:1']);
});

test('the next request to the spared host takes along what waits for it', async () => {
  const bench = new Bench();
  await write(bench);
  await write(bench);
  bench.left();
  bench.link.send(['c'], { type: 'read', from: 'a', block: mutableAddress(), tag: ++tag, attempt: 1, view: 0, known: null, lease: null });
  await turns();
  assert.deepEqual(bench.left(), ['c:3']);
});

test('a host that hesitates has the third one asked, and is not the first to be asked for a while', async () => {
  const bench = new Bench();
  await write(bench);
  bench.link.send(names, accept());
  await turns();
  bench.ownDisk();
  bench.left();
  await pass(1);
  assert.deepEqual(bench.left(), [], 'it takes 1 ms: 3 ms are no hesitation');
  await pass(9);
  assert.deepEqual(bench.left(), ['c:2']);
  bench.link.send(names, accept());
  await turns();
  assert.deepEqual(bench.left(), ['c:1']);
});

test('answers that came while this host stood still are no hesitation', async () => {
  const bench = new Bench();
  const request = accept();
  bench.link.send(names, request);
  await turns();
  bench.left();
  now += 12;
  // The timer comes first, the answers are read in the same turn.
  mock.timers.tick(12);
  bench.ownDisk();
  bench.answer('b', request);
  await turns();
  assert.deepEqual(bench.left(), []);
});

test('the third host is asked at once where another refuses, also this one, or its connection ends', async () => {
  for (const happens of [
    (bench: Bench, request: Request) => bench.answer('b', request, 'rejected'),
    (bench: Bench, request: Request) => bench.answer('b', request, 'leased'),
    (bench: Bench) => bench.ownDisk('lost'),
    (bench: Bench) => bench.lose('b'),
  ]) {
    const bench = new Bench();
    const request = accept();
    bench.link.send(names, request);
    await turns();
    bench.left();
    happens(bench, request);
    await turns();
    assert.deepEqual(bench.left(), ['c:1']);
  }
});

test('an accept that is sent again goes to all who have not answered', async () => {
  const bench = new Bench();
  const request = accept();
  bench.link.send(names, request);
  await turns();
  bench.left();
  bench.link.send(['b', 'c'], request, true);
  await turns();
  assert.deepEqual(bench.left(), ['b:1', 'c:2'], 'what waited, and the message itself: an acceptor hears it twice');
});

test('what waits for one host is bounded in number and in bytes', async () => {
  const bench = new Bench();
  for (let count = 0; count < 64; count++) await write(bench);
  await turns();
  assert.deepEqual(
    bench.left().filter((message) => message.startsWith('c')),
    ['c:64'],
  );
  bench.link.send(names, accept({}, new Uint8Array(256 * 1024)));
  await turns();
  assert.deepEqual(bench.left(), ['b:1', 'c:1']);
});

test('what waits for a host whose connection ends is dropped, as what is on its way is', async () => {
  const bench = new Bench();
  await write(bench);
  bench.left();
  bench.lose('c');
  await pass(20);
  assert.deepEqual(bench.left(), []);
});

test('what waits leaves when the store closes', async () => {
  const bench = new Bench();
  await write(bench);
  bench.left();
  bench.link[Symbol.dispose]();
  await turns();
  assert.deepEqual(bench.left(), ['c:1']);
});

type Read = Extract<Request, { type: 'read' }>;

function readOf(changes: Partial<Read> = {}): Read {
  const known = { round: 1, peer: 'a', incarnation: 1, serial: 1 };
  return { type: 'read', from: 'a', block: mutableAddress(), tag: ++tag, attempt: 1, view: 0, known, lease: null, ...changes };
}

/** Asks, and has this host's own acceptor answer. */
async function ask(bench: Bench, request: Request): Promise<void> {
  bench.link.send(names, request);
  await turns();
  bench.ownDisk('value');
}

test('a read on which a majority agrees never reaches the third host', async () => {
  const bench = new Bench();
  const request = readOf();
  await ask(bench, request);
  bench.answer('b', request, 'value');
  await pass(1000);
  assert.deepEqual(bench.left(), ['b:1']);
});

test('a read asks all for a lease, which all are to grant, and where nothing is known of the block', async () => {
  for (const changes of [{ lease: { mode: 'shared', incarnation: 1, sequence: 1 } }, { known: null }] as const) {
    const bench = new Bench();
    await ask(bench, readOf(changes));
    assert.deepEqual(bench.left(), ['b:1', 'c:1']);
  }
});

test('the third host is asked at once where the others answered a read and it goes on', async () => {
  const bench = new Bench();
  bench.waits = true;
  const request = readOf();
  await ask(bench, request);
  assert.deepEqual(bench.left(), ['b:1']);
  bench.answer('b', request, 'value');
  await turns();
  assert.deepEqual(bench.left(), ['c:1']);
});

test('the third host is asked at once where one does not answer a read in time, or is gone', async () => {
  for (const happens of [async (bench: Bench) => bench.lose('b'), () => pass(10)]) {
    const bench = new Bench();
    const request = readOf();
    await ask(bench, request);
    bench.left();
    await happens(bench);
    await turns();
    assert.deepEqual(bench.left(), ['c:1']);
    const { body } = bench.bodies.at(-1)!;
    assert.deepEqual(decodeRequest('a', body.subarray(8)), request);
  }
});

test('where all hosts are slow no more of them are asked', async () => {
  const bench = new Bench();
  const askOne = async (): Promise<() => void> => {
    const request = readOf();
    await ask(bench, request);
    const { peer } = bench.bodies.at(-1)!;
    return () => bench.answer(peer, request, 'value');
  };
  for (let count = 0; count < 20; count++) {
    const answer = await askOne();
    now += 60;
    answer();
  }
  // The timer that the first ones left.
  await pass(250);
  bench.left();
  await askOne();
  await pass(120);
  assert.equal(bench.left().length, 1);
  await pass(80);
  assert.equal(bench.left().length, 1);
});

test('rounds that ask the third host early are bounded: one in twenty, and ten in a row; a host that is slow or gone is not waited for longer than that', async () => {
  const bench = new Bench();
  const round = async (answerMs: number): Promise<number | undefined> => {
    const request = readOf();
    await ask(bench, request);
    const [asked] = bench.left();
    let earlyMs: number | undefined;
    for (let ms = 1; ms <= answerMs; ms++) {
      await pass(1);
      if (bench.left().length > 0) earlyMs ??= ms;
    }
    bench.answer(asked!.slice(0, 1), request, 'value');
    return earlyMs;
  };
  let early = 0;
  const bursts = 200;
  for (let burst = 0; burst < bursts; burst++) {
    for (let quick = 0; quick < 14; quick++) await round(1);
    if ((await round(12)) !== undefined) early++;
  }
  assert.ok(early > 10 && early <= 10 + (bursts * 15) / 20, `${early} of ${bursts}`);
  const waitedMs = await round(60);
  assert.ok(waitedMs !== undefined && waitedMs < 60, `${waitedMs} ms`);
});
