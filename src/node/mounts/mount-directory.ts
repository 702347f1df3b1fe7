import { readFileSync, realpathSync, statSync } from 'node:fs';

import { makeDirectory } from '../../api/index.ts';
import type { Logger } from '../../base/index.ts';

const entryBits = 0o011;

/**
 * Makes the directory of all mounts, which root alone may enter: what runs as root in a container may leave set-uid programs and device nodes in a volume, and these are on each host that has it mounted, for
 * whoever gets there. One that is there already stays as it is, since somebody may have opened it on purpose.
 */
export function makeMountDirectory(directory: string, logger: Logger): void {
  makeDirectory(directory, 0o700);
  if ((statSync(directory).mode & entryBits) === 0 || isMounted(directory)) return;
  logger.warn('users of this host may enter where volumes are mounted, and run what containers left there with the rights of root: chmod 700 it', {
    directory,
  });
}

/** That of a managed plugin is Docker's, which lets nobody in. */
function isMounted(directory: string): boolean {
  const place = realpathSync(directory);
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === place);
}
