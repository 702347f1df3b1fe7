import { readFile } from 'node:fs/promises';

/** The file system type that our mounts show. */
export const mountType = 'fuse.infinit';

/** One of our mounts in the kernel's table. */
export interface MountEntry {
  readonly mountPoint: string;
  /** The volume's name, as given at the mount. */
  readonly source: string;
  /** The FUSE connection's number: the minor of st_dev. */
  readonly connection: number;
}

/** Our mounts at or below `directory` in this mount namespace, oldest first; one path may occur several times. */
export async function listMounts(directory: string): Promise<readonly MountEntry[]> {
  return parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8')).filter(
    ({ mountPoint }) => mountPoint === directory || mountPoint.startsWith(directory === '/' ? '/' : `${directory}/`),
  );
}

/** Our lines of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [before, behind] = line.split(' - ');
    const [type, source] = behind?.split(' ') ?? [];
    const [, , device, , mountPoint] = before?.split(' ') ?? [];
    if (type !== mountType || source === undefined || device === undefined || mountPoint === undefined) continue;
    entries.push({ mountPoint: unescape(mountPoint), source: unescape(source), connection: Number(device.split(':')[1]) });
  }
  return entries;
}

/** Blanks, tabs, line ends and backslashes are written as octal; the rest is UTF-8. */
function unescape(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
