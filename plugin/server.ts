import type { Logger } from '../src/base/index.ts';
import type { VolumeService } from '../src/api/index.ts';
import { Driver, type DriverSettings } from './driver.ts';
import { createPluginApp } from './routes.ts';
import type { PluginSocket } from './socket/index.ts';

/** What {@link startPlugin} needs. */
export interface PluginSettings extends DriverSettings {
  /** Its disposal hangs up on the calls in flight, which takes their mounts back: before the volumes end. */
  readonly socket: PluginSocket;
  readonly volumes: VolumeService;
  /** Which hosts are, where that is why calls find too little. */
  readonly whoIsMissing?: () => string | undefined;
  readonly logger: Logger;
}

/** Serves the volume plugin on its socket. */
export function startPlugin(settings: PluginSettings): void {
  const { socket, volumes, logger } = settings;
  socket.answerBy(createPluginApp(new Driver(volumes, logger, settings), logger, settings.whoIsMissing));
  logger.info('volume plugin ready', { socket: socket.path });
}
