import { codeOf, InfinitError } from '../../base/index.ts';
import type { VolumeCore } from '../core.ts';
import { isReadLater } from '../failure.ts';
import { readBack, readMade, redo, type Redone } from './held-changes.ts';
import type { Inode } from '../inodes/inode.ts';
import { isDirectory, typeDirectory } from '../inodes/mode.ts';
import type { RedoLog } from './redo-log.ts';
import type { RedoCalled, RedoChange, RedoCreated, RedoOperation, RedoRecord, RedoStanding } from './redo-records.ts';

const parallelLoads = 64;

/** A record to be made again. */
type Ready = Redone | RedoCreated | RedoCalled | RedoOperation;

/** What a log has, and what that is about. */
export interface Subjects {
  readonly records: readonly RedoRecord[];
  /** Inodes that it makes, with their modes. */
  readonly made: ReadonlyMap<number, number>;
  readonly wanted: ReadonlySet<number>;
  /** Without these an operation cannot be made again; content of a file that was removed for good has no place any more. */
  readonly needed: ReadonlySet<number>;
  readonly directories: ReadonlySet<number>;
  /** Of inodes whose records an operation changes: as they were before the first one that does. */
  readonly before: ReadonlyMap<number, RedoStanding>;
  /** Those of which an operation gives another link count or parent, or which it removes. */
  readonly changed: ReadonlySet<number>;
}

/**
 * For inodes of which the log names content that another host put: all that it has of them waits, and is made again in the moment in which they are read. So where such a block is out of
 * reach its file alone has to wait, like one whose record is. To be called before any of them is read. Returns them.
 */
export function holdStored(core: VolumeCore, { records, made }: Subjects): ReadonlySet<number> {
  const held = new Set<number>();
  for (const record of records) if (record.kind === 'stored' && !made.has(record.inode)) held.add(record.inode);
  for (const record of records) if (isChange(record) && held.has(subjectOf(record))) core.held.hold(subjectOf(record), record);
  for (const inode of held) core.unread.seen(inode);
  return held;
}

/**
 * Reads what the process before left and brings the inodes that it is about into memory, changing nothing. The result makes it all again, at once. Of an inode whose record is out of
 * reach it is made again once that can be read; operations on names need not wait for it.
 * @param waiting see {@link holdStored}.
 * @throws InfinitError `damaged` where what is there does not fit what the store has; others where the store cannot be read now.
 */
export async function prepareReplay(core: VolumeCore, subjects: Subjects, waiting: ReadonlySet<number>): Promise<() => void> {
  const { records, made, wanted, needed, directories, before, changed } = subjects;
  const known = new Map<number, Inode>();
  const failed = new Map<number, unknown>();
  const numbers = [...new Set([...wanted, ...needed])].filter((number) => !made.has(number));
  const release = (): void => known.forEach((inode) => inode.handles--);
  const load = async (number: number): Promise<void> => {
    try {
      const inode = await core.table.load(number);
      if (inode === undefined || inode.gone) return;
      // Not to be evicted meanwhile.
      inode.handles++;
      known.set(number, inode);
    } catch (error) {
      if (!isReadLater(error)) throw error;
      failed.set(number, error);
    }
  };
  try {
    for (let at = 0; at < numbers.length; at += parallelLoads) await Promise.all(numbers.slice(at, at + parallelLoads).map(load));
    for (const number of needed) {
      const failure = failed.get(number);
      // A log of an earlier version does not say what becomes of it.
      if (failure !== undefined && changed.has(number) && !before.has(number)) throw failure;
      const mode = known.get(number)?.mode ?? made.get(number);
      if (failure !== undefined || (mode !== undefined && (isDirectory(mode) || !directories.has(number)))) continue;
      throw new InfinitError('damaged', `a killed daemon left an operation on inode ${number}, which does not exist, or has no names in it`);
    }
    const ready: Ready[] = [];
    const held: { readonly inode: number; readonly change: RedoChange }[] = [];
    for (const record of records) {
      const inode = isChange(record) ? subjectOf(record) : 0;
      if (waiting.has(inode)) continue;
      if (isChange(record) && failed.has(inode)) held.push({ inode, change: record });
      else if (record.kind !== 'stored') ready.push(record);
      else ready.push(await (made.has(inode) ? readMade(core.blocks, record) : readBack(core.blocks, record, known.get(inode)?.content)));
    }
    return () => {
      release();
      core.unread.wait(failed);
      for (const { inode, change } of held) {
        const failure = failed.get(inode);
        // Nobody brings back what was given up.
        if (codeOf(failure) === 'lost') continue;
        core.held.hold(inode, change);
        core.held.failed(inode, failure);
      }
      const replay = new Replay(core, known, failed, subjects);
      for (const record of ready) replay.apply(record);
    };
  } catch (error) {
    release();
    throw error;
  }
}

/** @param durable operations up to this one are in the journal. @throws InfinitError `damaged` */
export function subjectsOf(log: RedoLog, durable: number): Subjects {
  const records: RedoRecord[] = [];
  const made = new Map<number, number>();
  const wanted = new Set<number>();
  const needed = new Set<number>();
  const directories = new Set<number>();
  const before = new Map<number, RedoStanding>();
  const changed = new Set<number>();
  let last = durable;
  for (const record of log.records()) {
    if ('sequence' in record && record.sequence <= durable) continue;
    records.push(record);
    if (record.kind === 'called') continue;
    if (record.kind === 'created') made.set(record.attributes.inode, record.attributes.mode);
    else if (record.kind === 'operation') {
      if (record.sequence !== ++last) throw new InfinitError('damaged', `a killed daemon left no operation ${last}`);
      for (const number of inodesOf(record)) needed.add(number);
      for (const { directory } of record.names) directories.add(directory);
      for (const { inode } of [...record.links, ...record.moved]) changed.add(inode);
      if (record.gone !== 0) changed.add(record.gone);
      for (const standing of record.standings) if (!before.has(standing.inode)) before.set(standing.inode, undone(standing, record));
    } else wanted.add(record.kind === 'attributes' ? record.attributes.inode : record.inode);
  }
  return { records, made, wanted, needed, directories, before, changed };
}

/** As an inode was before the operation. Where that gave it another parent the one of before does not matter. */
function undone(standing: RedoStanding, { links }: RedoOperation): RedoStanding {
  let before = standing.links;
  for (const { inode, delta } of links) if (inode === standing.inode) before -= delta;
  return { ...standing, links: before };
}

function isChange(record: RedoRecord): record is RedoChange {
  return record.kind !== 'created' && record.kind !== 'called' && record.kind !== 'operation';
}

function subjectOf(record: RedoChange): number {
  return record.kind === 'attributes' ? record.attributes.inode : record.inode;
}

function inodesOf({ names, links, renamed, moved, gone, settle }: RedoOperation): number[] {
  const numbers = [...names.map(({ directory }) => directory), ...links.map(({ inode }) => inode), ...renamed, ...moved.map(({ inode }) => inode)];
  return [...numbers, gone, settle].filter((number) => number !== 0);
}

class Replay {
  readonly #core: VolumeCore;
  readonly #inodes: Map<number, Inode>;
  readonly #failed: ReadonlyMap<number, unknown>;
  readonly #subjects: Subjects;
  #call: RedoCalled | undefined;

  constructor(core: VolumeCore, inodes: Map<number, Inode>, failed: ReadonlyMap<number, unknown>, subjects: Subjects) {
    this.#core = core;
    this.#inodes = inodes;
    this.#failed = failed;
    this.#subjects = subjects;
  }

  apply(record: Ready): void {
    if (record.kind === 'created') this.#create(record);
    else if (record.kind === 'called') this.#call = record;
    else if (record.kind === 'operation') this.#operate(record);
    else {
      const inode = this.#inodes.get(record.kind === 'revealed' ? record.inode : subjectOf(record));
      if (inode !== undefined) redo(inode, record, (changed) => this.#core.touch(changed));
    }
  }

  #create({ device, parent, target, attributes }: RedoCreated): void {
    const { inode: number, ...rest } = attributes;
    const inode = this.#core.table.create(number, { ...rest, device, parent, target, links: 0 });
    // The kernel has references that were counted elsewhere.
    inode.uncounted = true;
    // Its record may have been written just before, without the journal's block that makes it.
    inode.block.doubt();
    this.#core.usage.add(0, 1);
    this.#inodes.set(number, inode);
  }

  /** One whose record is out of reach: it stands for itself with what is known of it. */
  #of(number: number): Inode {
    let inode = this.#inodes.get(number);
    if (inode === undefined) {
      const { before, directories } = this.#subjects;
      const known = before.get(number);
      const mode = known?.mode ?? (directories.has(number) ? typeDirectory : 0);
      this.#inodes.set(number, (inode = this.#core.unread.standIn(number, mode, known, this.#failed.get(number))));
    }
    return inode;
  }

  #operate({ sequence, names, links, renamed, moved, gone, settle }: RedoOperation): void {
    const core = this.#core;
    const of = (number: number): Inode => this.#of(number);
    // Of what cannot be read nothing can be written before the operation, nor by an fsync with it.
    const isRead = (number: number): boolean => !this.#failed.has(number);
    for (const { inode, delta } of links) of(inode).links += delta;
    for (const { inode, parent } of moved) of(inode).parent = parent;
    if (gone !== 0) core.markGone(of(gone));
    core.record({
      names: names.map(({ directory, name, inode, type }) => ({
        directory: of(directory),
        change: of(directory).directory!.change(name, inode === 0 ? undefined : { inode, type }),
      })),
      links: links.map(({ inode, delta }) => ({ inode: of(inode), delta })),
      renamed: renamed.filter(isRead).map(of),
      moved: moved.map(({ inode, parent }) => ({ inode: of(inode), parent })),
      ...(gone === 0 ? {} : { gone: of(gone) }),
      ...(settle === 0 || !isRead(settle) ? {} : { settle: of(settle) }),
      ...(this.#call?.sequence === sequence ? { call: { asker: this.#call.asker, number: this.#call.number, inode: this.#call.inode } } : {}),
    });
  }
}
