import assert from 'node:assert/strict';
import { test } from 'node:test';

import { knownTokens } from '../../src/overlay/index.ts';
import { maxKnownTokens } from '../../src/overlay/known-tokens.ts';

const token = { id: 'ab', rights: ['store', 'write'], expiresMs: 1_800_000_000_000, uses: 2, revoked: false, hosts: ['h1'] };

test('of what a host says of tokens only what is well-formed counts', () => {
  const bad = [
    null,
    7,
    [],
    { ...token, id: 7 },
    { ...token, id: 'x'.repeat(33) },
    { ...token, rights: 'store' },
    { ...token, rights: [1] },
    { ...token, expiresMs: 1e300 },
    { ...token, expiresMs: 8.64e15 + 1 },
    { ...token, expiresMs: '1' },
    { ...token, uses: 1.5 },
    { ...token, revoked: 'no' },
    { ...token, hosts: undefined },
    { ...token, hosts: [null] },
    { ...token, hosts: ['h'.repeat(1000)] },
  ];
  assert.deepEqual(knownTokens([...bad, { ...token, more: 1 }]), [token]);
  for (const none of [null, {}, 'list', 1]) assert.throws(() => knownTokens(none), { code: 'bad-argument' });
});

test('a host that tells of tokens without end is heard up to a bound', () => {
  assert.equal(knownTokens(Array.from({ length: maxKnownTokens + 5 }, () => token)).length, maxKnownTokens);
});
