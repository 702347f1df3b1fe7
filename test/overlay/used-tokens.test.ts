import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import type { Overlay } from '../../src/overlay/index.ts';
import { eventually } from '../suites/transport-suite.ts';
import { Cluster } from './fixture.ts';

const heartbeat = { intervalMs: 40, suspectMs: 400, downMs: 800 };

function idOf(tokenFile: string): string {
  return /token-(\w+)$/.exec(tokenFile)![1]!;
}

/** Which hosts used a token, as a host knows it. */
async function usersOf(tokenFile: string, host: Overlay): Promise<readonly string[]> {
  return (await host.tokens()).find(({ id }) => id === idOf(tokenFile))?.peers ?? [];
}

test('a member that takes a further token stays among the users of the first, which it uses no more', async () => {
  await using cluster = await Cluster.inMemory({ heartbeat });
  const a = await cluster.first();
  const join = [`memory:${a.self}`];
  const first = await cluster.tokenFile(a, { uses: 1 });
  const b = await cluster.open('b', { tokenFile: first, join });
  await b.whenJoined();
  const second = await cluster.tokenFile(a, { uses: 1, rights: ['store', 'write', 'invite'] });
  await b.join([], await readFile(second, 'utf8'));
  await eventually(() => a.rightsOf(b.self).includes('invite'), 'its new rights are known');
  for (const token of [first, second]) assert.deepEqual(await usersOf(token, a), [b.self]);
  // Started with the first token still in its environment it keeps what the second gave it.
  await cluster.stop(b);
  const again = await cluster.open('b', { tokenFile: first, join });
  await eventually(() => again.transport.isConnected(a.self), 'b is back');
  assert.ok(again.rightsOf(again.self).includes('invite'));
});
