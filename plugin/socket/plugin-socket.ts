import type { RequestListener, Server } from 'node:http';

import { listenOnSocket, maxSocketPathBytes } from '../../src/api/index.ts';
import { http, InfinitError, type Logger, messageOf } from '../../src/base/index.ts';

/** Connections at a time; dockerd opens one a call. */
const maxConnections = 4096;

/** Where the engine calls the plugin. Calls wait until there is something that answers them. */
export class PluginSocket implements AsyncDisposable {
  readonly path: string;
  readonly #server: Server;
  readonly #answering: PromiseWithResolvers<RequestListener>;

  private constructor(path: string, server: Server, answering: PromiseWithResolvers<RequestListener>) {
    this.path = path;
    this.#server = server;
    this.#answering = answering;
  }

  /**
   * Listens where only root may call. Removes the socket of a daemon that died.
   * @param path Where dockerd looks: /run/docker/plugins/NAME.sock makes it the driver NAME.
   * @throws InfinitError `locked` where a living daemon answers there; `bad-argument` where the path cannot be a socket's.
   */
  static async open(path: string, logger: Logger): Promise<PluginSocket> {
    if (Buffer.byteLength(path) > maxSocketPathBytes) {
      throw new InfinitError(
        'bad-argument',
        `the plugin socket's path "${path}" has more than ${maxSocketPathBytes} bytes: the kernel allows no more`,
      );
    }
    const answering = Promise.withResolvers<RequestListener>();
    const server = http().createServer({ requireHostHeader: false }, (request, response) => {
      void answering.promise.then((answer) => {
        if (!response.destroyed) answer(request, response);
      });
    });
    server.maxConnections = maxConnections;
    // The first answer closes the connection, so a mount that a further call asked for would be nobody's.
    server.maxRequestsPerSocket = 1;
    server.on('clientError', (error, socket) => {
      logger.debug('not HTTP on the plugin socket', { error: messageOf(error) });
      socket.destroy();
    });
    await listenOnSocket(server, path, '--plugin-socket', logger);
    return new PluginSocket(path, server, answering);
  }

  /** From now on this answers, also the calls that wait. */
  answerBy(answer: RequestListener): void {
    this.#answering.resolve(answer);
  }

  /** Hangs up on the calls in flight, and removes the socket. A second time does nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}
