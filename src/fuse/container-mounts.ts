import { readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';

import { type MountEntry, parseMountinfo } from './mount-table.ts';

/** Our mounts as one container sees them. */
export interface ContainerMounts {
  /** 64 hexadecimal digits. */
  readonly id: string;
  /** A process in it. */
  readonly pid: number;
  /** Places are the container's. */
  readonly mounts: readonly MountEntry[];
}

/**
 * Containers with mounts of ours, asked of the kernel: a container has a mount namespace of its own, and its id is in the names of its processes' control
 * groups. @param proc Another than /proc in tests.
 */
export async function mountsInContainers(proc: string = '/proc'): Promise<readonly ContainerMounts[]> {
  const seen = new Set<string>();
  const found: ContainerMounts[] = [];
  for (const pid of await readdir(proc)) {
    if (!/^\d+$/.test(pid)) continue;
    const of = path.join(proc, pid);
    try {
      const namespace = await readlink(path.join(of, 'ns/mnt'));
      if (seen.has(namespace)) continue;
      // The last: the whole host may be in a container.
      const id = (await readFile(path.join(of, 'cgroup'), 'utf8')).match(/(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])/g)?.at(-1);
      const mounts = id === undefined ? [] : parseMountinfo(await readFile(path.join(of, 'mountinfo'), 'utf8'));
      seen.add(namespace);
      if (id !== undefined && mounts.length > 0) found.push({ id, pid: Number(pid), mounts });
    } catch {
      // The process ended while we looked, or is none of ours to look at.
    }
  }
  return found;
}
