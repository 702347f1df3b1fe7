import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Cluster, type ClusterContext } from '../../src/node/cluster.ts';

const token = { id: 'ab', rights: ['store'], expiresMs: 1_800_000_000_000, uses: 1, revoked: false, hosts: [] };

/** What the tokens are where each of some peers answers so. */
async function tokensOf(answers: readonly string[]): Promise<readonly string[]> {
  const transport = {
    handle: () => {},
    onPeerUp: () => {},
    connected: () => answers.keys().map(String).toArray(),
    request: async (peer: string) => Buffer.from(answers[Number(peer)]!),
  };
  // The rest of a host is not looked at.
  const overlay = { transport, tokens: async () => [{ ...token, id: 'own' }] };
  using cluster = new Cluster({ overlay } as unknown as ClusterContext);
  return (await cluster.tokens()).map(({ id, state, expiresAt }) => `${id} ${state} ${expiresAt}`);
}

test('a host that answers nonsense takes nothing from the list of tokens', async () => {
  const good = ['own open 2027-01-15T08:00:00.000Z', 'ab open 2027-01-15T08:00:00.000Z'];
  for (const bad of [
    '{}',
    'nonsense',
    '[null]',
    '[{"id":"x"}]',
    JSON.stringify([{ ...token, expiresMs: 1e300 }]),
    JSON.stringify([{ ...token, hosts: 7 }]),
  ])
    assert.deepEqual((await tokensOf([bad, JSON.stringify([token])])).toSorted().toReversed(), good, bad);
});
