import assert from 'node:assert/strict';
import { cp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { codeOf, createLogger, type Logger, systemRandom } from '../../src/base/index.ts';
import { KeyPair, peerIdOf } from '../../src/overlay/index.ts';
import { openLibp2pNode } from '../../src/overlay/libp2p/node.ts';
import { Libp2pTransport } from '../../src/overlay/libp2p-transport.ts';
import type { MeshTransport } from '../../src/overlay/transport.ts';
import { olderState } from '../../src/overlay/trouble.ts';
import type { WireEvents, WireNode } from '../../src/overlay/wire.ts';
import { freePort } from '../suites/free-port.ts';
import { eventually } from '../suites/transport-suite.ts';
import { addressesOf, Cluster, clockOff, seenBy } from './fixture.ts';

const yearMs = 365 * 24 * 3_600_000;
const withinReason = (): AbortSignal => AbortSignal.timeout(15_000);

async function canListen(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** Everything that was logged. */
function recordingLogger(): { readonly logger: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  return { lines, logger: createLogger('debug', (_level, line) => lines.push(line)) };
}

describe('the overlay on loopback', () => {
  test('a host alone listens nowhere; cluster init opens the port', async () => {
    await using cluster = await Cluster.onLoopback();
    const port = await freePort();
    const host = await cluster.open('a', { listen: `127.0.0.1:${port}` });
    assert.equal(host.clusterId, undefined);
    assert.ok(await canListen(port));
    await host.initCluster();
    assert.ok(!(await canListen(port)));
    assert.deepEqual(addressesOf(host), [`127.0.0.1:${port}`]);
    await assert.rejects(host.initCluster(), { code: 'already-exists' });
  });

  test('a port that is taken is a clear error, and no half-made cluster stays behind', async () => {
    await using cluster = await Cluster.onLoopback();
    const first = await cluster.first();
    const second = await cluster.open('b', { listen: addressesOf(first)[0]! });
    await assert.rejects(second.initCluster(), {
      code: 'bad-argument',
      message: /^cannot listen on 127\.0\.0\.1:\d+: another process listens there/,
    });
    assert.equal(second.clusterId, undefined);
  });

  test('hosts join through any member, and all see all', async () => {
    await using cluster = await Cluster.onLoopback();
    const a = await cluster.first('a', { zone: 'north' });
    const b = await cluster.join('b', a, { zone: 'south', capacity: 42 });
    const c = await cluster.open('c', { tokenFile: await cluster.tokenFile(a), join: addressesOf(b), capacity: 0 });
    await c.whenJoined(withinReason());
    await eventually(() => [a, b, c].every((host) => host.members().length === 3 && host.transport.connected().length === 2), 'all see all');
    assert.equal(seenBy(c, b)?.zone, 'south');
    assert.equal(seenBy(a, b)?.capacity, 42);
    assert.deepEqual(a.rightsOf(b.self), ['store', 'write']);
    await assert.rejects(b.createToken({}), { code: 'denied' });
  });

  test('a token that nobody could list is not made', async () => {
    await using cluster = await Cluster.onLoopback();
    const host = await cluster.first();
    for (const wrong of [0, -1, Number.NaN, 1e17, 1e300, Infinity]) {
      await assert.rejects(host.createToken({ expiresInMs: wrong }), { code: 'bad-argument', message: /36525 days at the most/ });
      await assert.rejects(host.createToken({ passportMs: wrong }), { code: 'bad-argument' });
    }
    const { id } = await host.createToken({ expiresInMs: 3e12, passportMs: 3e12 });
    assert.deepEqual(
      (await host.tokens()).map((token) => token.id),
      [id],
    );
  });

  test('what a host that may not store offers counts as nothing, on every host', async () => {
    await using cluster = await Cluster.onLoopback();
    const a = await cluster.first();
    const b = await cluster.join('b', a, { tokenFile: await cluster.tokenFile(a, { rights: ['write'] }), capacity: 42 });
    await eventually(() => seenBy(a, b) !== undefined, 'it is seen');
    assert.deepEqual([seenBy(a, b)?.capacity, seenBy(b, b)?.capacity], [0, 0]);
  });

  test('a running host can join by a call', async () => {
    await using cluster = await Cluster.onLoopback();
    const a = await cluster.first();
    const b = await cluster.open('b');
    await b.join(addressesOf(a), (await a.createToken({})).text);
    await b.whenJoined(withinReason());
    assert.equal(b.clusterId, a.clusterId);
  });

  test('a member that is told of a token file which is gone starts all the same', async () => {
    await using cluster = await Cluster.onLoopback();
    const a = await cluster.first();
    const b = await cluster.join('b', a);
    await cluster.stop(b);
    const again = await cluster.open('b', { tokenFile: path.join(cluster.directory, 'thrown-away'), join: addressesOf(a) });
    await eventually(() => again.transport.isConnected(a.self), 'b is connected again');
  });

  test('a restarted host needs neither token nor --join, though all others have new addresses', async () => {
    await using cluster = await Cluster.onLoopback();
    const a = await cluster.first();
    const b = await cluster.join('b', a);
    const c = await cluster.join('c', a);
    await eventually(() => [a, b, c].every((host) => host.transport.connected().length === 2), 'all are connected');
    await cluster.stop(c);
    await eventually(() => seenBy(a, c)?.liveness === 'down', 'c is seen as down');
    const before = seenBy(a, c)!.addresses;
    const again = await cluster.open('c');
    await eventually(() => again.transport.connected().length === 2, 'c is connected again');
    await eventually(() => seenBy(a, again)?.addresses.join() !== before.join(), 'its new address is known');
    assert.equal(again.self, c.self);
    assert.equal(seenBy(a, again)?.incarnation, 2);
    await assert.rejects(readFile(path.join(cluster.directory, 'c', 'cluster.key')), { code: 'ENOENT' });
  });

  test("keys and tokens are for the daemon's user alone and never in the log", async () => {
    await using cluster = await Cluster.onLoopback();
    const { logger, lines } = recordingLogger();
    const a = await cluster.first('a', { logger });
    const tokenFile = await cluster.tokenFile(a);
    const b = await cluster.open('b', { tokenFile, join: addressesOf(a), logger });
    await b.whenJoined(withinReason());
    const secrets = [(await readFile(tokenFile, 'utf8')).trim()];
    for (const host of ['a', 'b']) {
      for (const name of await readdir(path.join(cluster.directory, host))) {
        const file = path.join(cluster.directory, host, name);
        assert.equal((await stat(file)).mode & 0o777, 0o600, file);
        if (name.endsWith('.key')) secrets.push((await readFile(file, 'utf8')).trim());
      }
    }
    assert.equal(secrets.length, 4);
    for (const secret of secrets)
      assert.ok(
        lines.every((line) => !line.includes(secret.slice(0, 40))),
        'no secret is logged',
      );
  });

  test('a token in place of its file is refused without being repeated', async () => {
    await using cluster = await Cluster.onLoopback();
    const a = await cluster.first();
    const { text } = await a.createToken({});
    const { logger, lines } = recordingLogger();
    await assert.rejects(cluster.open('b', { tokenFile: text, join: addressesOf(a), logger }), (error: Error) => {
      assert.match(`${codeOf(error)}: ${error.message}`, /^bad-argument: the token itself/);
      assert.ok(![error.stack, ...lines].some((line) => line?.includes(text.slice(20, 60))));
      return true;
    });
  });

  test('a token file that others may read is warned of', async () => {
    await using cluster = await Cluster.onLoopback();
    const { logger, lines } = recordingLogger();
    const a = await cluster.first();
    const tokenFile = path.join(cluster.directory, 'open-token');
    await writeFile(tokenFile, (await a.createToken({})).text, { mode: 0o644 });
    await cluster.open('b', { tokenFile, join: addressesOf(a), logger });
    assert.ok(lines.some((line) => line.includes('others may read the token file')));
  });

  test('a host whose clock is a year off joins all the same, and both say so', async () => {
    for (const [name, off] of [
      ['early', -yearMs],
      ['late', yearMs],
    ] as const) {
      await using cluster = await Cluster.onLoopback();
      const a = await cluster.first();
      const b = await cluster.open(name, {
        tokenFile: await cluster.tokenFile(a, { expiresInMs: 2 * yearMs, uses: 9 }),
        join: addressesOf(a),
        clock: clockOff(off),
      });
      await b.whenJoined(withinReason());
      await eventually(() => [a, b].every((host) => host.troubles().some(({ kind }) => kind === 'clock')), 'both say it');
      const ahead = off > 0 ? 'ahead of' : 'behind';
      assert.match(a.troubles().find(({ kind }) => kind === 'clock')!.message, new RegExp(`the clock of host \\w+ is 365 days ${ahead} this`));
    }
  });

  test('a host that was expelled while it was away is told when it comes back, and remembers', async () => {
    await using cluster = await Cluster.onLoopback();
    const a = await cluster.first();
    const b = await cluster.join('b', a);
    await eventually(() => a.members().length === 2, 'a knows b');
    await cluster.stop(b);
    await a.revokeHost(b.self);
    const back = await cluster.open('b', { join: addressesOf(a) });
    await eventually(() => back.halted !== undefined, 'b is told');
    assert.match(back.halted!, /was expelled/);
    await eventually(() => a.transport.connected().length === 0, 'a talks to nobody');
    await cluster.stop(back);
    const alone = await cluster.open('b');
    assert.match(alone.halted!, /was expelled/);
  });

  test('a copied state directory: the copy is stopped and told, the original goes on', async () => {
    await using cluster = await Cluster.onLoopback();
    const a = await cluster.first();
    const b = await cluster.join('b', a);
    await eventually(() => a.transport.isConnected(b.self), 'b is there');
    await sleep(700); // until b has kept its list of members
    await cp(path.join(cluster.directory, 'b'), path.join(cluster.directory, 'copy'), { recursive: true });
    const copy = await cluster.open('copy', { name: 'b' });
    await eventually(() => copy.halted !== undefined, 'the copy is stopped');
    assert.match(copy.halted!, /two processes run with the identity/);
    assert.ok(copy.troubles().some(({ kind }) => kind === 'duplicate-identity'));
    assert.ok(a.troubles().some(({ kind }) => kind === 'duplicate-identity'));
    assert.equal(b.halted, undefined);
    assert.ok(a.transport.isConnected(b.self));
  });

  test('a state directory that is older than what the cluster saw is not trusted', async () => {
    await using cluster = await Cluster.onLoopback();
    const a = await cluster.first();
    const b = await cluster.join('b', a);
    await sleep(700);
    await cp(path.join(cluster.directory, 'b'), path.join(cluster.directory, 'backup'), { recursive: true });
    await cluster.stop(b);
    for (let start = 0; start < 2; start++) {
      const again = await cluster.open('b');
      await eventually(() => again.transport.isConnected(a.self) && seenBy(a, again)?.incarnation === start + 2, 'b is back');
      await cluster.stop(again);
    }
    await rm(path.join(cluster.directory, 'b'), { recursive: true });
    await cp(path.join(cluster.directory, 'backup'), path.join(cluster.directory, 'b'), { recursive: true });
    const heard: string[] = [];
    a.transport.onPeerUp((peer) => heard.push(peer));
    const restored = await cluster.open('b');
    await eventually(() => restored.halted !== undefined, 'it stops');
    assert.match(restored.halted!, /is older than what its cluster has seen of it/);
    assert.deepEqual(heard, [], 'nothing of it is listened to: it uses ballots again');
    assert.ok(a.troubles().some(({ kind, about }) => kind === 'older-state' && about === b.self));
  });

  test('a member that may not store stops no other by what it says of it', async () => {
    await using cluster = await Cluster.onLoopback();
    const a = await cluster.first();
    let lies = false;
    const liar = await cluster.open('liar', {
      tokenFile: await cluster.tokenFile(a, { rights: ['write'] }),
      join: addressesOf(a),
      makeTransport: (context) =>
        new Libp2pTransport({ ...context, listen: '127.0.0.1:0', isPast: (peer) => (lies ? olderState(peer, 'a', 'it was told so') : undefined) }),
    });
    await liar.whenJoined(AbortSignal.timeout(15_000));
    await eventually(() => seenBy(a, liar)?.addresses.length === 1, 'it is known where it listens');
    lies = true;
    (liar.transport as MeshTransport).drop(a.self, 'to be dialled');
    await eventually(() => a.troubles().some(({ kind }) => kind === 'older-state'), 'it lied');
    assert.equal(a.halted, undefined);
  });

  test('a damaged key is named; a damaged list of members comes back from the others', async () => {
    await using cluster = await Cluster.onLoopback();
    const a = await cluster.first();
    const b = await cluster.join('b', a);
    await cluster.stop(b);
    await writeFile(path.join(cluster.directory, 'b', 'members.json'), '{"entries": [');
    const again = await cluster.open('b', { join: addressesOf(a) });
    await eventually(() => again.transport.isConnected(a.self), 'it is back');
    await cluster.stop(again);
    await writeFile(path.join(cluster.directory, 'b', 'host.key'), 'rubbish');
    await assert.rejects(cluster.open('b'), (error: Error) => codeOf(error) === 'damaged' && /host\.key/.test(error.message));
  });

  test('mDNS finds a member without --join', async (t) => {
    await using cluster = await Cluster.onLoopback({ mdns: true, listen: '0.0.0.0:0' });
    const a = await cluster.first();
    const b = await cluster.open('b', { tokenFile: await cluster.tokenFile(a) });
    const found = await b.whenJoined(AbortSignal.timeout(8000)).then(
      () => true,
      () => false,
    );
    if (!found) t.skip('no multicast on this machine');
  });

  test('a host with a token and no address finds a member among suggested hosts, and forgets the others', async () => {
    await using cluster = await Cluster.onLoopback();
    const a = await cluster.first();
    const b = await cluster.open('b', { tokenFile: await cluster.tokenFile(a) });
    assert.equal(b.isLonely, true);
    const port = Number(addressesOf(a)[0]!.split(':')[1]);
    b.suggest(['127.0.0.2', '127.0.0.1'], port);
    await b.whenJoined(AbortSignal.timeout(8000));
    assert.equal(b.isLonely, false);
    b.suggest(['127.0.0.3'], port);
    assert.deepEqual(
      b.troubles().filter(({ about }) => about.startsWith('127.0.0.3')),
      [],
      'nobody is looked for once a member is there',
    );
  });

  test('Kademlia knows where a peer is that this host was never told of', async () => {
    const keys = Array.from({ length: 3 }, () => new KeyPair(systemRandom.bytes(32)));
    const events: WireEvents = {
      admits: () => true,
      isAddressOfMember: () => false,
      isMember: () => true,
      onConnection: () => {},
      onStream: () => {},
      onDiscovery: () => {},
      onHandshakeError: () => {},
    };
    const nodes = await Promise.all(
      keys.map((key) => openLibp2pNode({ key, listen: '127.0.0.1:0', tls: 'native', kademlia: true, mdns: false }, events)),
    );
    try {
      const [middle, near, far] = nodes as [WireNode, WireNode, WireNode];
      for (const [index, end] of [near, far].entries()) {
        await end.dial(middle.addresses()[0]!, undefined, AbortSignal.timeout(5000));
        await end.introduce(peerIdOf(keys[0]!.publicKey), middle.addresses());
        await middle.introduce(peerIdOf(keys[index + 1]!.publicKey), end.addresses());
      }
      await sleep(300);
      const found = await near.lookUp(peerIdOf(keys[2]!.publicKey), AbortSignal.timeout(5000));
      assert.deepEqual(found, far.addresses());
    } finally {
      await Promise.all(nodes.map((node) => node.close()));
    }
  });

  test('hosts with Kademlia join as others do', async () => {
    await using cluster = await Cluster.onLoopback({ kademlia: true });
    const a = await cluster.first();
    const b = await cluster.join('b', a);
    assert.ok(b.transport.isConnected(a.self));
  });
});
