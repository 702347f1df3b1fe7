/** Peers that use what the muxer would give them without end: nobody has let them in, all that they have is a key. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import type { Connection } from '@libp2p/interface';

import { boundMuxer } from '../../src/overlay/libp2p/bound-muxer.ts';
import { eventually } from '../suites/transport-suite.ts';
import { addressesOf, Cluster } from './fixture.ts';
import { openRawConnection, pour, yamux, yamuxHeader } from './raw-connection.ts';

const MiB = 2 ** 20;

describe('the muxer of a host', () => {
  test('gathers no frame that is longer than its window', async () => {
    await using cluster = await Cluster.onLoopback();
    const host = await cluster.first();
    for (const stream of [1, 7]) {
      const stranger = await openRawConnection(addressesOf(host)[0]!);
      stranger.write(yamuxHeader(yamux.data, stream === 1 ? yamux.syn : 0, stream, 0xffff_ffff));
      const poured = await pour(stranger, () => Buffer.alloc(64 * 1024), 64 * MiB);
      assert.ok(poured < 64 * MiB, 'the host hung up');
    }
    const friend = await cluster.join('b', host);
    assert.ok(friend.transport.isConnected(host.self));
  });

  test('answers nobody who does not read', async () => {
    await using cluster = await Cluster.onLoopback();
    const host = await cluster.first();
    const stranger = await openRawConnection(addressesOf(host)[0]!);
    stranger.pause();
    const pings = Buffer.concat(Array.from({ length: 4096 }, () => yamuxHeader(yamux.ping, yamux.syn, 0, 1)));
    assert.ok((await pour(stranger, () => pings, 32 * MiB)) < 32 * MiB, 'the host hung up');
  });

  test('keeps few streams of a stranger', async () => {
    await using cluster = await Cluster.onLoopback();
    const host = await cluster.first();
    const stranger = await openRawConnection(addressesOf(host)[0]!);
    let heard = Buffer.alloc(0);
    stranger.on('data', (chunk: Buffer) => (heard = Buffer.concat([heard, chunk])));
    const streams = 100;
    for (let index = 0; index < streams; index++) stranger.write(yamuxHeader(yamux.windowUpdate, yamux.syn, 2 * index + 1, 0));
    const refused = (): number => heard.toString('latin1').split('\0\x01\0\x08').length - 1;
    await eventually(() => refused() === streams - 2, 'all but two are reset');
    stranger.destroy();
  });

  test('keeps a frame that comes byte by byte as a few pieces', () => {
    let pieces = [yamuxHeader(yamux.data, 0, 1, 200_000)];
    const buffer = {
      get byteLength(): number {
        return pieces.reduce((bytes, { length }) => bytes + length, 0);
      },
      subarray: (from = 0, to?: number): Uint8Array => Buffer.concat(pieces).subarray(from, to),
      consume: (bytes: number): void => {
        const rest = Buffer.concat(pieces).subarray(bytes);
        pieces = rest.length === 0 ? [] : [rest];
      },
      append: (bytes: Uint8Array): void => void pieces.push(Buffer.from(bytes)),
    };
    const decoder = { buffer, readFrame: () => undefined };
    const muxer = { streams: [{ streamId: 1, recvWindowCapacity: 262_144 }], decoder, send: () => true, maConn: { writableNeedsDrain: false } };
    boundMuxer({ muxer } as unknown as Connection, () => true);
    for (let index = 0; index < 2000; index++) {
      buffer.append(Buffer.from([index & 0xff]));
      decoder.readFrame();
    }
    assert.ok(pieces.length < 300, `${pieces.length} pieces`);
    const content = Buffer.concat(pieces).subarray(12);
    assert.deepEqual(content, Buffer.from(Array.from({ length: 2000 }, (_, index) => index & 0xff)));
  });
});
