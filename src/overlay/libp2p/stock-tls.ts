import type { ConnectionEncrypter, MessageStream, SecureConnectionOptions, SecuredConnection } from '@libp2p/interface';
import { tls, type TLSComponents } from '@libp2p/tls';

/**
 * libp2p's own TLS, for when {@link nativeTls} must be ruled out. One repair: it stops reading while it cannot write, so two hosts that
 * both send a lot wait for each other for ever. Here its writes are never told to wait; what is under way is bounded above, by the
 * muxer's windows and by the bytes in flight of a peer.
 */
export function stockTls(): (components: TLSComponents) => ConnectionEncrypter {
  return (components) => {
    const stock = tls()(components);
    const secure = (how: 'secureInbound' | 'secureOutbound') => {
      return (connection: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> => {
        const send = connection.send.bind(connection);
        connection.send = (data) => {
          send(data);
          return true;
        };
        return stock[how](connection, options);
      };
    };
    return { protocol: stock.protocol, secureInbound: secure('secureInbound'), secureOutbound: secure('secureOutbound') };
  };
}
