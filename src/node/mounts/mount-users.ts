import { readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

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

/** How long a runtime may take to start a container: until then it has a copy of everything that is mounted, and drops it. */
const containerStartMs = 2000;
const askAgainMs = 50;

/**
 * One process for each other mount namespace in which the file system is mounted for somebody. Copies that the kernel made by propagation
 * do not count: they go away with the mount at `place` itself. A service with a namespace of its own has such copies, and so has the whole host
 * where the daemon is a managed plugin. Waits for containers that are just being started.
 */
export async function foreignUsers(device: string, place: string): Promise<readonly MountUser[]> {
  for (let waited = 0; ; waited += askAgainMs) {
    const users = await foreignUsersNow(device, place);
    const starting = users.some(({ command }) => command.startsWith('runc:['));
    if (!starting || waited >= containerStartMs) return users;
    await sleep(askAgainMs);
  }
}

async function foreignUsersNow(device: string, place: string): Promise<readonly MountUser[]> {
  const own = await readlink('/proc/self/ns/mnt');
  const namespaces = [await mountsOf('self')];
  const seen = new Set<string>([own]);
  const holding: { readonly user: MountUser; readonly mounts: readonly Mount[] }[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const namespace = await readlink(`/proc/${entry}/ns/mnt`);
      if (seen.has(namespace)) continue;
      const mounts = await mountsOf(entry);
      // A namespace is settled once one process of it could be read.
      seen.add(namespace);
      namespaces.push(mounts);
      if (mounts.some((mount) => mount.device === device)) holding.push({ user: { pid: Number(entry), command: await commandOf(entry) }, mounts });
    } catch {
      // The process ended while we looked.
    }
  }
  const ours = namespaces[0]!.findLast((mount) => mount.place === place && mount.device === device);
  const receives = receivers(parentOf(ours, namespaces[0]!), namespaces.flat());
  return holding
    .filter(({ mounts }) => mounts.some((mount) => mount.device === device && !receives(parentOf(mount, mounts))))
    .map(({ user }) => user);
}

function parentOf(mount: Mount | undefined, namespace: readonly Mount[]): Mount | undefined {
  return namespace.find(({ id }) => id === mount?.parent);
}

/** Whether what is mounted upon, and unmounted from, a mount in our namespace is so upon another one too: its peers, and whoever they hand it on to. */
function receivers(source: Mount | undefined, all: readonly Mount[]): (mount: Mount | undefined) => boolean {
  const groups = new Set(source?.shared === undefined ? [] : [source.shared]);
  for (let before = -1; before < groups.size;) {
    before = groups.size;
    for (const { shared, master } of all) if (shared !== undefined && master !== undefined && groups.has(master)) groups.add(shared);
  }
  return (mount) => [mount?.shared, mount?.master].some((group) => group !== undefined && groups.has(group));
}

async function mountsOf(pid: string): Promise<readonly Mount[]> {
  const lines = (await readFile(`/proc/${pid}/mountinfo`, 'utf8')).split('\n');
  return lines.flatMap((line) => parseMount(line) ?? []);
}

/**
 * Other places of this namespace where somebody mounted the same file system: `infinit volume mount` and people's own binds. What the kernel made of a mount
 * by propagation, under another bind of the directory that it is in, is no further one: it goes away with it.
 */
export async function otherPlaces(device: string, place: string): Promise<readonly string[]> {
  const all = await mountsOf('self');
  const found = all.filter((mount) => mount.device === device);
  const ours = found.findLast((mount) => mount.place === place);
  const known = ours === undefined ? [] : [ours];
  for (const mount of found) if (mount.place !== place && !known.some((one) => isTwin(one, mount, all))) known.push(mount);
  return known.flatMap((mount) => (mount === ours ? [] : [mount.place]));
}

/** Whether the kernel made `other` of `one`, or the other way about: where one receives what is mounted upon the other, at the same place of the same file system. */
function isTwin(one: Mount, other: Mount, all: readonly Mount[]): boolean {
  const [parent, twin] = [parentOf(one, all), parentOf(other, all)];
  if (parent === undefined || twin === undefined || parent.device !== twin.device) return false;
  if (whereIn(parent, one.place) !== whereIn(twin, other.place)) return false;
  return receivers(parent, all)(twin) || receivers(twin, all)(parent);
}

/** A path in a mount, as the path in its file system. */
function whereIn({ root, place }: Mount, below: string): string {
  return path.join(root, path.relative(place, below));
}

async function commandOf(pid: string): Promise<string> {
  return (await readFile(`/proc/${pid}/comm`, 'utf8')).trim();
}

interface Mount {
  readonly id: string;
  readonly parent: string;
  /** "major:minor". */
  readonly device: string;
  /** The directory of its file system that it shows. */
  readonly root: string;
  readonly place: string;
  /** The peer group that it sends mounts to and receives them from. */
  readonly shared: string | undefined;
  /** The peer group that it only receives from. */
  readonly master: string | undefined;
}

/** A line of mountinfo (proc(5)); octal escapes are undone. */
function parseMount(line: string): Mount | undefined {
  const fields = line.split(' ');
  if (fields.length < 7) return undefined;
  const plain = (field: string): string =>
    field.replaceAll(/\\(?<octal>[0-7]{3})/g, (_whole, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  const optional = fields.slice(6, fields.indexOf('-', 6));
  const tag = (name: string): string | undefined => optional.find((field) => field.startsWith(name))?.slice(name.length);
  const [id, parent, device, root, place] = fields as [string, string, string, string, string];
  return { id, parent, device, root: plain(root), place: plain(place), shared: tag('shared:'), master: tag('master:') };
}
