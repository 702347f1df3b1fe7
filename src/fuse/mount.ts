import { spawn } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { readdir, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { InfinitError, messageOf } from '../base/index.ts';
import { listMounts, type MountEntry, mountType } from './mount-table.ts';

/** mount(8) and umount(8) take milliseconds; past this something is badly wrong. */
const commandTimeoutMs = 30_000;
/** Mounts stacked on one path are taken off one by one, up to this many. */
const maxStacked = 64;
/** How far the kernel may read ahead; INIT agrees on less where that is wanted. */
const maxReadAheadBytes = 1024 * 1024;

export interface MountSettings {
  /** Shown as the device in the mount table: the volume's name. */
  readonly source: string;
  /** An existing directory, absolute. */
  readonly mountPoint: string;
  readonly readOnly?: boolean;
}

/** A mount that waits to be served. */
export interface FuseMount {
  /** The /dev/fuse descriptor; whoever holds the last duplicate keeps the mount alive. */
  readonly fd: number;
  readonly mountPoint: string;
  /** The number of the FUSE connection. */
  readonly connection: number;
  /** Memory for what its daemon leaves to the next one: a descriptor. */
  readonly memory?: number | undefined;
}

/**
 * Mounts a FUSE file system. Serve `fd` at once: whoever looks at the path before waits.
 * @throws InfinitError `unsupported` without /dev/fuse, `denied` where mount(8) refuses.
 */
export async function mountFuse({ source, mountPoint, readOnly = false }: MountSettings): Promise<FuseMount> {
  const fd = openDevice();
  try {
    // allow_other and default_permissions: for everybody, and the kernel checks modes and ACLs. -i: no helper program.
    const options = ['fd=3', 'rootmode=40000', 'user_id=0', 'group_id=0', 'allow_other', 'default_permissions', readOnly ? 'ro' : 'rw'];
    await run('mount', ['-i', '-t', mountType, '-o', options.join(','), '--', source, mountPoint], fd);
    const mounted = (await listMounts(mountPoint)).findLast((entry) => entry.mountPoint === mountPoint);
    if (mounted === undefined) {
      await detachMount(mountPoint).catch(() => {});
      throw new InfinitError('denied', `${mountPoint} does not show in the mount table after mounting`);
    }
    // Before the session's INIT is answered the kernel keeps the smaller of this and what INIT allows.
    await setReadAhead(mounted.connection, maxReadAheadBytes);
    return { fd, mountPoint, connection: mounted.connection };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openDevice(): number {
  try {
    return openSync('/dev/fuse', constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    throw new InfinitError('unsupported', `/dev/fuse cannot be opened (modprobe fuse; in a container: --device /dev/fuse): ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Takes the path away at once; what is open goes on until it is closed, and only then the session ends. */
export async function detachMount(mountPoint: string): Promise<void> {
  await run('umount', ['-i', '-l', '--', mountPoint]);
}

/** Shows what is mounted at `source` at another directory as well. */
export async function bindMount(source: string, place: string): Promise<void> {
  await run('mount', ['--bind', '--', source, place]);
}

/** Unmounts what nobody uses. @throws InfinitError `in-use` where somebody does. */
export async function unmountIdle(mountPoint: string): Promise<void> {
  try {
    await run('umount', ['-i', '--', mountPoint]);
  } catch (error) {
    if (!messageOf(error).includes('busy')) throw error;
    throw new InfinitError('in-use', `${mountPoint} is in use: a process has a file open or its working directory there`, { cause: error });
  }
}

/** Ends a mount by force: every request in flight fails, open files are dead, the path is free. For a mount that nobody serves. */
export async function abortMount(mountPoint: string): Promise<void> {
  await run('umount', ['-i', '-f', '-l', '--', mountPoint]);
}

/**
 * Ends our mounts at or below `directory` that nobody serves any more (they answer ENOTCONN, or never). To be called before
 * the first mount of a daemon's life, by the owner of the directory. Their empty directories go too.
 * @param served connections that a living session has taken over.
 * @returns what was cleared.
 */
export async function clearStaleMounts(directory: string, served: ReadonlySet<number>): Promise<readonly MountEntry[]> {
  const cleared: MountEntry[] = [];
  for (let round = 0; round < maxStacked; round++) {
    const stale = (await listMounts(directory)).filter(({ connection }) => !served.has(connection));
    if (stale.length === 0) break;
    for (const mount of stale.toReversed()) {
      await abortMount(mount.mountPoint);
      cleared.push(mount);
    }
  }
  for (const name of await readdir(directory).catch(() => [])) await removeMountPoint(path.join(directory, name));
  return cleared;
}

/**
 * Removes the directory that a mount has left: what a program wrote there now would silently go to the host's own disk. What is still mounted, or
 * not empty, stays.
 */
export async function removeMountPoint(mountPoint: string): Promise<void> {
  await rmdir(mountPoint).catch(() => {});
}

/** Lets the kernel read further ahead than its 128 KiB. Where /sys is read-only it stays as it is. */
export async function setReadAhead(connection: number, bytes: number): Promise<boolean> {
  return writeFile(`/sys/class/bdi/0:${connection}/read_ahead_kb`, String(bytes / 1024)).then(
    () => true,
    () => false,
  );
}

/** Runs a command of util-linux; `fd` becomes its descriptor 3. */
function run(command: string, args: readonly string[], fd?: number): Promise<void> {
  const stdio = ['ignore', 'ignore', 'pipe', ...(fd === undefined ? [] : [fd])] as const;
  const child = spawn(command, args, { stdio: [...stdio], timeout: commandTimeoutMs, env: { ...process.env, LC_ALL: 'C' } });
  let said = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(0, 1000)));
  return new Promise((resolve, reject) => {
    child.on('error', (cause) => reject(new InfinitError('unsupported', `${command} cannot be run: ${cause.message}`, { cause })));
    child.on('close', (status, signal) => {
      if (status === 0) resolve();
      else reject(new InfinitError('denied', `${command} ${args.at(-1)}: ${said.trim() || `ended with ${status ?? signal}`}`));
    });
  });
}
