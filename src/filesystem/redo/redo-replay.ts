import { codeOf, InfinitError } from '../../base/index.ts';
import type { VolumeCore } from '../core.ts';
import type { Inode } from '../inodes/inode.ts';
import type { JournaledAttributes } from '../inodes/journaled-attributes.ts';
import { isDirectory } from '../inodes/mode.ts';
import type { RedoLog } from './redo-log.ts';
import type { RedoCalled, RedoCreated, RedoOperation, RedoRecord } from './redo-records.ts';

const parallelLoads = 64;

type StoredRecord = RedoRecord & { readonly kind: 'stored' };

/** A record to be made again. `revealed`: the store has it. */
type Redone = Exclude<RedoRecord, StoredRecord> | { readonly kind: 'revealed'; readonly inode: number; readonly start: number; readonly end: number };

/**
 * Reads what the process before left and brings the inodes that it is about into memory, changing nothing. The result makes it all again, at once.
 * @param durable operations up to this one are in the journal.
 * @throws InfinitError `damaged` where what is there does not fit what the store has; others where the store cannot be read now.
 */
export async function prepareReplay(core: VolumeCore, redo: RedoLog, durable: number): Promise<() => void> {
  const records: RedoRecord[] = [];
  /** With their modes. */
  const made = new Map<number, number>();
  const wanted = new Set<number>();
  // Without these an operation cannot be made again; content of a file that was removed for good has no place any more.
  const needed = new Set<number>();
  const directories = new Set<number>();
  let last = durable;
  for (const record of redo.records()) {
    if ('sequence' in record && record.sequence <= durable) continue;
    records.push(record);
    if (record.kind === 'called') continue;
    if (record.kind === 'created') made.set(record.attributes.inode, record.attributes.mode);
    else if (record.kind === 'operation') {
      if (record.sequence !== ++last) throw new InfinitError('damaged', `a killed daemon left no operation ${last}`);
      for (const number of inodesOf(record)) needed.add(number);
      for (const { directory } of record.names) directories.add(directory);
    } else wanted.add(record.kind === 'attributes' ? record.attributes.inode : record.inode);
  }
  const known = new Map<number, Inode>();
  const numbers = [...new Set([...wanted, ...needed])].filter((number) => !made.has(number));
  for (let at = 0; at < numbers.length; at += parallelLoads) {
    for (const inode of await Promise.all(numbers.slice(at, at + parallelLoads).map((number) => core.table.load(number)))) {
      if (inode === undefined || inode.gone) continue;
      // Not to be evicted meanwhile.
      inode.handles++;
      known.set(inode.number, inode);
    }
  }
  const release = (): void => known.forEach((inode) => inode.handles--);
  for (const number of needed) {
    const mode = known.get(number)?.mode ?? made.get(number);
    if (mode !== undefined && (isDirectory(mode) || !directories.has(number))) continue;
    release();
    throw new InfinitError('damaged', `a killed daemon left an operation on inode ${number}, which does not exist, or has no names in it`);
  }
  const ready: Redone[] = [];
  try {
    for (const record of records) ready.push(record.kind === 'stored' ? await readBack(core, record, known.get(record.inode)) : record);
  } catch (error) {
    release();
    throw error;
  }
  return () => {
    release();
    const replay = new Replay(core, known);
    for (const record of ready) replay.apply(record);
  };
}

/** Once the inode's record is durable its block may go, as blocks do that are put together with others: then the store has what was written, or what came of it. */
async function readBack(core: VolumeCore, record: StoredRecord, inode: Inode | undefined): Promise<Redone> {
  const { offset, length, address, at } = record;
  const revealed = { kind: 'revealed' as const, inode: record.inode, start: offset, end: offset + length };
  const segments = (await inode?.content?.map?.lookup(offset, length)) ?? [];
  if (segments.some((segment) => segment.address === address)) return revealed;
  try {
    return { kind: 'write', inode: record.inode, offset, data: await core.blocks.loadPart(address, at, length) };
  } catch (error) {
    if (codeOf(error) === 'not-found') return revealed;
    throw error;
  }
}

function inodesOf({ names, links, renamed, moved, gone, settle }: RedoOperation): number[] {
  const numbers = [...names.map(({ directory }) => directory), ...links.map(({ inode }) => inode), ...renamed, ...moved.map(({ inode }) => inode)];
  return [...numbers, gone, settle].filter((number) => number !== 0);
}

class Replay {
  readonly #core: VolumeCore;
  readonly #inodes: Map<number, Inode>;
  #call: RedoCalled | undefined;

  constructor(core: VolumeCore, inodes: Map<number, Inode>) {
    this.#core = core;
    this.#inodes = inodes;
  }

  apply(record: Redone): void {
    switch (record.kind) {
      case 'revealed':
        this.#inodes.get(record.inode)?.content?.reveal(record.start, record.end);
        break;
      case 'write':
        this.#inodes.get(record.inode)?.content?.write(record.offset, record.data);
        break;
      case 'punch':
        this.#inodes.get(record.inode)?.content?.punch(record.start, record.end);
        break;
      case 'xattrs': {
        const inode = this.#inodes.get(record.inode);
        if (inode === undefined) break;
        inode.xattrs = record.xattrs;
        // The record of attributes that follows touches it.
        inode.xattrsRevision = inode.revision + 1;
        break;
      }
      case 'calls': {
        const inode = this.#inodes.get(record.inode);
        if (inode === undefined) break;
        inode.calls = record.calls;
        inode.callsRevision = inode.revision + 1;
        break;
      }
      case 'attributes':
        this.#change(record.attributes);
        break;
      case 'created':
        this.#create(record);
        break;
      case 'called':
        this.#call = record;
        break;
      case 'operation':
        this.#operate(record);
        break;
    }
  }

  #change(attributes: JournaledAttributes): void {
    const inode = this.#inodes.get(attributes.inode);
    if (inode === undefined) return;
    inode.become(attributes);
    this.#core.touch(inode);
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

  #operate({ sequence, names, links, renamed, moved, gone, settle }: RedoOperation): void {
    const core = this.#core;
    const of = (number: number): Inode => this.#inodes.get(number)!;
    for (const { inode, delta } of links) of(inode).links += delta;
    for (const { inode, parent } of moved) of(inode).parent = parent;
    if (gone !== 0) core.markGone(of(gone));
    core.record({
      names: names.map(({ directory, name, inode, type }) => ({
        directory: of(directory),
        change: of(directory).directory!.change(name, inode === 0 ? undefined : { inode, type }),
      })),
      links: links.map(({ inode, delta }) => ({ inode: of(inode), delta })),
      renamed: renamed.map(of),
      moved: moved.map(({ inode, parent }) => ({ inode: of(inode), parent })),
      ...(gone === 0 ? {} : { gone: of(gone) }),
      ...(settle === 0 ? {} : { settle: of(settle) }),
      ...(this.#call?.sequence === sequence ? { call: { asker: this.#call.asker, number: this.#call.number, inode: this.#call.inode } } : {}),
    });
  }
}
