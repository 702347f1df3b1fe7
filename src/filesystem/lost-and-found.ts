import type { VolumeCore } from './core.ts';
import { correctLinks } from './correct-links.ts';
import { unlessLost } from './failure.ts';
import { FileSystemError } from './file-system.ts';
import type { Inode } from './inodes/inode.ts';
import { isDirectory, typeDirectory } from './inodes/mode.ts';
import { attempt } from './miss.ts';
import { dentryOf, type Namespace } from './names/namespace.ts';
import { firstPosition } from './names/name-hash.ts';
import { rootInode } from './root-inode.ts';

/** Where what has no name any more is found again, as with other file systems. */
export const lostAndFound = 'lost+found';
const pageNames = 512;
const nobody = { uid: 0, gid: 0, pid: 0 };

/**
 * Gives what no directory names any more a name in /lost+found: `#` and its number. Of a directory that is found so all that is in it has its name again. Names of which nothing is left go: they
 * could neither be used nor removed. Of a directory that lost pages of its names the others are there again. For a volume that nobody else uses.
 * @param numbers Inodes that there may be. Returns how many were given one. @throws InfinitError
 */
export async function gatherLost(core: VolumeCore, namespace: Namespace, numbers: AsyncIterable<number>): Promise<number> {
  // Numbers alone: all inodes of a volume together are more than memory may hold.
  const candidates = new Set<number>();
  const found = new Set<number>();
  const meet = async (number: number): Promise<Inode | undefined> => {
    const inode = number === rootInode || candidates.has(number) ? undefined : await unlessLost(core.table.load(number));
    // What has no links was removed, and is on its way.
    if (inode === undefined || inode === 'lost' || inode.gone || inode.links === 0 || core.orphans.has(number)) return undefined;
    candidates.add(number);
    if (inode.isDirectory) found.add(number);
    return inode;
  };
  for await (const number of numbers) {
    // Whoever knows of a directory may not know of the one that has it, which must not come to have it beside /lost+found.
    for (let inode = await meet(number); inode?.isDirectory === true;) inode = await meet(inode.parent);
  }
  const { named, directories, dangling } = await walk(core, found);
  for (const one of dangling) await attempt(() => dropDangling(core, namespace, one));
  // A root directory that was made anew counts none of what is in it, and one that lost names counts too many.
  for (const [number, subdirectories] of directories) await attempt(() => correctLinks(core, core.table.get(number), subdirectories + 2));
  for (const number of named) candidates.delete(number);
  if (candidates.size === 0) return 0;
  const home = await attempt(() => homeOf(namespace));
  for (const number of candidates) await attempt(() => adopt(core, namespace, home.number, core.table.get(number)));
  return candidates.size;
}

/** A name of something of which there is no record. */
interface Dangling {
  readonly directory: number;
  readonly name: string;
}

interface Walked {
  readonly dangling: readonly Dangling[];
  /** All that a directory names which is left, whether anything leads to it or not. */
  readonly named: ReadonlySet<number>;
  /** How many directories are in each, of those that could be read. */
  readonly directories: ReadonlyMap<number, number>;
}

/** @param found directories that there are, besides those that are named. */
async function walk(core: VolumeCore, found: ReadonlySet<number>): Promise<Walked> {
  const named = new Set<number>();
  const directories = new Map<number, number>();
  const dangling: Dangling[] = [];
  const waiting = [rootInode, ...found];
  const seen = new Set<number>();
  for (let number = waiting.pop(); number !== undefined; number = waiting.pop()) {
    if (seen.has(number)) continue;
    seen.add(number);
    const inode = await unlessLost(core.table.load(number));
    if (inode === 'lost' || inode?.directory === undefined) continue;
    const { directory } = inode;
    // A page that is lost would hide all that follow it.
    if ((await unlessLost(directory.tree.mend())) === 'lost') continue;
    let subdirectories = 0;
    for (let after = firstPosition - 1; ;) {
      const from = after;
      const page = await unlessLost((async () => attempt(() => directory.list(from, pageNames)))());
      if (page === 'lost') break;
      for (const entry of page.entries) {
        if ((await unlessLost(core.table.load(entry.inode))) === undefined) {
          dangling.push({ directory: number, name: entry.name });
          continue;
        }
        named.add(entry.inode);
        if (!isDirectory(entry.type)) continue;
        waiting.push(entry.inode);
        subdirectories++;
      }
      if (page.done) {
        directories.set(number, subdirectories);
        break;
      }
      after = page.until;
    }
  }
  return { named, directories, dangling };
}

/** @throws Miss, FileSystemError */
function dropDangling(core: VolumeCore, namespace: Namespace, { directory: parent, name }: Dangling): void {
  const { inode: directory, names } = namespace.writableDirectory(parent);
  const change = names.change(name, undefined);
  namespace.stamp(directory);
  core.record({ names: [{ directory, change }], links: [] });
}

function homeOf(namespace: Namespace): Inode {
  const known = namespace.lookup(rootInode, lostAndFound);
  if (known?.isDirectory === false) throw new FileSystemError('ENOTDIR', `/${lostAndFound} is no directory: give it another name first`);
  return known ?? namespace.make(rootInode, lostAndFound, { mode: typeDirectory | 0o700, umask: 0, caller: nobody });
}

/** One operation, as those of {@link Namespace}. */
function adopt(core: VolumeCore, namespace: Namespace, home: number, inode: Inode): void {
  const { inode: directory, names } = namespace.writableDirectory(home);
  const name = `#${inode.number}`;
  if (names.lookup(name) !== undefined) return;
  names.checkRoom(name);
  const change = names.change(name, dentryOf(inode));
  // Of the names that it had this is the one which is left.
  const links = [inode.isDirectory ? { inode: directory, delta: 1 } : { inode, delta: 1 - inode.links }];
  if (inode.isDirectory) {
    directory.links++;
    inode.parent = directory.number;
  } else inode.links = 1;
  inode.stamp(namespace.stamp(directory));
  core.touch(inode);
  core.record({ names: [{ directory, change }], links, ...(inode.isDirectory ? { moved: [{ inode, parent: directory.number }] } : {}) });
}
