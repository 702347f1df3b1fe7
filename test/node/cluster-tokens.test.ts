import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import { Cluster, type ClusterContext } from '../../src/node/members/cluster.ts';

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

test('who joined with a token that is revoked is expelled one after the other, as far as blocks keep their majority', async () => {
  const done: string[] = [];
  const overlay = {
    transport: { handle: () => {}, onPeerUp: () => {} },
    member: (peer: string) => ({ name: `host ${peer}` }),
    revokeToken: async (id: string) => void done.push(id),
    hostsOfToken: () => ['b', 'c', 'd'],
  };
  const removals = {
    remove: async (peer: string, which: string, unsafe: boolean) => {
      if (peer === 'c' && !unsafe) throw new InfinitError('in-use', `${which}: some blocks have no majority without it`);
      done.push(peer);
    },
  };
  using cluster = new Cluster({ overlay, removals } as unknown as ClusterContext);
  const message = 'the token is revoked, expelled: host b. host c: some blocks have no majority without it';
  await assert.rejects(cluster.revokeToken('t', { hosts: true, unsafe: false }), { code: 'in-use', message });
  assert.deepEqual(done.splice(0), ['t', 'b']);
  assert.deepEqual(await cluster.revokeToken('t', { hosts: true, unsafe: true }), ['b', 'c', 'd']);
  assert.deepEqual(done.splice(0), ['t', 'b', 'c', 'd']);
  assert.deepEqual(await cluster.revokeToken('t', { hosts: false, unsafe: false }), []);
  assert.deepEqual(done, ['t']);
});
