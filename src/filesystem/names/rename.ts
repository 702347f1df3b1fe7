import type { VolumeCore } from '../core.ts';
import type { Directory } from './directory.ts';
import { type ExchangeRequest, FileSystemError } from '../file-system.ts';
import type { Inode } from '../inodes/inode.ts';
import { renameExchange, renameNoReplace, renameWhiteout } from '../inodes/mode.ts';
import { checkName } from './names.ts';
import { dentryOf, type Namespace } from './namespace.ts';

/** Directories above one another that a check follows. */
const maxDepth = 1_000_000;

interface Place {
  readonly inode: Inode;
  readonly names: Directory;
  readonly name: string;
}

/** rename(2) and renameat2(2). One operation: see {@link attempt}. @throws Miss, FileSystemError */
export function rename(
  core: VolumeCore,
  namespace: Namespace,
  parent: number,
  name: string,
  newParent: number,
  newName: string,
  flags: number,
  request?: ExchangeRequest,
): void {
  if ((flags & ~(renameNoReplace | renameExchange | renameWhiteout)) !== 0) throw new FileSystemError('EINVAL');
  if ((flags & renameExchange) !== 0 && flags !== renameExchange) throw new FileSystemError('EINVAL');
  const from: Place = { ...namespace.writableDirectory(parent), name };
  const to: Place = { ...namespace.writableDirectory(newParent), name: newName };
  checkName(newName);
  if (request?.again === true && isDone(core, request)) return;
  const source = inodeAt(core, from);
  if (source === undefined) throw new FileSystemError('ENOENT');
  const target = inodeAt(core, to);
  if ((flags & renameNoReplace) !== 0 && target !== undefined) throw new FileSystemError('EEXIST');
  checkNoLoop(core, source, from, to);
  if ((flags & renameExchange) !== 0) {
    if (target === undefined) throw new FileSystemError('ENOENT');
    checkNoLoop(core, target, to, from);
    claim(core, from, to, source, target);
    if (source !== target) exchange(core, namespace, from, to, source, target, request?.number);
    return;
  }
  // Two names of the same file: POSIX wants nothing to be done.
  if (source === target) return;
  if (target !== undefined) checkReplaceable(source, target);
  else to.names.checkRoom(newName);
  claim(core, from, to, source, target);
  const left = (flags & renameWhiteout) === 0 ? undefined : namespace.whiteout(from.inode);
  move(core, namespace, from, to, source, target, left, request?.number);
}

function claim(core: VolumeCore, { inode: from }: Place, { inode: to }: Place, source: Inode, target: Inode | undefined): void {
  core.claim(target === undefined ? [from, to, source] : [from, to, source, target], [from, to]);
}

/** Whether a process before did it. @throws FileSystemError EIO where that is not known */
function isDone(core: VolumeCore, { number }: ExchangeRequest): boolean {
  const done = core.redo?.exchanges.done(number);
  if (done === undefined) throw new FileSystemError('EIO', 'whether the rename took effect before the crash is not known');
  return done;
}

function inodeAt(core: VolumeCore, { names, name }: Place): Inode | undefined {
  const dentry = names.lookup(name);
  return dentry === undefined ? undefined : core.table.get(dentry.inode);
}

/** A directory must not move below itself. */
function checkNoLoop(core: VolumeCore, moving: Inode, from: Place, to: Place): void {
  if (!moving.isDirectory || from.inode === to.inode) return;
  let above = to.inode;
  for (let depth = 0; depth < maxDepth; depth++) {
    if (above === moving) throw new FileSystemError('EINVAL');
    if (above.parent === above.number) return;
    above = core.table.get(above.parent);
  }
  throw new FileSystemError('ELOOP');
}

function checkReplaceable(source: Inode, target: Inode): void {
  if (source.isDirectory && !target.isDirectory) throw new FileSystemError('ENOTDIR');
  if (!source.isDirectory && target.isDirectory) throw new FileSystemError('EISDIR');
  if (target.isDirectory && !target.directory!.empty) throw new FileSystemError('ENOTEMPTY');
}

/**
 * The new name first, then the old one away: in the log and in the journal both are one.
 * @param left What was just made to stand under the old name; it becomes durable with the rest.
 */
function move(
  core: VolumeCore,
  namespace: Namespace,
  from: Place,
  to: Place,
  source: Inode,
  target: Inode | undefined,
  left: Inode | undefined,
  request: number | undefined,
): void {
  const now = stampBoth(namespace, from, to);
  const names = [
    { directory: to.inode, change: to.names.change(to.name, dentryOf(source)) },
    { directory: from.inode, change: from.names.change(from.name, left === undefined ? undefined : dentryOf(left)) },
  ];
  const dropped = target === undefined ? { links: [] } : namespace.dropName(target, now);
  const { links } = dropped;
  if (left !== undefined) links.push({ inode: left, delta: left.links });
  const count = (directory: Inode, delta: number): void => {
    directory.links += delta;
    links.push({ inode: directory, delta });
  };
  if (target?.isDirectory === true) count(to.inode, -1);
  const crosses = source.isDirectory && from.inode !== to.inode;
  if (crosses) {
    count(from.inode, -1);
    count(to.inode, 1);
    source.parent = to.inode.number;
  }
  source.stamp(now);
  core.touch(source);
  core.record({
    names,
    ...dropped,
    renamed: [source],
    ...(crosses ? { moved: [{ inode: source, parent: to.inode.number }] } : {}),
    // Write a new file, rename it over the old one, without fsync: after a crash there must be one or the other, not an empty file.
    ...(target !== undefined && source.isRegular ? { settle: source } : {}),
    ...(request === undefined ? {} : { request }),
  });
}

function exchange(core: VolumeCore, namespace: Namespace, from: Place, to: Place, source: Inode, target: Inode, request: number | undefined): void {
  const now = stampBoth(namespace, from, to);
  const names = [
    { directory: to.inode, change: to.names.change(to.name, dentryOf(source)) },
    { directory: from.inode, change: from.names.change(from.name, dentryOf(target)) },
  ];
  const links: { inode: Inode; delta: number }[] = [];
  const moved: { inode: Inode; parent: number }[] = [];
  if (from.inode !== to.inode) {
    for (const [inode, home, away] of [
      [source, to.inode, from.inode],
      [target, from.inode, to.inode],
    ] as const) {
      if (!inode.isDirectory) continue;
      inode.parent = home.number;
      moved.push({ inode, parent: home.number });
      home.links++;
      away.links--;
      links.push({ inode: home, delta: 1 }, { inode: away, delta: -1 });
    }
  }
  for (const inode of [source, target]) {
    inode.stamp(now);
    core.touch(inode);
  }
  core.record({ names, links, moved, renamed: [source, target], ...(request === undefined ? {} : { request }) });
}

function stampBoth(namespace: Namespace, from: Place, to: Place): Inode['changed'] {
  const now = namespace.stamp(from.inode);
  if (to.inode !== from.inode) namespace.stamp(to.inode);
  return now;
}
