import { readdir, readFile, readlink } from 'node:fs/promises';

/**
 * Who really uses a mount, asked of the kernel. Docker's Mount and Unmount calls cannot be counted on (docs/decisions/mounts.md): a killed
 * dockerd sends none, `docker cp` sends one too many. A container holds a bind mount of its own in its own mount namespace, and
 * that is what shows here.
 */
export interface MountUser {
  readonly pid: number;
  readonly command: string;
}

/** "major:minor" of the file system mounted at `place` in this namespace; undefined where nothing is mounted exactly there. */
export async function deviceMountedAt(place: string): Promise<string | undefined> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  return lines.map(parseMount).findLast((mount) => mount !== undefined && mount.place === place)?.device;
}

/** One process for each other mount namespace in which the file system is mounted. Processes that end meanwhile are passed over. */
export async function foreignUsers(device: string): Promise<readonly MountUser[]> {
  const own = await readlink('/proc/self/ns/mnt');
  const seen = new Set<string>([own]);
  const users: MountUser[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const namespace = await readlink(`/proc/${entry}/ns/mnt`);
      if (seen.has(namespace)) continue;
      const mounts = (await readFile(`/proc/${entry}/mountinfo`, 'utf8')).split('\n');
      // A namespace is settled once one process of it could be read.
      seen.add(namespace);
      if (mounts.some((line) => parseMount(line)?.device === device)) users.push({ pid: Number(entry), command: await commandOf(entry) });
    } catch {
      // The process ended while we looked.
    }
  }
  return users;
}

/** Other places of this namespace where the same file system is mounted: `infinit volume mount` and people's own binds. */
export async function otherPlaces(device: string, place: string): Promise<readonly string[]> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  return lines.flatMap((line) => {
    const mount = parseMount(line);
    return mount !== undefined && mount.device === device && mount.place !== place ? [mount.place] : [];
  });
}

async function commandOf(pid: string): Promise<string> {
  return (await readFile(`/proc/${pid}/comm`, 'utf8')).trim();
}

/** The device and mount point in a line of mountinfo (proc(5)); octal escapes are undone. */
function parseMount(line: string): { device: string; place: string } | undefined {
  const fields = line.split(' ');
  if (fields.length < 6) return undefined;
  const place = fields[4]!.replaceAll(/\\(?<octal>[0-7]{3})/g, (_whole, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  return { device: fields[2]!, place };
}
