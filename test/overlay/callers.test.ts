import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { parseAddress } from '../../src/overlay/addresses.ts';
import { Callers } from '../../src/overlay/libp2p/callers.ts';
import { addressesOf, Cluster } from './fixture.ts';

describe('callers that do not show who they are', () => {
  test('of one address have some places, of all addresses more, and none of those that members need', () => {
    const callers = new Callers((host) => host === '10.0.0.1');
    const taken = (host: string, from = 1): number =>
      Array.from({ length: 300 }, (_, index) => callers.began({ host, port: from + index })).filter(Boolean).length;
    assert.equal(taken('10.0.1.1'), 64);
    assert.deepEqual(
      ['10.0.1.2', '10.0.1.3', '10.0.1.4', '10.0.1.5'].map((host) => taken(host)),
      [64, 64, 64, 0],
    );
    assert.equal(taken('10.0.0.1'), 192, 'where a member is, and who else is behind its address');
    for (let port = 1; port <= 300; port++) for (let time = 0; time < 2; time++) callers.ended({ host: '10.0.0.1', port });
    assert.equal(taken('10.0.1.5'), 0);
    for (let port = 1; port <= 300; port++) callers.ended({ host: '10.0.1.1', port });
    assert.equal(taken('10.0.1.1', 1000), 64, 'again');
  });

  test('and ask for one protocol after the other are hung up on soon', async () => {
    await using cluster = await Cluster.onLoopback();
    const host = await cluster.first();
    const { host: address, port } = parseAddress(addressesOf(host)[0]!);
    const socket = connect({ host: address, port });
    socket.on('error', () => {});
    let said = '';
    socket.setEncoding('latin1').on('data', (text: string) => (said += text));
    socket.write(`\x13/multistream/1.0.0\n${'\x07/noise\n'.repeat(3000)}`, 'latin1');
    await new Promise((resolve) => socket.once('close', resolve));
    assert.ok(said.split('na\n').length < 100, 'not all was answered');
    const friend = await cluster.join('b', host);
    assert.ok(friend.transport.isConnected(host.self));
  });

  test('keep nobody out, though two addresses call as often as they can', async () => {
    await using cluster = await Cluster.onLoopback();
    const host = await cluster.first();
    const at = parseAddress(addressesOf(host)[0]!);
    const silent = new Set<Socket>();
    let over = false;
    const call = (localAddress: string): void => {
      const socket = connect({ ...at, localAddress });
      silent.add(socket);
      socket
        .on('error', () => {})
        .on('close', () => {
          silent.delete(socket);
          if (!over) setImmediate(call, localAddress);
        });
      if (over) socket.destroy();
    };
    for (let index = 0; index < 600; index++) call(`127.0.0.${2 + (index % 2)}`);
    // So many a second are looked at, of each address.
    await sleep(2500);
    try {
      const friend = await cluster.join('b', host);
      assert.ok(friend.transport.isConnected(host.self));
    } finally {
      over = true;
      for (const socket of silent) socket.destroy();
    }
  });
});
