import assert from 'node:assert/strict';
import { test } from 'node:test';

import { loadDaemonConfig } from '../../src/api/index.ts';
import { codeOf, messageOf } from '../../src/base/index.ts';

test('a flag wins over the environment, that over the default', () => {
  const environment = { INFINIT_DISCOVER: 'mdns', INFINIT_TLS: 'stock' };
  const config = loadDaemonConfig({ discover: 'swarm,mdns' }, environment);
  assert.deepEqual(config.discover, ['swarm', 'mdns']);
  assert.equal(config.tls, 'stock');
  assert.equal(config.dht, false);
  assert.deepEqual(loadDaemonConfig({ discover: 'none' }, {}).discover, []);
  assert.equal(loadDaemonConfig({}, {}).idleLatency, 'request');
  assert.equal(loadDaemonConfig({}, { INFINIT_IDLE_LATENCY: 'leave' }).idleLatency, 'leave');
  assert.deepEqual(loadDaemonConfig({ advertise: 'a.example:1,[fd00::1]:2' }, {}).advertise, ['a.example:1', '[fd00::1]:2']);
});

test('a capacity of 0 stores nothing; without one it is what the disk has', () => {
  assert.equal(loadDaemonConfig({ capacity: '0' }, {}).capacity, 0);
  assert.equal(loadDaemonConfig({ capacity: '2G' }, {}).capacity, 2 * 1024 ** 3);
  for (const text of ['', 'none', 'unlimited']) assert.equal(loadDaemonConfig({ capacity: text }, {}).capacity, undefined);
});

const wrong = [
  ['discover', 'broadcast', /--discover: "broadcast" is not one of swarm, mdns/],
  ['tls', 'none', /--tls: "none" is not one of native, stock/],
  ['idle-latency', 'no', /--idle-latency: "no" is not request or leave/],
  ['dht', 'yes', /--dht: "yes" is not on or off/],
  ['advertise', 'host', /--advertise: "host" is not HOST:PORT/],
  ['join', 'a:7470,http://b', /--join: "http:\/\/b" is not HOST:PORT/],
  ['listen', 'a:99999', /--listen: "a:99999" is not IP:PORT/],
  ['capacity', '5', /--capacity: "5" is not 0 \(store nothing\) or a size of at least 1M/],
  ['replicas', '2', /--replicas: "2" is not 1, 3, 5, 7 or 9/],
] as const;

for (const [flag, value, message] of wrong) {
  test(`--${flag} ${value} is refused by name`, () => {
    assert.throws(
      () => loadDaemonConfig({ [flag]: value }, {}),
      (error) => codeOf(error) === 'bad-argument' && message.test(messageOf(error)),
    );
  });
}
