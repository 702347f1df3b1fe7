import type { VolumeCore } from '../core.ts';
import type { PlacedDentry } from './directory.ts';
import type { DirectoryEntry } from '../file-system.ts';
import type { InodeTable } from '../inodes/inode-table.ts';
import type { Inode } from '../inodes/inode.ts';
import { isReadLater } from '../failure.ts';
import { Miss } from '../miss.ts';
import { typeDirectory } from '../inodes/mode.ts';

/** What an entry takes of a caller's buffer besides its name: a dirent, and with attributes an entry_out. */
const direntBytes = 24;
const entryOutBytes = 128;
/** Names looked at in one step. */
const maxStepNames = 512;
/** Inodes that are asked for at once: what that, and taking the answers, costs the event loop. The next are asked for while these come. */
const maxLoadsAtOnce = 64;
const cookieDot = 1;
const cookieDotDot = 2;

/** A part of a directory; `ended`: there is nothing after it. */
export interface Listed {
  readonly entries: DirectoryEntry[];
  readonly ended: boolean;
}

/**
 * A part of a directory. A cookie is the place of a name, its hash, so it means the same however names come and go; the few names that
 * could share a hash share a cookie, and all but the last carry the one before, lest the rest be skipped where a buffer ends between them.
 * @param attributes whether entries come with theirs, and a kernel reference; `known`: without, but their inodes are in memory.
 * @param unreadable inodes that could not be read for it: their entries come without attributes, since one that is out of reach must not hide the others.
 * @throws Miss
 */
export function list(
  core: VolumeCore,
  directory: Inode,
  cookie: number,
  limit: number,
  attributes: boolean | 'known',
  unreadable: Set<number>,
): Listed {
  const out: DirectoryEntry[] = [];
  let room = limit;
  if (cookie < cookieDot) {
    out.push({ name: '.', inode: directory.number, type: typeDirectory, cookie: cookieDot });
    room -= direntBytes + 8;
  }
  if (cookie < cookieDotDot) {
    out.push({ name: '..', inode: directory.parent, type: typeDirectory, cookie: cookieDotDot });
    room -= direntBytes + 8;
  }
  const fixed = direntBytes + (attributes !== false ? entryOutBytes : 0);
  const names = core.table.names(directory);
  const found: PlacedDentry[] = [];
  let ended = false;
  for (let after = cookie; room > 0;) {
    const page = names.list(after, Math.min(maxStepNames, Math.ceil(room / (fixed + 8))));
    const before = found.length;
    for (const entry of page.entries) {
      if (room <= 0 && entry.position !== found.at(-1)?.position) break;
      found.push(entry);
      room -= fixed + ((entry.name.length + 7) & ~7);
    }
    ended = page.done && found.length - before === page.entries.length;
    if (page.done || room <= 0) break;
    after = page.until;
  }
  const inodes = attributes !== false ? inodesOf(core, found, unreadable) : undefined;
  found.forEach(({ name, inode, type, position }, index) => {
    const next = found[index + 1]?.position === position ? position - 1 : position;
    const one = attributes === true ? inodes?.[index] : undefined;
    // What another host is changing is asked for by whoever wants to know it.
    const known = one !== undefined && core.isLent(one) ? undefined : one;
    if (known !== undefined) known.lookups++;
    out.push({ name, inode, type, cookie: next, ...(known === undefined ? {} : { attributes: known.attributes() }) });
  });
  return { entries: out, ended };
}

/** The inodes of entries; missing ones are loaded first. @throws Miss */
function inodesOf({ table }: VolumeCore, entries: readonly PlacedDentry[], unreadable: Set<number>): (Inode | undefined)[] {
  const missing = entries.flatMap(({ inode }) => (table.knows(inode) || unreadable.has(inode) ? [] : [inode]));
  if (missing.length > 0) throw new Miss(loadAll(table, missing, unreadable));
  return entries.map(({ inode }) => (unreadable.has(inode) ? undefined : table.find(inode)));
}

/** All are asked for here, so that the listing is not made anew for each part. */
async function loadAll(table: InodeTable, numbers: readonly number[], unreadable: Set<number>): Promise<void> {
  const load = (number: number): Promise<unknown> =>
    table.load(number).catch((error: unknown) => {
      if (!isReadLater(error)) throw error;
      unreadable.add(number);
    });
  let coming: Promise<unknown> = Promise.resolve();
  for (let at = 0; at < numbers.length; at += maxLoadsAtOnce) {
    const next = Promise.all(numbers.slice(at, at + maxLoadsAtOnce).map((number) => load(number)));
    // A failure is thrown where it is waited for.
    next.catch(() => {});
    await coming;
    coming = next;
  }
  await coming;
}
