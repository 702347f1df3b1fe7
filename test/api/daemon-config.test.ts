import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { loadDaemonConfig, mistypedVariables } from '../../src/api/index.ts';
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

test('a mistyped variable is named with the one that was meant, and what is no setting of ours is let be', () => {
  assert.deepEqual(
    mistypedVariables({ INFINIT_TOKN: '/t', INFINIT_REPLICA: '1', INFINIT_STATEDIR: '/d', INFINIT_TOKEN: '/t', INFINIT_CONFIG: '/c' }),
    [
      'INFINIT_TOKN is no setting: did you mean INFINIT_TOKEN?',
      'INFINIT_REPLICA is no setting: did you mean INFINIT_REPLICAS?',
      'INFINIT_STATEDIR is no setting: did you mean INFINIT_STATE_DIR?',
    ],
  );
  assert.deepEqual(mistypedVariables({ INFINIT_HOLDER: '1', INFINIT_DAEMON_CHILD: '1', INFINIT_PORT_7470_TCP: 'x', TOKN: '' }), []);
});

const wrong = [
  ['discover', 'broadcast', /--discover: "broadcast" is not one of swarm, mdns/],
  ['tls', 'none', /--tls: "none" is not one of native, stock/],
  ['idle-latency', 'no', /--idle-latency: "no" is not request or leave/],
  ['dht', 'yes', /--dht: "yes" is not on or off/],
  ['advertise', 'host', /--advertise: "host" is not HOST:PORT/],
  ['join', 'a:7470,http://b', /--join: "http:\/\/b" is not HOST:PORT/],
  ['join', 'a:7470,b:99999', /--join: "b:99999" is not HOST:PORT/],
  ['join', 'a:0', /--join: "a:0" is not HOST:PORT/],
  ['advertise', 'a:65536', /--advertise: "a:65536" is not HOST:PORT/],
  ['state-dir', '', /--state-dir: "" is not a path/],
  ['mount-dir', '', /--mount-dir: "" is not a path/],
  ['control-socket', '', /--control-socket: "" is not a path/],
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

test('the config file has texts, numbers and lists of texts, and what is neither is refused by name', (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-config-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = path.join(directory, 'config.json');
  const load = (content: object): ReturnType<typeof loadDaemonConfig> => {
    writeFileSync(file, JSON.stringify(content));
    return loadDaemonConfig({}, {}, file);
  };
  const { join, replicas, stateDir } = load({ join: ['a', 'b:1'], replicas: 5, 'state-dir': '/state' });
  assert.deepEqual([join, replicas, stateDir], [['a:7470', 'b:1'], 5, '/state']);
  for (const [content, message] of [
    [{ 'state-dir': null }, /"state-dir" in the config file: null is no text/],
    [{ token: {} }, /"token" in the config file: \{\} is no text/],
    [{ name: ['a', 1] }, /"name" in the config file: \["a",1\] is no text/],
    [{ 'state-dir': '' }, /"state-dir" in the config file: "" is not a path/],
  ] as const)
    assert.throws(() => load(content), { code: 'bad-argument', message });
});
