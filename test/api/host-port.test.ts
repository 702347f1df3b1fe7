import assert from 'node:assert/strict';
import { test } from 'node:test';

import { loadDaemonConfig, withPort } from '../../src/api/index.ts';

test('a host without a port is meant at the default one', () => {
  for (const [given, meant] of [
    ['a', 'a:7470'],
    ['host-1.example', 'host-1.example:7470'],
    ['10.0.0.1', '10.0.0.1:7470'],
    ['a:80', 'a:80'],
    ['::1', '[::1]:7470'],
    ['[fe80::1%eth0]', '[fe80::1%eth0]:7470'],
    ['[::1]:80', '[::1]:80'],
    ['http://a', 'http://a'],
    ['', ''],
  ] as const)
    assert.equal(withPort(given), meant);
});

test('--join takes hosts without a port; what others are to be told has one', () => {
  assert.deepEqual(loadDaemonConfig({ join: 'a,b:80,::1' }, {}).join, ['a:7470', 'b:80', '[::1]:7470']);
  assert.throws(() => loadDaemonConfig({ advertise: 'a' }, {}), { code: 'bad-argument', message: '--advertise: "a" is not HOST:PORT' });
});
