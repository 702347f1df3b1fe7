import { lstatSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import path from 'node:path';

import { InfinitError, type Logger, messageOf } from '../src/base/index.ts';
import type { VolumeService } from '../src/api/index.ts';
import { Driver, type DriverSettings } from './driver.ts';
import { createPluginApp } from './routes.ts';

/** Longest path that fits the kernel's sun_path. */
const maxSocketPathBytes = 107;
/** Connections at a time; dockerd opens one a call. */
const maxConnections = 4096;

/** What {@link startPlugin} needs. */
export interface PluginSettings extends DriverSettings {
  /** Where dockerd looks: /run/docker/plugins/NAME.sock makes it the driver NAME. */
  readonly socketPath: string;
  readonly volumes: VolumeService;
  readonly logger: Logger;
}

/**
 * Serves the volume plugin on its socket, which only root may use. Removes the socket of a daemon that died.
 * Disposal hangs up on the calls in flight, which takes their mounts back, and removes the socket.
 * @throws InfinitError `locked` where a living daemon answers there; `bad-argument` where the path cannot be a socket's.
 */
export async function startPlugin(settings: PluginSettings): Promise<AsyncDisposable> {
  const { socketPath, volumes, logger } = settings;
  if (Buffer.byteLength(socketPath) > maxSocketPathBytes) {
    throw new InfinitError(
      'bad-argument',
      `the plugin socket's path "${socketPath}" has more than ${maxSocketPathBytes} bytes: the kernel allows no more`,
    );
  }
  await clearStaleSocket(socketPath);
  mkdirSync(path.dirname(socketPath), { recursive: true, mode: 0o755 });
  const app = createPluginApp(new Driver(volumes, logger, settings), logger);
  const server = createServer({ requireHostHeader: false }, app);
  server.maxConnections = maxConnections;
  server.on('clientError', (error, socket) => {
    logger.debug('not HTTP on the plugin socket', { error: messageOf(error) });
    socket.destroy();
  });
  await listen(server, socketPath);
  server.on('error', (error) => logger.error('the plugin socket failed', { error }));
  logger.info('volume plugin ready', { socket: socketPath });
  return {
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function listen(server: Server, socketPath: string): Promise<void> {
  const listening = Promise.withResolvers<void>();
  server.once('error', (cause: Error) => {
    listening.reject(new InfinitError('unavailable', `the plugin socket ${socketPath} cannot be served: ${cause.message}`, { cause }));
  });
  // The socket is bound before listen() returns, so that there is no moment at which others may connect.
  const before = process.umask(0o177);
  try {
    server.listen(socketPath, listening.resolve);
  } finally {
    process.umask(before);
  }
  await listening.promise;
  server.removeAllListeners('error');
}

async function clearStaleSocket(socketPath: string): Promise<void> {
  const found = lstatSync(socketPath, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new InfinitError('bad-argument', `${socketPath} is there already and is not a socket: remove it, or give --plugin-socket another path`);
  if (await answers(socketPath)) {
    throw new InfinitError('locked', `another daemon answers on ${socketPath}: stop it, or give --plugin-socket another path`);
  }
  rmSync(socketPath, { force: true });
}

/** Only a refused connection says that nobody listens; a full backlog, say, is a sign of life. */
function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socketPath);
    const settle = (alive: boolean): void => {
      probe.destroy();
      resolve(alive);
    };
    probe.once('connect', () => settle(true));
    probe.once('error', (error: NodeJS.ErrnoException) => settle(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'));
  });
}
