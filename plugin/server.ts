import { http, InfinitError, type Logger, messageOf } from '../src/base/index.ts';
import { listenOnSocket, maxSocketPathBytes, type VolumeService } from '../src/api/index.ts';
import { Driver, type DriverSettings } from './driver.ts';
import { createPluginApp } from './routes.ts';

/** Connections at a time; dockerd opens one a call. */
const maxConnections = 4096;

/** What {@link startPlugin} needs. */
export interface PluginSettings extends DriverSettings {
  /** Where dockerd looks: /run/docker/plugins/NAME.sock makes it the driver NAME. */
  readonly socketPath: string;
  readonly volumes: VolumeService;
  /** Which hosts are, where that is why calls find too little. */
  readonly whoIsMissing?: () => string | undefined;
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
  const app = createPluginApp(new Driver(volumes, logger, settings), logger, settings.whoIsMissing);
  const server = http().createServer({ requireHostHeader: false }, app);
  server.maxConnections = maxConnections;
  server.on('clientError', (error, socket) => {
    logger.debug('not HTTP on the plugin socket', { error: messageOf(error) });
    socket.destroy();
  });
  await listenOnSocket(server, socketPath, '--plugin-socket', logger);
  logger.info('volume plugin ready', { socket: socketPath });
  return {
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
