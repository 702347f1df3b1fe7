import { lstatSync, readFileSync, realpathSync, statSync } from 'node:fs';

import { makeDirectory } from '../../api/index.ts';
import { InfinitError, type Logger } from '../../base/index.ts';

const entryBits = 0o011;

/**
 * Makes the directory of all mounts, which root alone may enter: what runs as root in a container may leave set-uid programs and device nodes in a volume, and these are on each host that has it mounted, for
 * whoever gets there. One that is there already stays as it is, since somebody may have opened it on purpose.
 * @returns where it really is, as the kernel's table of mounts has it: a part of its path may be a symbolic link.
 */
export function makeMountDirectory(directory: string, logger: Logger): string {
  makeDirectory(directory, 0o700);
  const place = realpathSync(directory);
  if ((statSync(place).mode & entryBits) === 0 || isMounted(place)) return place;
  logger.warn('users of this host may enter where volumes are mounted, and run what containers left there with the rights of root: chmod 700 it', {
    directory,
  });
  return place;
}

/**
 * Makes the directory on which a volume is to be mounted.
 * @throws InfinitError `denied` for a symbolic link: whoever may make one there would have root mount a volume wherever it leads. `bad-argument` for what is no directory.
 */
export function makeMountPoint(place: string): void {
  if (lstatSync(place, { throwIfNoEntry: false })?.isSymbolicLink() === true)
    throw new InfinitError('denied', `${place} is a symbolic link, on which no volume is mounted: remove it`);
  makeDirectory(place);
}

/** That of a managed plugin is Docker's, which lets nobody in. */
function isMounted(place: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === place);
}
