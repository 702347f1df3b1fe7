import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import type { Transport } from '../../src/overlay/index.ts';
import { AntiEntropy, newsKind } from '../../src/overlay/membership/anti-entropy.ts';
import type { MemberTable } from '../../src/overlay/membership/member-table.ts';

test('a host whose roster differs from that of many asks a few of them at a time', async () => {
  const asked: { readonly peer: string; readonly answer: (bytes: Uint8Array) => void }[] = [];
  const transport = {
    handle: () => () => {},
    onPeerDown: () => () => {},
    request: (peer: string) => new Promise<Uint8Array>((answer) => asked.push({ peer, answer })),
  };
  const table = {
    digest: 'mine',
    summary: () => ({ members: [], revoked: [] }),
    pick: () => ({ entries: [], revocations: [] }),
    isRevoked: () => false,
  };
  let now = 0;
  const clock = { monotonicMs: () => now, wallMs: () => now };
  using sync = new AntiEntropy(
    transport as unknown as Transport,
    table as unknown as MemberTable,
    () => Uint8Array.of(1),
    clock,
    silentLogger,
    () => {},
  );
  const peers = Array.from({ length: 100 }, (_, index) => `peer-${index}`);
  const heartbeats = (): void => {
    for (const peer of peers) sync.compare(peer, 'theirs');
    now += 250;
  };
  for (let count = 0; count < 8; count++) heartbeats();
  const before = asked.length;
  assert.ok(before > 0 && before <= 5, `${before} asked at once`);
  for (const { answer } of asked) answer(Buffer.from('{"entries":[],"revocations":[],"wanted":[],"wantedRevocations":[]}'));
  await new Promise((resolve) => setImmediate(resolve));
  heartbeats();
  // Where the first had nothing new, others are asked.
  const peersAsked = new Set(asked.map(({ peer }) => peer));
  assert.ok(asked.length > before && peersAsked.size === asked.length);
});

test('rosters travel beside the heartbeats, not before them', async () => {
  const channels: (string | undefined)[] = [];
  const transport = {
    handle: () => () => {},
    onPeerDown: () => () => {},
    request: async (_peer: string, _kind: number, _body: Uint8Array, options: { readonly channel?: string }) => {
      channels.push(options.channel);
      return Buffer.from('{"entries":[],"revocations":[],"wanted":["a"],"wantedRevocations":[]}');
    },
    notify: (_peer: string, _kind: number, _body: Uint8Array, options: { readonly channel?: string }) => channels.push(options.channel) > 0,
  };
  const table = {
    summary: () => ({ members: [], revoked: [] }),
    pick: () => ({ entries: [{ record: 'r', passport: 'p' }], revocations: [] }),
    isRevoked: () => false,
  };
  using sync = new AntiEntropy(
    transport as unknown as Transport,
    table as unknown as MemberTable,
    () => Uint8Array.of(1),
    { monotonicMs: () => 0, wallMs: () => 0 },
    silentLogger,
    () => {},
  );
  await sync.sync('b');
  assert.deepEqual(channels, ['bulk', 'bulk']);
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** One whose transport keeps what it is to serve, and whose table counts what it is to merge. */
function served(reply: object = {}): {
  readonly sync: AntiEntropy;
  readonly handlers: Map<number, (peer: string, body: Uint8Array) => Promise<unknown>>;
  readonly merged: string[];
  readonly picked: (readonly unknown[])[];
} {
  const handlers = new Map<number, (peer: string, body: Uint8Array) => Promise<unknown>>();
  const [merged, picked] = [[] as string[], [] as (readonly unknown[])[]];
  const transport = {
    handle: (kind: number, handler: (peer: string, body: Uint8Array) => Promise<unknown>) => (handlers.set(kind, handler), () => {}),
    onPeerDown: () => () => {},
    connected: () => [],
    request: () => Promise.resolve(Buffer.from(JSON.stringify(reply))),
    notify: () => true,
  };
  const table = {
    summary: () => ({ members: [], revoked: [] }),
    isRevoked: () => false,
    mergeRevocation: (text: string, _cluster: Uint8Array, from: string) => void merged.push(`${from} ${text}`),
    pick: (...what: (readonly unknown[])[]) => (picked.push(...what), { entries: [], revocations: [] }),
  };
  const sync = new AntiEntropy(
    transport as unknown as Transport,
    table as unknown as MemberTable,
    () => Uint8Array.of(1),
    { monotonicMs: () => 0, wallMs: () => 0 },
    silentLogger,
    () => {},
  );
  return { sync, handlers, merged, picked };
}

test('what a peer wants is sent once, however often it names it', async () => {
  const many = (name: string): string[] => Array.from({ length: 100_000 }, () => name);
  const { sync, picked } = served({ wanted: many('a'), wantedRevocations: many('host:b') });
  using _ = sync;
  await sync.sync('liar');
  assert.deepEqual(
    picked.map(({ length }) => length),
    [1, 1],
  );
});

test('a peer that sends much news at once has no more signatures checked in a turn than with one message, and holds no other peer up', async () => {
  const { sync, handlers, merged } = served();
  using _ = sync;
  const news = Buffer.from(JSON.stringify({ entries: [], revocations: Array.from({ length: 16 }, (_, index) => `r${index}`) }));
  const take = (peer: string): Promise<unknown> => handlers.get(newsKind)!(peer, news);
  const taken = Array.from({ length: 200 }, () => take('liar'));
  await turn();
  assert.ok(merged.length <= 16, `${merged.length} in the first turn`);
  await take('honest');
  assert.ok(merged.length < 200, `${merged.length} until the news of another were merged`);
  await Promise.all(taken);
  assert.equal(merged.length, 201 * 16);
});
