/** The plugin over {@link DirectoryVolumes} as a process: `directory-plugin.ts SOCKET ROOT MOUNTDIR HOST [ENGINE]`. */
import { announce, startPlugin } from '../../plugin/index.ts';
import { PluginSocket } from '../../plugin/socket/index.ts';
import { createLogger } from '../../src/base/index.ts';
import { DirectoryVolumes } from './directory-volumes.ts';

const [socketPath, root, mountDir, host, engine] = process.argv.slice(2) as [string, string, string, string, string | undefined];
const logger = createLogger('debug');
const stack = new AsyncDisposableStack();
startPlugin({ socket: stack.use(await PluginSocket.open(socketPath, logger)), volumes: await DirectoryVolumes.open(root, mountDir, host), logger });
if (engine !== undefined) stack.use(announce({ socketPath: engine, logger }));
process.once('SIGTERM', () => {
  stack.disposeAsync().then(
    () => process.exit(0),
    () => process.exit(1),
  );
});
