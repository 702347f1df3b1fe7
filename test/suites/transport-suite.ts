import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';

import { codeOf, InfinitError } from '../../src/base/index.ts';
import { type IncomingCall, type MeshTransport, maxBodyBytes } from '../../src/overlay/index.ts';

/** Three connected hosts and the ways to hurt them. */
export interface TransportFixture extends AsyncDisposable {
  readonly hosts: readonly [MeshTransport, MeshTransport, MeshTransport];
  /** Ends a host as kill -9 would, as far as its peers can tell. */
  kill(host: MeshTransport): Promise<void>;
}

/** A kind of its own for each test: hosts are shared, handlers are not. */
let echo = 100;
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const bytes = (value: string): Uint8Array => Buffer.from(value);
const hasCode =
  (...codes: string[]) =>
  (error: unknown): boolean => {
    assert.ok(codes.includes(codeOf(error)), `${codeOf(error)}: ${String(error)}`);
    return true;
  };

/** What comes about in a moment has so long on a machine that others keep busy, in ms. */
const patienceMs = 60_000;

/** Waits until the condition holds. */
export async function eventually(condition: () => boolean, what: string, withinMs = patienceMs): Promise<void> {
  const end = performance.now() + withinMs;
  while (!condition()) {
    assert.ok(performance.now() < end, `not within ${withinMs} ms: ${what}`);
    await sleep(10);
  }
}

/** Asks one host through another for the echo of a number. */
async function askFor(index: number, from: MeshTransport, to: MeshTransport): Promise<void> {
  const reply = await from.request(to.self, echo, bytes(String(index)), { channel: index % 2 === 0 ? 'control' : 'bulk' });
  assert.equal(text(reply), String(index));
}

function pattern(size: number): Buffer {
  return Buffer.alloc(size, `pattern of ${size} `);
}

async function askForBytes(size: number, from: MeshTransport, to: MeshTransport): Promise<void> {
  const reply = await from.request(to.self, echo, [pattern(size)], { channel: 'bulk', deadlineMs: 20_000 });
  assert.ok(pattern(size).equals(reply), `the ${size} bytes came back changed`);
}

/** What every transport must do. */
export function transportSuite(name: string, open: () => Promise<TransportFixture>): void {
  describe(name, () => {
    let fixture: TransportFixture | undefined;
    let a: MeshTransport, b: MeshTransport, c: MeshTransport;

    /** Ends the hosts; the next test gets new ones. */
    const spoil = async (): Promise<void> => {
      await fixture?.[Symbol.asyncDispose]();
      fixture = undefined;
    };

    beforeEach(async () => {
      echo += 2;
      fixture ??= await open();
      [a, b, c] = fixture.hosts;
      for (const host of fixture.hosts) await eventually(() => host.connected().length === 2, `${host.self} is connected with both others`);
    });
    after(spoil);

    test('a request gets its reply, and the handler learns who asked', async () => {
      b.handle(echo, (peer, body) => bytes(`${peer} said ${text(body)}`));
      assert.equal(text(await a.request(b.self, echo, bytes('hello'))), `${a.self} said hello`);
      assert.equal(text(await c.request(b.self, echo, bytes('hello'), { channel: 'bulk' })), `${c.self} said hello`);
    });

    test('a host can ask itself', async () => {
      a.handle(echo, async (_peer, body) => [body, bytes('!')]);
      assert.equal(text(await a.request(a.self, echo, [bytes('he'), bytes('llo')])), 'hello!');
    });

    test('parts of a body arrive joined, empty bodies arrive empty', async () => {
      b.handle(echo, async (_peer, body) => [bytes('<'), body, bytes('>')]);
      assert.equal(text(await a.request(b.self, echo, [bytes('one'), new Uint8Array(0), bytes('two')])), '<onetwo>');
      assert.equal(text(await a.request(b.self, echo, [])), '<>');
      b.handle(echo + 1, () => undefined);
      assert.equal((await a.request(b.self, echo + 1, bytes('x'))).length, 0);
    });

    test('a thousand requests at once get each its own reply, on both channels and both ways', async () => {
      for (const host of [a, b]) host.handle(echo, async (_peer, body) => (Number(text(body)) % 3 === 0 ? body : turn().then(() => body)));
      await Promise.all(Array.from({ length: 1000 }, (_, index) => (index % 5 === 0 ? askFor(index, b, a) : askFor(index, a, b))));
    });

    test('large bodies arrive whole, many of them, both ways at once', async () => {
      const sizes = [1, 65_535, 65_536, 1_000_000, 4_194_560, maxBodyBytes];
      for (const host of [a, b]) host.handle(echo, (_peer, body) => body);
      await Promise.all([...sizes, ...sizes].flatMap((size) => [askForBytes(size, a, b), askForBytes(size, b, a)]));
    });

    test('a body over the limit is refused here, a reply over the limit there', async () => {
      b.handle(echo, () => new Uint8Array(maxBodyBytes + 1));
      await assert.rejects(a.request(b.self, echo, new Uint8Array(maxBodyBytes + 1), { channel: 'bulk' }), hasCode('too-large'));
      await assert.rejects(a.request(b.self, echo, bytes('x')), hasCode('too-large'));
    });

    test('an error crosses with its code and message; what is not ours crosses as a bug', async () => {
      b.handle(echo, () => Promise.reject(new InfinitError('disk-full', 'no room for block x')));
      b.handle(echo + 1, () => {
        throw new Error('oops');
      });
      await assert.rejects(a.request(b.self, echo, bytes('')), { code: 'disk-full', message: 'no room for block x' });
      await assert.rejects(a.request(b.self, echo + 1, bytes('')), { code: 'bug', message: 'oops' });
    });

    test('an unknown kind is answered with unsupported, and the connection goes on', async () => {
      await assert.rejects(a.request(b.self, 999, bytes('')), hasCode('unsupported'));
      assert.ok(a.isConnected(b.self));
    });

    test('a request to nobody is unavailable at once', async () => {
      await assert.rejects(a.request('12D3KooWNobody', echo, bytes('')), hasCode('unavailable'));
      assert.equal(a.notify('12D3KooWNobody', echo, bytes('')), false);
    });

    test('after its deadline a request that left has an unknown outcome, and the handler is told', async () => {
      let call: IncomingCall | undefined;
      b.handle(echo, (_peer, _body, incoming) => {
        call = incoming;
        return new Promise(() => {});
      });
      const started = performance.now();
      await assert.rejects(a.request(b.self, echo, bytes(''), { deadlineMs: 60 }), hasCode('unknown-outcome'));
      const took = performance.now() - started;
      assert.ok(took >= 50, `gave up after ${took} ms`);
      assert.equal(call?.deadlineMs, 60);
      await eventually(() => call!.signal.aborted, 'the handler learns that nobody waits');
    });

    test('a short deadline behind a long one is seen in its own time', async () => {
      b.handle(echo, () => new Promise(() => {}));
      const controller = new AbortController();
      let isOver = false;
      const long = assert
        .rejects(a.request(b.self, echo, bytes(''), { deadlineMs: 600_000, signal: controller.signal }), hasCode('cancelled'))
        .finally(() => (isOver = true));
      await assert.rejects(a.request(b.self, echo, bytes(''), { deadlineMs: 30 }), hasCode('unknown-outcome'));
      assert.ok(!isOver);
      controller.abort();
      await long;
    });

    test('a cancelled request says so, and the handler is told', async () => {
      const controller = new AbortController();
      let signal: AbortSignal | undefined;
      b.handle(echo, (_peer, _body, call) => {
        signal = call.signal;
        return new Promise(() => {});
      });
      const request = a.request(b.self, echo, bytes(''), { signal: controller.signal });
      await eventually(() => signal !== undefined, 'the request arrives');
      controller.abort();
      await assert.rejects(request, hasCode('cancelled'));
      await eventually(() => signal!.aborted, 'the handler learns of it');
      await assert.rejects(a.request(b.self, echo, bytes(''), { signal: controller.signal }), hasCode('cancelled'));
    });

    test('a request that is cancelled in the tick that made it never arrives', async () => {
      let served = 0;
      b.handle(echo, (_peer, body) => {
        served++;
        return body;
      });
      const controller = new AbortController();
      const request = a.request(b.self, echo, bytes('lost'), { signal: controller.signal });
      controller.abort();
      await assert.rejects(request, hasCode('cancelled'));
      await a.request(b.self, echo, bytes('next'));
      assert.equal(served, 1);
    });

    test('who listens is told of what peers ask and tell, by kind, until they stop listening', async () => {
      b.handle(echo, (_peer, body) => body);
      const served: number[] = [];
      const stop = b.onServe((kind) => served.push(kind));
      const asked = (): number => served.filter((kind) => kind === echo).length;
      await a.request(b.self, echo, bytes('1'));
      assert.equal(asked(), 1);
      assert.ok(a.notify(b.self, echo, bytes('2')));
      await eventually(() => asked() === 2, 'the notification is served');
      stop();
      await a.request(b.self, echo, bytes('3'));
      assert.equal(asked(), 2);
    });

    test('notifications arrive in order and want no reply', async () => {
      const heard: string[] = [];
      b.handle(echo, (_peer, body) => {
        heard.push(text(body));
        return undefined;
      });
      for (let index = 0; index < 100; index++) assert.equal(a.notify(b.self, echo, bytes(String(index))), true);
      await eventually(() => heard.length === 100, 'all notifications arrive');
      assert.deepEqual(
        heard,
        Array.from({ length: 100 }, (_, index) => String(index)),
      );
    });

    test('when a host dies its peers are told, and what had left has an unknown outcome', async () => {
      const down: string[] = [];
      a.onPeerDown((peer) => down.push(peer));
      let arrived = false;
      b.handle(echo, () => {
        arrived = true;
        return new Promise(() => {});
      });
      const request = a.request(b.self, echo, bytes(''));
      const rejected = assert.rejects(request, hasCode('unknown-outcome'));
      await eventually(() => arrived, 'the request arrives');
      await fixture!.kill(b);
      await rejected;
      await eventually(() => down.includes(b.self), 'a is told');
      assert.ok(!a.connected().includes(b.self));
      await assert.rejects(a.request(b.self, echo, bytes('')), hasCode('unavailable'));
      assert.ok(a.isConnected(c.self));
      await spoil();
    });

    test('a dropped connection fails what is under way and comes back by itself', async () => {
      const events: string[] = [];
      a.onPeerDown(() => events.push('down'));
      a.onPeerUp(() => events.push('up'));
      let arrived = false;
      const stop = b.handle(echo, () => {
        arrived = true;
        return new Promise(() => {});
      });
      const rejected = assert.rejects(a.request(b.self, echo, bytes('')), hasCode('unknown-outcome'));
      await eventually(() => arrived, 'the request arrives');
      a.drop(b.self, 'a test');
      await rejected;
      await eventually(() => a.isConnected(b.self) && b.isConnected(a.self), 'the connection comes back');
      stop();
      b.handle(echo, (_peer, body) => body);
      assert.equal(text(await a.request(b.self, echo, bytes('again'))), 'again');
      assert.deepEqual(events.slice(0, 2), ['down', 'up']);
    });

    test('bulk in flight to one peer is bounded; the rest waits and then goes', async () => {
      let inside = 0;
      let most = 0;
      const gates: (() => void)[] = [];
      b.handle(echo, async (_peer, body) => {
        inside += body.length;
        most = Math.max(most, inside);
        await new Promise<void>((resolve) => gates.push(resolve));
        inside -= body.length;
        return bytes('ok');
      });
      const requests = Array.from({ length: 40 }, () => a.request(b.self, echo, new Uint8Array(512 * 1024), { channel: 'bulk', deadlineMs: 20_000 }));
      let settled = 0;
      for (const request of requests) void request.then(() => settled++);
      // However slowly they come, so many come before one is done.
      while (inside <= 4 * 1024 * 1024) await sleep(2);
      while (settled < requests.length) {
        gates.shift()?.();
        await sleep(2);
      }
      assert.ok(most <= 8 * 1024 * 1024, `${most} bytes were in flight`);
      await Promise.all(requests);
    });

    test('a bulk request whose deadline passes while it waits did not leave: unavailable', async () => {
      b.handle(echo, () => new Promise(() => {}));
      const block = new Uint8Array(5 * 1024 * 1024);
      const first = assert.rejects(a.request(b.self, echo, block, { channel: 'bulk', deadlineMs: 400 }), hasCode('unknown-outcome'));
      await assert.rejects(a.request(b.self, echo, block, { channel: 'bulk', deadlineMs: 80 }), hasCode('unavailable'));
      await first;
    });

    test('more requests than can wait are refused as overloaded, and none is lost or hung', async () => {
      b.handle(echo, async (_peer, body) => turn().then(() => body));
      const results = await Promise.allSettled(
        Array.from({ length: 20_000 }, () => a.request(b.self, echo, new Uint8Array(8), { deadlineMs: 30_000 })),
      );
      const refused = results.filter((result) => result.status === 'rejected');
      for (const { reason } of refused) hasCode('overloaded')(reason);
      assert.ok(refused.length > 0 && refused.length < 10_000, `${refused.length} refused`);
    });

    test('a closed transport says so', async () => {
      await a[Symbol.asyncDispose]();
      await assert.rejects(a.request(b.self, echo, bytes('')), hasCode('closed'));
      await spoil();
    });

    test('traffic is counted', async () => {
      b.handle(echo, (_peer, body) => body);
      const [beforeA, beforeB] = [a.traffic(), b.traffic()];
      await a.request(b.self, echo, new Uint8Array(1000));
      assert.ok(a.traffic().sentBytes - beforeA.sentBytes >= 1000);
      assert.ok(b.traffic().receivedMessages > beforeB.receivedMessages);
    });
  });
}
