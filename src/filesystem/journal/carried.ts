import type { Inode } from '../inodes/inode.ts';
import { inodeCost, type JournalBlock, maxJournalBytes, nameCost, recordCost } from './journal-codec.ts';

/** What a block of the journal says. */
export type Carried = Pick<JournalBlock, 'names' | 'inodes'>;

interface Left {
  readonly directories: Iterable<Inode>;
  readonly touched: Iterable<Inode>;
  readonly gone: Iterable<Inode>;
  /** Those without a name that the list of them lacks: numbers, and where each was. */
  readonly unlisted: Iterable<{ readonly number: number; readonly parent: number }>;
  /** Of which the records were not read yet. */
  readonly unread: Iterable<Carried>;
}

/** What is durable in the journal and not in its place yet, as it is now, cut into blocks. Names and links are final values, so it does not matter what of it the journal has elsewhere. */
export function carriedBlocks({ directories, touched, gone, unlisted, unread }: Left): Carried[] {
  const blocks: { names: JournalBlock['names'][number][]; inodes: JournalBlock['inodes'][number][] }[] = [];
  let bytes = Infinity;
  const room = (cost: number): (typeof blocks)[number] => {
    if (bytes + cost > maxJournalBytes) {
      blocks.push({ names: [], inodes: [] });
      bytes = 0;
    }
    bytes += cost;
    return blocks.at(-1)!;
  };
  for (const { number: directory, directory: names } of directories)
    for (const { name, dentry } of names!.overlay.allStaged())
      room(nameCost(name)).names.push({ directory, name, inode: dentry?.inode ?? 0, type: dentry?.type ?? 0 });
  const put = (inode: Inode, isGone: boolean): void => {
    const { number, durableLinks: links, durableParent: parent } = inode;
    const record = isGone ? undefined : inode.unplaced;
    const entry = { number, links, parent, gone: isGone, made: false, bytes: 0, counted: isGone, ...(record === undefined ? {} : { record }) };
    room(inodeCost + recordCost(record)).inodes.push(entry);
  };
  const removed = new Set(gone);
  const linked = new Set<number>();
  for (const inode of touched) {
    if (removed.has(inode)) continue;
    put(inode, false);
    linked.add(inode.number);
  }
  for (const { number, parent } of unlisted)
    if (!linked.has(number)) room(inodeCost).inodes.push({ number, links: 0, parent, gone: false, made: false, bytes: 0 });
  for (const inode of removed) put(inode, true);
  for (const { names, inodes } of unread) {
    for (const name of names) room(nameCost(name.name)).names.push(name);
    for (const inode of inodes) room(inodeCost + recordCost(inode.record)).inodes.push(inode);
  }
  return blocks;
}
