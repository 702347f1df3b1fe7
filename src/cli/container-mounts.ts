import { readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';

import type { Finding } from './cluster-findings.ts';
import { type Container, runningContainers } from './docker-engine.ts';
import { mountedIn } from './host-findings.ts';
import { type MountAnswer, probeMounts } from './mount-probe.ts';

/** A volume as a container sees it. */
export interface ContainerMount {
  readonly container: string;
  /** In the container. */
  readonly place: string;
  /** The same place as this process reaches it. */
  readonly path: string;
}

/** Containers that hold on to a mount that ended: on the host another is in its place by then, in the container it is dead until that is restarted. */
export async function containerFindings(engineSocket: string): Promise<readonly Finding[]> {
  const mounts = await containerMounts(await runningContainers(engineSocket));
  return deadInContainers(mounts, await probeMounts(mounts.map((mount) => mount.path)));
}

/** The volumes in containers, by their processes' mount namespaces. @param proc Another than /proc in tests. */
export async function containerMounts(containers: readonly Container[], proc: string = '/proc'): Promise<readonly ContainerMount[]> {
  if (containers.length === 0) return [];
  const seen = new Set<string>();
  const found: ContainerMount[] = [];
  for (const pid of await readdir(proc)) {
    if (!/^\d+$/.test(pid)) continue;
    const of = path.join(proc, pid);
    try {
      const namespace = await readlink(path.join(of, 'ns/mnt'));
      if (seen.has(namespace)) continue;
      const cgroup = await readFile(path.join(of, 'cgroup'), 'utf8');
      const container = containers.find(({ id }) => cgroup.includes(id))?.name;
      const places = container === undefined ? [] : mountedIn(await readFile(path.join(of, 'mounts'), 'utf8'));
      seen.add(namespace);
      found.push(...places.map((place) => ({ container: container!, place, path: path.join(of, 'root', place) })));
    } catch {
      // The process ended while we looked, or is none of ours to look at.
    }
  }
  return found;
}

/** @param answers Of each mount. */
export function deadInContainers(mounts: readonly ContainerMount[], answers: readonly MountAnswer[]): readonly Finding[] {
  const dead = mounts.filter((_, index) => answers[index] === 'dead');
  if (dead.length === 0) return [];
  return [
    {
      topic: 'mounts',
      level: 'error',
      finding: `dead in containers: ${dead.map(({ container, place }) => `${place} in ${container}`).join(', ')}`,
      advice: `once the daemon runs: \`docker restart ${[...new Set(dead.map(({ container }) => container))].join(' ')}\``,
    },
  ];
}
