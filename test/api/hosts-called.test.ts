import assert from 'node:assert/strict';
import { test } from 'node:test';

import { hostsCalled } from '../../src/api/index.ts';

test('a peer id means its host alone, whatever other hosts call themselves', () => {
  const [a, b] = [
    { name: 'idOfB', peer: 'idOfA' },
    { name: 'idOfA', peer: 'idOfB' },
  ];
  assert.deepEqual(hostsCalled('idOfA', [a, b]), [a]);
  assert.deepEqual(hostsCalled('idOfB', [a, b]), [b]);
});

test('a name means all that have it', () => {
  const hosts = ['1', '2', '3'].map((peer) => ({ name: peer === '3' ? 'other' : 'twin', peer }));
  assert.deepEqual(hostsCalled('twin', hosts), hosts.slice(0, 2));
  assert.deepEqual(hostsCalled('nobody', hosts), []);
});
