import assert from 'node:assert/strict';
import { test } from 'node:test';

import { tokenStates } from '../../src/node/members/token-states.ts';

const now = 1_800_000_000_000;
const token = { rights: ['store', 'write'] as const, expiresMs: now + 1, uses: 2, revoked: false, hosts: [] as string[] };

test('what hosts know of one token is one entry: whoever joined, and revoked where one knows it', () => {
  const states = tokenStates(
    [
      { ...token, id: 'a', hosts: ['h1'] },
      { ...token, id: 'a', hosts: ['h2', 'h1'] },
      { ...token, id: 'b', expiresMs: now + 5 },
      { ...token, id: 'b', expiresMs: now + 5, revoked: true },
      { ...token, id: 'c', expiresMs: now, hosts: ['h3'] },
      { ...token, id: 'd' },
    ],
    now,
  );
  assert.deepEqual(
    states.map(({ id, state, hosts }) => `${id} ${state} ${hosts.join()}`),
    ['b revoked ', 'a used up h1,h2', 'd open ', 'c expired h3'],
  );
});

test('a host that left and joined anew under its name took two uses', () => {
  const [state] = tokenStates(
    [
      { ...token, id: 'a', hosts: ['h3', 'p2'], peers: ['p1', 'p2'] },
      { ...token, id: 'a', hosts: ['h3', 'h3'], peers: ['p2', 'p1'] },
      // Of an earlier version.
      { ...token, id: 'a', hosts: ['h3'] },
    ],
    now,
  );
  assert.deepEqual([state!.state, state!.hosts], ['used up', ['h3', 'h3']]);
});
