import type { VolumeCore } from './core.ts';
import type { Inode } from './inodes/inode.ts';
import { attempt } from './miss.ts';
import { hasLost, type Problem } from './problem.ts';

/** Gives an inode the link count that its names say: an operation as any other. */
export function correctLinks(core: VolumeCore, inode: Inode, links: number): void {
  const delta = links - inode.links;
  if (delta === 0) return;
  inode.links = links;
  core.touch(inode);
  core.record({ names: [], links: [{ inode, delta }] });
}

/**
 * Gives inodes the link counts that a walk through all names of an open volume found. Only where that saw all names, and none was changed since it began: a directory that moves meanwhile may
 * be passed by, with all that is in it, and a count that is too small takes a file away with one of its names. What has no name at all is left, it is for lost+found.
 * @param through the last operation before the walk.
 */
export async function correctFoundLinks(core: VolumeCore, problems: readonly Problem[], through: number): Promise<void> {
  const { log, table, unread, kernel } = core;
  if (hasLost(problems) || unread.size > 0) return;
  let last = through;
  for (const problem of problems) {
    if (problem.kind !== 'wrong-links' || problem.names === 0) continue;
    await kernel?.distrust(problem.inode);
    await attempt(() => {
      if (log.last !== last) return;
      const inode = table.find(problem.inode);
      if (inode === undefined || inode.links !== problem.links) return;
      core.claim([inode]);
      correctLinks(core, inode, problem.names);
      last = log.last;
    });
  }
}
