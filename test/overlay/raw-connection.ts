import { once } from 'node:events';
import { createConnection } from 'node:net';
import tls from 'node:tls';

import { privateKeyFromRaw } from '@libp2p/crypto/keys';
import { generateCertificate } from '@libp2p/tls/utils';

import { systemRandom } from '../../src/base/index.ts';
import { KeyPair } from '../../src/overlay/index.ts';
import { parseAddress } from '../../src/overlay/addresses.ts';

/** What libp2p's multistream-select says before TLS: each line with its length before it. */
const chosen = Buffer.from('\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n', 'latin1');

/** Types and flags of yamux. */
export const yamux = { data: 0, windowUpdate: 1, ping: 2, syn: 1 } as const;

/** A yamux header as whoever sends it likes it to be. */
export function yamuxHeader(type: number, flags: number, stream: number, length: number): Buffer {
  const header = Buffer.alloc(12);
  header[1] = type;
  header.writeUInt16BE(flags, 2);
  header.writeUInt32BE(stream, 4);
  header.writeUInt32BE(length, 8);
  return header;
}

/** An authenticated connection with a host on which any bytes can be sent to its muxer. Nothing is read from it. */
export async function openRawConnection(address: string, key = new KeyPair(systemRandom.bytes(32))): Promise<tls.TLSSocket> {
  const { host, port } = parseAddress(address);
  const plain = createConnection({ host, port });
  await once(plain, 'connect');
  plain.write(chosen);
  let heard = 0;
  while (heard < chosen.length) {
    const chunk = plain.read() as Buffer | null;
    if (chunk === null) await once(plain, 'readable');
    else heard += chunk.length;
  }
  const certificate = await generateCertificate(privateKeyFromRaw(Buffer.concat([key.seed, key.publicKey])));
  const socket = tls.connect({ socket: plain, ...certificate, rejectUnauthorized: false, minVersion: 'TLSv1.3', ALPNProtocols: ['/yamux/1.0.0'] });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket;
}

/** Sends the same again and again until the host hangs up or `most` bytes have left: how many did. */
export async function pour(socket: tls.TLSSocket, next: () => Buffer, most: number): Promise<number> {
  let poured = 0;
  while (poured < most && !socket.destroyed) {
    const chunk = next();
    poured += chunk.length;
    if (!socket.write(chunk)) await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => {});
  }
  return poured;
}
