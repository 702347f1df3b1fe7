import type { Logger } from '../../base/index.ts';
import { type ContainerMounts, type MountEntry, mountsInContainers } from '../../fuse/index.ts';

/** What `docker ps` shows of an id. */
const shownDigits = 12;

/**
 * Says which mounts of an earlier daemon ended, and which containers hold on to them: to those they are dead until they are restarted, whatever is mounted
 * in their place on the host. @param look Another than the kernel in tests.
 */
export async function sayDeadMounts(
  dead: readonly MountEntry[],
  logger: Logger,
  look: () => Promise<readonly ContainerMounts[]> = mountsInContainers,
): Promise<void> {
  if (dead.length === 0) return;
  const containers = await look();
  for (const { source, mountPoint, connection } of dead) {
    const holding = containers.filter(({ mounts }) => mounts.some((mount) => mount.connection === connection));
    const fields = { volume: source, mountPoint };
    if (holding.length === 0) logger.warn('cleared a dead mount, which no container uses', fields);
    else
      logger.warn('cleared a dead mount: the containers that used it must be restarted (`docker restart`)', {
        ...fields,
        containers: holding.map(({ id }) => id.slice(0, shownDigits)).join(' '),
      });
  }
}
