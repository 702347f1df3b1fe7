/** The holder's process of the tests: runs `daemon.ts` with this process's arguments. */
import path from 'node:path';
import { createLogger } from '../../src/base/index.ts';
import { superviseDaemon } from '../../src/fuse/holder.ts';

const logger = createLogger('info', (_level, line) => process.stderr.write(`holder: ${line}\n`));
process.exitCode = await superviseDaemon({
  argv: [path.join(import.meta.dirname, 'daemon.ts'), ...process.argv.slice(2)],
  logger,
  stopTimeoutMs: 5000,
});
