import path from 'node:path';

import { mountsInContainers } from '../fuse/index.ts';
import type { Finding } from './cluster-findings.ts';
import { type Container, runningContainers } from './docker-engine.ts';
import { type MountAnswer, probeMounts } from './mount-probe.ts';

/** A volume as a container sees it. */
export interface ContainerMount {
  readonly container: string;
  /** In the container. */
  readonly place: string;
  /** The same place as this process reaches it. */
  readonly path: string;
}

/** Containers that hold on to a mount that ended: on the host another is in its place by then, in the container it is dead until that is restarted. @param daemonRuns Else they must wait for it. */
export async function containerFindings(engineSocket: string, daemonRuns: boolean): Promise<readonly Finding[]> {
  const mounts = await containerMounts(await runningContainers(engineSocket));
  return deadInContainers(mounts, await probeMounts(mounts.map((mount) => mount.path)), daemonRuns);
}

/** The volumes in containers. @param proc Another than /proc in tests. */
export async function containerMounts(containers: readonly Container[], proc: string = '/proc'): Promise<readonly ContainerMount[]> {
  if (containers.length === 0) return [];
  const names = new Map(containers.map(({ id, name }) => [id, name]));
  return (await mountsInContainers(proc)).flatMap(({ id, pid, mounts }) => {
    const container = names.get(id);
    if (container === undefined) return [];
    return mounts.map(({ mountPoint }) => ({ container, place: mountPoint, path: path.join(proc, String(pid), 'root', mountPoint) }));
  });
}

/** @param answers Of each mount. */
export function deadInContainers(mounts: readonly ContainerMount[], answers: readonly MountAnswer[], daemonRuns: boolean): readonly Finding[] {
  const dead = mounts.filter((_, index) => answers[index] === 'dead');
  if (dead.length === 0) return [];
  return [
    {
      topic: 'mounts',
      level: 'error',
      finding: `dead in containers: ${dead.map(({ container, place }) => `${place} in ${container}`).join(', ')}`,
      advice: `${daemonRuns ? '' : 'once the daemon runs: '}\`docker restart ${[...new Set(dead.map(({ container }) => container))].join(' ')}\``,
    },
  ];
}
