import { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import tls from 'node:tls';

import type {
  ConnectionEncrypter,
  MessageStream,
  MultiaddrConnection,
  PrivateKey,
  SecureConnectionOptions,
  SecuredConnection,
  StreamMuxerFactory,
  Upgrader,
} from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { generateCertificate } from '@libp2p/tls/utils';

import { InfinitError } from '../../base/index.ts';
import { peerIdOf, verifySignature } from '../identity/index.ts';
import type { PeerId } from '../transport.ts';
import { TlsStream } from './tls-stream.ts';

/**
 * libp2p's TLS 1.3 (`/tls/1.0.0`, https://github.com/libp2p/specs/blob/master/tls/tls.md) on Node's own TLS socket. It is what the
 * stock encrypter says on the wire, but the TLS socket sits directly on the kernel's socket instead of on a stream in JavaScript,
 * and the records of one turn are written together: twice the throughput, half the time.
 *
 * It leans on internals of libp2p 3.3 (the `socket` of a TCP connection and its `send…` methods), hence the pinned versions and the
 * stock encrypter by option. One danger is known: `resetAndDestroy()` on the raw socket under a TLS socket can crash Node, so every
 * way to end the raw connection is led through the TLS socket.
 */
export function nativeTls(onError: (message: string) => void): (components: Components) => ConnectionEncrypter {
  return (components) => new NativeTls(components, onError);
}

interface Components {
  readonly privateKey: PrivateKey;
  readonly upgrader: Upgrader;
}

/** A TCP connection of libp2p, with what it hides. */
interface TcpConnection extends MultiaddrConnection {
  readonly socket?: Socket;
  readonly readBuffer: { readonly byteLength: number; subarray(): Uint8Array; consume(bytes: number): void };
  sendReset(): void;
  sendClose(): Promise<void>;
  sendPause(): void;
  sendResume(): void;
  onTransportClosed(error?: Error): void;
}

class NativeTls implements ConnectionEncrypter {
  readonly protocol = '/tls/1.0.0';
  readonly [Symbol.toStringTag] = 'infinit-native-tls';
  readonly #components: Components;
  readonly #onError: (message: string) => void;
  #certificate: Promise<{ cert: string; key: string }> | undefined;

  constructor(components: Components, onError: (message: string) => void) {
    this.#components = components;
    this.#onError = onError;
  }

  secureInbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return this.#secure(connection, true, options);
  }

  secureOutbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return this.#secure(connection, false, options);
  }

  async #secure(stream: MessageStream, isServer: boolean, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    const connection = stream as unknown as TcpConnection;
    this.#certificate ??= generateCertificate(this.#components.privateKey);
    // Whatever libp2p has read ahead must not be lost while the certificate is made.
    connection.socket?.pause();
    const certificate = await this.#certificate;
    const socket = detach(connection);
    const muxers = this.#components.upgrader.getStreamMuxers();
    let muxer: StreamMuxerFactory | undefined;
    const common = { ...certificate, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', rejectUnauthorized: false } as const;
    const secure = isServer
      ? new tls.TLSSocket(socket, {
          ...common,
          isServer: true,
          requestCert: true,
          ALPNCallback: ({ protocols }) => {
            const chosen = protocols.find((protocol) => protocol === 'libp2p' || muxers.has(protocol));
            muxer = chosen === undefined ? undefined : muxers.get(chosen);
            return chosen;
          },
        })
      : tls.connect({ ...common, socket, ALPNProtocols: [...muxers.keys(), 'libp2p'] });
    reroute(connection, secure);
    try {
      await handshake(secure, isServer, options?.signal);
      const peer = peerOfCertificate(secure.getPeerX509Certificate());
      if (options?.remotePeer !== undefined && options.remotePeer.toString() !== peer)
        throw new InfinitError('denied', `host ${peer} answered where ${options.remotePeer.toString()} was expected`);
      if (!isServer && typeof secure.alpnProtocol === 'string') muxer = muxers.get(secure.alpnProtocol);
      return {
        remotePeer: peerIdFromString(peer),
        connection: new TlsStream(connection, secure),
        ...(muxer === undefined ? {} : { streamMuxer: muxer }),
      };
    } catch (error) {
      this.#onError(error instanceof Error ? error.message : String(error));
      secure.destroy();
      throw error;
    }
  }
}

/** Takes the kernel's socket out of libp2p's wrapper. */
function detach(connection: TcpConnection): Socket {
  const { socket } = connection;
  if (socket === undefined) throw new InfinitError('unsupported', 'native TLS needs a TCP connection');
  socket.pause();
  for (const event of ['data', 'drain', 'end', 'timeout']) socket.removeAllListeners(event);
  socket.setTimeout(0);
  if (connection.readBuffer.byteLength > 0) {
    socket.unshift(Buffer.from(connection.readBuffer.subarray()));
    connection.readBuffer.consume(connection.readBuffer.byteLength);
  }
  return socket;
}

/** Leads every abort and close of the wrapper through the TLS socket. */
function reroute(connection: TcpConnection, secure: tls.TLSSocket): void {
  secure.on('error', () => {}); // for ever: an error after the end must not be fatal
  connection.sendReset = () => void secure.destroy();
  connection.sendClose = async () => {
    secure.destroySoon();
  };
  connection.sendPause = () => {};
  connection.sendResume = () => {};
}

function handshake(secure: tls.TLSSocket, isServer: boolean, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => void secure.destroy(new Error('the TLS handshake took too long'));
    signal?.addEventListener('abort', onAbort, { once: true });
    const settle = (error?: Error): void => {
      signal?.removeEventListener('abort', onAbort);
      if (error === undefined) resolve();
      else reject(error);
    };
    secure.once('error', settle);
    secure.once('close', () => settle(new Error('the connection was closed during the TLS handshake')));
    secure.once(isServer ? 'secure' : 'secureConnect', () => settle());
    if (signal?.aborted === true) onAbort();
  });
}

/** The extension that binds a certificate to a host key: its OID, and an Ed25519 public key in protobuf. */
const extensionOid = Buffer.from('060a2b0601040183a25a0101', 'hex');
const publicKeyField = Buffer.from('042408011220', 'hex');
const signatureField = Buffer.from('0440', 'hex');

/**
 * The host that a certificate belongs to: the extension holds the host's public key and its signature over the certificate's own key.
 * The dates are not looked at, so that a host whose clock is wrong can be told so. Whatever lies where the fields are looked for must
 * be a valid signature over this very key, and the handshake has proved that the peer holds that key: a loose search is safe.
 * @throws InfinitError `denied`.
 */
function peerOfCertificate(certificate: X509Certificate | undefined): PeerId {
  if (certificate === undefined) throw new InfinitError('denied', 'the peer showed no certificate');
  const { raw } = certificate;
  const extension = raw.indexOf(extensionOid);
  const key = raw.indexOf(publicKeyField, extension) + publicKeyField.length;
  const signature = raw.indexOf(signatureField, key + 32) + signatureField.length;
  if (extension < 0 || key < extension || signature < key + 32 || !certificate.verify(certificate.publicKey))
    throw new InfinitError('denied', "the peer's certificate names no Ed25519 host key");
  const publicKey = raw.subarray(key, key + 32);
  const signed = Buffer.concat([Buffer.from('libp2p-tls-handshake:'), certificate.publicKey.export({ format: 'der', type: 'spki' })]);
  if (!verifySignature(publicKey, signed, raw.subarray(signature, signature + 64)))
    throw new InfinitError('denied', "the peer's certificate is forged");
  return peerIdOf(publicKey);
}
