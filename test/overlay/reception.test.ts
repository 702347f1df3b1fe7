import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError, silentLogger } from '../../src/base/index.ts';
import { frameType, headerBytes, outgoing, writeHeader } from '../../src/exchange/index.ts';
import type { Gate } from '../../src/overlay/gate.ts';
import { Reception } from '../../src/overlay/reception.ts';
import { protocols, type WireConnection, type WireStream } from '../../src/overlay/wire.ts';

/** A peer that calls, and what becomes of its connection. */
class Caller {
  aborted = false;
  readonly peer: string;
  readonly connection: WireConnection;
  #arrive: (chunk: Uint8Array) => void = () => {};
  #closed: (() => void)[] = [];

  constructor(peer: string, host = peer) {
    this.peer = peer;
    this.connection = {
      peer,
      address: `${host}:1`,
      dialled: false,
      openStream: () => Promise.reject(new InfinitError('unsupported', 'nothing is opened to it')),
      abort: () => this.hangUp(),
      onClose: (listener) => this.#closed.push(listener),
    };
  }

  hangUp(): void {
    this.aborted = true;
    for (const listener of this.#closed.splice(0)) listener();
  }

  get stream(): WireStream {
    return {
      send: () => true,
      onData: (listener) => (this.#arrive = listener),
      onDrain: () => {},
      onClose: () => {},
      abort: () => {},
    };
  }

  /** Connects, where it is let in that far. */
  comes(reception: Reception): boolean {
    if (!reception.admits(this.peer, 'inbound', this.connection.address)) return false;
    reception.watch(this.connection);
    return true;
  }

  /** And shows what it has. */
  call(reception: Reception): boolean {
    if (!this.comes(reception)) return false;
    reception.receive(protocols.admission, this.stream, this.connection);
    return true;
  }

  show(): void {
    const header = Buffer.alloc(headerBytes);
    writeHeader(header, 0, outgoing(frameType.request, 0, 1, 0, []));
    this.#arrive(header);
  }
}

function reception(members = new Set<string>()): Reception {
  const gate: Gate = {
    credential: () => new Uint8Array(0),
    standing: (peer) => (members.has(peer) ? 'member' : 'unknown'),
    admit: (peer) => {
      if (peer.startsWith('bad')) throw new InfinitError('denied', 'no');
      members.add(peer);
    },
  };
  const nothing = (): void => {};
  return new Reception(gate, silentLogger, nothing, nothing, nothing);
}

test('who was admitted takes no place of a stranger any more: a hundred hosts that come at once get in', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const host = reception();
  const callers = Array.from({ length: 100 }, (_, index) => new Caller(`good-${index}`));
  for (const caller of callers) {
    assert.ok(caller.call(host), `${caller.peer} may show its passport`);
    caller.show();
  }
  t.mock.timers.tick(10_000);
  assert.ok(callers.every(({ aborted }) => !aborted));
});

test('of strangers that show nothing, or nothing good, only so many are there at once, and not for long', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const host = reception();
  const callers = Array.from({ length: 40 }, (_, index) => new Caller(index % 2 === 0 ? `bad-${index}` : `mute-${index}`));
  const heard = callers.filter((caller) => caller.call(host));
  assert.equal(heard.length, 32);
  for (const caller of heard) if (caller.peer.startsWith('bad')) caller.show();
  t.mock.timers.tick(6000);
  assert.ok(heard.every(({ aborted }) => aborted));
  assert.ok(new Caller('good').call(host));
});

test('strangers of one address do not take all places', () => {
  const host = reception();
  const callers = Array.from({ length: 40 }, (_, index) => new Caller(`mute-${index}`, '10.0.0.1'));
  assert.equal(callers.filter((caller) => caller.call(host)).length, 16);
  const friend = new Caller('good', '10.0.0.2');
  assert.ok(friend.call(host));
  friend.show();
  for (const { connection } of [...callers, friend]) connection.abort('over');
});

test('of a member only so many connections are there at once, and none for long on which it begins no session', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const host = reception(new Set(['member', 'other']));
  const callers = Array.from({ length: 40 }, () => new Caller('member'));
  const heard = callers.filter((caller) => caller.comes(host));
  assert.equal(heard.length, 16);
  assert.ok(new Caller('other').comes(host), 'others are not kept out by it');
  // That are past the gate at the same moment.
  const late = new Caller('member');
  host.watch(late.connection);
  assert.ok(late.aborted);
  const [busy, ...idle] = heard as [Caller, ...Caller[]];
  host.receive(protocols.control, busy.stream, busy.connection);
  t.mock.timers.tick(7000);
  assert.ok(heard.every(({ aborted }) => !aborted));
  t.mock.timers.tick(2000);
  assert.ok(idle.every(({ aborted }) => aborted));
  assert.ok(new Caller('member').comes(host), 'there is room for it again');
});

test('who was let in and begins no session is hung up on as well', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const host = reception();
  const caller = new Caller('good');
  caller.call(host);
  caller.show();
  for (const ms of [5000, 7000]) t.mock.timers.tick(ms);
  assert.ok(!caller.aborted);
  t.mock.timers.tick(2000);
  assert.ok(caller.aborted);
});
