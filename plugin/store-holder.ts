import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

/**
 * The process that has the store of a state directory open, as this process's namespace numbers it; undefined: none that can be seen. Asked of the
 * kernel, by the lock that LevelDB holds: the number in the store's own `lock` file is that of the namespace of who wrote it, and stays when that is killed.
 */
export function storeHolder(stateDir: string): number | undefined {
  const lock = identityOf(path.join(stateDir, 'store/index/LOCK'));
  if (lock === undefined) return undefined;
  return lockers(readFileSync('/proc/locks', 'utf8'), lock.split(':')[1]!).find((pid) => hasOpen(pid, lock));
}

/** Who holds a lock on a file with this inode number. The devices that the list names are not always those that stat(2) tells. */
function lockers(locks: string, inode: string): readonly number[] {
  return locks.split('\n').flatMap((line) => {
    const [, pid, file] = /^\d+: POSIX +\S+ +\S+ +(\d+) (\S+) /.exec(line) ?? [];
    return file?.split(':')[2] === inode ? [Number(pid)] : [];
  });
}

function hasOpen(pid: number, file: string): boolean {
  const directory = `/proc/${pid}/fd`;
  try {
    return readdirSync(directory).some((fd) => identityOf(path.join(directory, fd)) === file);
  } catch {
    // It ended while we looked.
    return false;
  }
}

/** "device:inode" of what is there; undefined: nothing is. */
function identityOf(file: string): string | undefined {
  const found = statSync(file, { throwIfNoEntry: false });
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
}
