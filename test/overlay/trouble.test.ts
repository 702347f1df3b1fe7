import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import { describeFailure, troubleOf } from '../../src/overlay/trouble.ts';

test('an address that is of no use is described in words of ours, whatever the network library says', () => {
  for (const [error, words] of [
    [new Error('Can not dial self'), 'a:1: that is this host itself'],
    [new InfinitError('bad-argument', 'this is the address of this host itself'), 'a:1: that is this host itself'],
    [new Error('The multiaddr connection is blocked by gater.denyOutboundEncryptedConnection'), 'a:1: a host answers there that was expelled'],
    [new Error('The operation was aborted due to timeout'), 'a:1: it does not answer'],
    [Object.assign(new Error('connect'), { code: 'EHOSTUNREACH' }), 'a:1: there is no route to it (EHOSTUNREACH)'],
    [new InfinitError('denied', 'the token was used'), 'a:1: the token was used'],
  ] as const)
    assert.equal(describeFailure('a:1', error), words);
  assert.equal(troubleOf(new Error('Can not dial self')), 'self');
});
