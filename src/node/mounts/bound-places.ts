import { realpathSync } from 'node:fs';
import { statfs } from 'node:fs/promises';

import { directoryOf } from '../../api/index.ts';
import { InfinitError, type Logger } from '../../base/index.ts';
import { bindMount, detachMount, listMounts } from '../../fuse/index.ts';

/**
 * A volume on a directory that holds what the daemon itself lives by would hide it, and the disk be given up for failed.
 * @param own The daemon's directories.
 * @throws InfinitError `bad-argument`.
 */
export function refuseOwnPlaces(holder: string, own: readonly string[]): void {
  const place = directoryOf(holder);
  if (place === undefined) return;
  const hidden = own.find((directory) => isWithin(place, directory) || isWithin(place, realPathOf(directory)));
  if (hidden !== undefined)
    throw new InfinitError('bad-argument', `a volume on ${place} would hide ${hidden}, which its own daemon needs: name another directory`);
}

function isWithin(place: string, directory: string): boolean {
  return directory === place || directory.startsWith(place.endsWith('/') ? place : `${place}/`);
}

function realPathOf(directory: string): string {
  try {
    return realpathSync(directory);
  } catch {
    return directory;
  }
}

/**
 * A mount that ended with an earlier daemon leaves the directories dead that `infinit volume mount` bound it to. They get the mount that took its place.
 * Those where nothing is mounted any more, or something else, are left alone.
 * Between the two mounts the directory shows what lies under them: one that is bound elsewhere first cannot be moved there where its parent is shared, as systemd has it.
 */
export async function bindAgain(volume: string, mountpoint: string, holders: readonly string[], logger: Logger): Promise<void> {
  const living = (await listMounts(mountpoint)).findLast((entry) => entry.mountPoint === mountpoint)?.connection;
  if (living === undefined) return;
  for (const holder of holders) {
    const place = directoryOf(holder);
    if (place === undefined) continue;
    const there = (await listMounts(place)).findLast((entry) => entry.mountPoint === place);
    if (there?.source !== volume || there.connection === living || !(await isDead(place))) continue;
    try {
      await detachMount(place);
      await bindMount(mountpoint, place);
      logger.info('a directory that a dead mount left shows the volume again', { volume, directory: place });
    } catch (error) {
      logger.error('a directory that a dead mount left cannot show the volume again', { volume, directory: place, error });
    }
  }
}

/** Its daemon is gone: one of another store, with a volume of that name, answers. */
async function isDead(place: string): Promise<boolean> {
  return statfs(place).then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === 'ENOTCONN',
  );
}
