import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Cluster, type ClusterContext } from '../../src/node/members/cluster.ts';
import { nodeKinds } from '../../src/node/kinds.ts';

test('a host drains another only with the right to invite and expel', async () => {
  const asked: unknown[] = [];
  const handlers = new Map<number, (peer: string, body: Uint8Array) => Promise<unknown>>();
  const transport = {
    handle: (kind: number, handler: (peer: string, body: Uint8Array) => Promise<unknown>) => handlers.set(kind, handler),
    onPeerUp: () => {},
  };
  const rights: Readonly<Record<string, readonly string[]>> = { inviter: ['invite'], worker: ['store', 'write'] };
  const overlay = {
    transport,
    rightsOf: (peer: string) => rights[peer],
    member: (peer: string) => ({ name: peer }),
    setState: (state: string) => asked.push(state),
  };
  // The rest of a host is not looked at.
  using _ = new Cluster({ overlay, drain: async (on: boolean) => void asked.push(on) } as unknown as ClusterContext);
  const drain = (peer: string, on: boolean): Promise<unknown> => handlers.get(nodeKinds.drain)!(peer, Buffer.from(JSON.stringify(on)));
  for (const on of [true, false]) await assert.rejects(drain('worker', on), { code: 'denied', message: /host worker has no right/ });
  assert.deepEqual(asked, []);
  await drain('inviter', true);
  await drain('inviter', false);
  assert.deepEqual(asked, [true, 'draining', false, 'up']);
});

test('only a host that may write has the catalogue read anew', async () => {
  let news = 0;
  const handlers = new Map<number, (peer: string) => Promise<unknown>>();
  const transport = { handle: (kind: number, handler: (peer: string) => Promise<unknown>) => handlers.set(kind, handler), onPeerUp: () => {} };
  const rights: Readonly<Record<string, readonly string[]>> = { inviter: ['invite'], worker: ['store', 'write'] };
  const overlay = { transport, rightsOf: (peer: string) => rights[peer] };
  using _ = new Cluster({ overlay, onCatalogueNews: () => news++ } as unknown as ClusterContext);
  for (const peer of ['inviter', 'worker']) await handlers.get(nodeKinds.catalogueChanged)!(peer);
  assert.equal(news, 1);
});
