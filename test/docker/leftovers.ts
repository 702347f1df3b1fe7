import { globSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { startTimeOf } from './process.ts';

/** Every lab's directory begins so; its last part names the lab's cgroup too. */
export const labPrefix = path.join(tmpdir(), 'infinit-lab-');

/** A lab younger than this may not have said yet whose it is. */
const gracePeriodMs = 60_000;

/** Notes whose lab this is. */
export function claim(directory: string): void {
  writeFileSync(path.join(directory, 'owner'), `${process.pid} ${startTimeOf(process.pid)}`);
}

/** The parent of the cgroups of the lab's containers. */
export function cgroupOf(directory: string): string {
  return path.basename(directory);
}

/** Removes what a lab leaves outside its namespaces, which end with their first process. */
export async function clear(directory: string): Promise<void> {
  const groups = globSync([`/sys/fs/cgroup/${cgroupOf(directory)}`, `/sys/fs/cgroup/*/${cgroupOf(directory)}`]).flatMap((top) => [
    top,
    ...globSync(`${top}/**/`),
  ]);
  for (const group of groups.toSorted((a, b) => b.length - a.length)) {
    try {
      rmdirSync(group);
    } catch {
      // Still a process in it that the kernel is about to end: the next lab tries again.
    }
  }
  // The kernel takes the host's mounts down just after its last process.
  rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}

/** Removes the labs of test runs that died. */
export async function clearDeadLabs(): Promise<void> {
  for (const directory of globSync(`${labPrefix}*`)) {
    if (isDead(directory)) await clear(directory);
  }
}

function isDead(directory: string): boolean {
  try {
    const [pid, startTime] = readFileSync(path.join(directory, 'owner'), 'utf8').split(' ');
    return startTimeOf(Number(pid)) !== startTime;
  } catch {
    const { mtimeMs } = statSync(directory, { throwIfNoEntry: false }) ?? { mtimeMs: Date.now() };
    return Date.now() - mtimeMs > gracePeriodMs;
  }
}
