/**
 * The holder as a process: `node holder-main.ts LOG-LEVEL ARGUMENT…` keeps `node ARGUMENT…` alive. It lives for as long as
 * the daemon and more, so it loads little besides; with a compile cache not even what strips types. Without arguments it only sees to that.
 */
import { enableCompileCache, flushCompileCache } from 'node:module';

enableCompileCache();
const [{ createLogger }, { superviseDaemon }] = await Promise.all([import('../base/index.ts'), import('./holder.ts')]);
flushCompileCache();
process.title = 'infinit holder';
const [level, ...argv] = process.argv.slice(2);
if (level !== undefined) {
  const logger = createLogger(level as Parameters<typeof createLogger>[0]);
  process.exitCode = await superviseDaemon({ argv, logger });
}
