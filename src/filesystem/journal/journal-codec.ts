import { InfinitError, readU64, writeU64 } from '../../base/index.ts';
import { type CallRecord, type DoneCall } from './call-table.ts';

/**
 * One block of the journal: what a batch of operations made of names and link counts, final values only, so that applying it twice is
 * the same as once. Little-endian:
 *
 * ```
 *  0 u8 version (1, or 2 with records), u8 1: there are counts, 2 B 0 | 4 u64 sequence | 12 u64 next inode number | 20 u64 allocated bytes | 28 u64 files | 36 u32 names | 40 u32 inodes
 * 44 names:  u64 directory, u64 inode (0: the name is removed), u8 type >> 12, u8 length, name
 *    inodes: u64 number, u32 links, u64 parent, u8 gone
 *    numbering, for what a daemon leaves to another: u64 session that began it (0: none), u64 number of the last operation
 *    counts, one an inode: u8 1 made, 2 counted by a block before, u64 bytes
 *    version 2: records that are not in their places: u32 how many, each u32 which of the inodes, u32 length, record
 *    calls of other hosts, up to here: u64 memory, u16 askers, of each: u8 length, name, u16 calls, of each: u64 number, u64 inode
 * ```
 */
export interface JournalBlock {
  readonly sequence: number;
  /** No inode from this number on belongs to an operation up to here. */
  readonly nextInode: number;
  /** The volume's figures then: for a program that knows nothing of counts. */
  readonly usage: Usage;
  /** False: such a program's; its inodes do not say what is counted. */
  readonly counts: boolean;
  readonly names: readonly JournalName[];
  readonly inodes: readonly JournalInode[];
  /** Which operations it has, for the next process on this host: those up to `through`, as counted since the session `origin`. */
  readonly numbered?: { readonly origin: number; readonly through: number };
  /** Calls that it and the blocks before have done and that may be asked for again; undefined: it is of a version that knows nothing of them. */
  readonly calls?: CallRecord | undefined;
}

export interface Usage {
  /** Bytes of file contents kept. */
  readonly allocated: number;
  /** Inodes in use. */
  readonly files: number;
}

export interface JournalName {
  readonly directory: number;
  readonly name: string;
  /** 0: removed. */
  readonly inode: number;
  readonly type: number;
}

export interface JournalInode {
  readonly number: number;
  readonly links: number;
  readonly parent: number;
  /** Without names and users: its block goes. Links 0 but not gone: somebody has it open still. */
  readonly gone: boolean;
  /** New with this block: it is counted from now on, with the content that its record says. If gone as well it never is. */
  readonly made: boolean;
  /** Where it is gone: bytes of content that were counted for it. */
  readonly bytes: number;
  /** A block before has it as well, and counted it out: this one only goes on saying that it is gone. */
  readonly counted?: boolean;
  /** Its record, where that could not be written into its place. What is there, if anything is, counts instead. */
  readonly record?: Uint8Array;
}

const formatVersion = 1;
/** Earlier versions, which would look for those in their places alone, refuse a block that has some. */
const recordsVersion = 2;
const countsAt = 1;
const headBytes = 44;
const nameBytes = 18;
const inodeBytes = 21;
const numberedBytes = 16;
const countBytes = 9;
const recordsHeadBytes = 4;
const recordHeadBytes = 8;
const callsHeadBytes = 10;
const askerBytes = 3;
const callBytes = 16;
/** Of a block at the most: of those that are remembered, and its own, each asker's name anew. */
const maxCallsBytes = 14 * 1024;
const [isMade, isCounted] = [1, 2];

/** What a name and an inode add to a block at the most: a batch is cut so that it fits. */
export function nameCost(name: string): number {
  return nameBytes + name.length;
}
export const inodeCost: number = inodeBytes + countBytes;
/** What its record adds. */
export function recordCost(record: Uint8Array | undefined): number {
  return record === undefined ? 0 : recordHeadBytes + record.length;
}
/** Bytes for the entries of a block. */
export const maxJournalBytes: number = 60 * 1024 - headBytes - numberedBytes - recordsHeadBytes - maxCallsBytes;

export function encodeJournal(block: Omit<JournalBlock, 'counts'>): Uint8Array {
  let bytes = headBytes + numberedBytes + block.inodes.length * inodeCost;
  for (const { name } of block.names) bytes += nameBytes + name.length;
  const records = block.inodes.flatMap(({ record }, index) => (record === undefined ? [] : { record, index }));
  if (records.length > 0) bytes += recordsHeadBytes;
  for (const { record } of records) bytes += recordCost(record);
  const askers = byAsker(block.calls?.calls ?? []);
  if (block.calls !== undefined) bytes += callsHeadBytes;
  for (const [asker, calls] of askers) bytes += askerBytes + asker.length + callBytes * calls.length;
  const into = Buffer.alloc(bytes);
  into[0] = records.length > 0 ? recordsVersion : formatVersion;
  into[countsAt] = 1;
  writeU64(into, block.sequence, 4);
  writeU64(into, block.nextInode, 12);
  writeU64(into, block.usage.allocated, 20);
  writeU64(into, block.usage.files, 28);
  into.writeUInt32LE(block.names.length, 36);
  into.writeUInt32LE(block.inodes.length, 40);
  let at = headBytes;
  for (const { directory, name, inode, type } of block.names) {
    writeU64(into, directory, at);
    writeU64(into, inode, at + 8);
    into[at + 16] = type >>> 12;
    into[at + 17] = name.length;
    into.write(name, at + 18, 'latin1');
    at += nameBytes + name.length;
  }
  for (const { number, links, parent, gone } of block.inodes) {
    writeU64(into, number, at);
    into.writeUInt32LE(links, at + 8);
    writeU64(into, parent, at + 12);
    into[at + 20] = gone ? 1 : 0;
    at += inodeBytes;
  }
  writeU64(into, block.numbered?.origin ?? 0, at);
  writeU64(into, block.numbered?.through ?? 0, at + 8);
  at += numberedBytes;
  for (const { made, counted, bytes: content } of block.inodes) {
    into[at] = made ? isMade : counted === true ? isCounted : 0;
    writeU64(into, content, at + 1);
    at += countBytes;
  }
  if (records.length > 0) {
    into.writeUInt32LE(records.length, at);
    at += recordsHeadBytes;
  }
  for (const { record, index } of records) {
    into.writeUInt32LE(index, at);
    into.writeUInt32LE(record.length, at + 4);
    into.set(record, at + recordHeadBytes);
    at += recordCost(record);
  }
  if (block.calls === undefined) return into;
  writeU64(into, block.calls.memory, at);
  into.writeUInt16LE(askers.size, at + 8);
  at += callsHeadBytes;
  for (const [asker, calls] of askers) {
    into[at] = asker.length;
    into.write(asker, at + 1, 'latin1');
    into.writeUInt16LE(calls.length, at + 1 + asker.length);
    at += askerBytes + asker.length;
    for (const { number, inode } of calls) {
      writeU64(into, number, at);
      writeU64(into, inode, at + 8);
      at += callBytes;
    }
  }
  return into;
}

function byAsker(calls: readonly DoneCall[]): Map<string, DoneCall[]> {
  const askers = new Map<string, DoneCall[]>();
  for (const call of calls) {
    const known = askers.get(call.asker);
    if (known === undefined) askers.set(call.asker, [call]);
    else known.push(call);
  }
  return askers;
}

function decodeCalls(from: Buffer, start: number): CallRecord | undefined {
  if (from.length <= start) return undefined;
  const calls: DoneCall[] = [];
  let at = start + callsHeadBytes;
  for (let askers = from.readUInt16LE(start + 8); askers > 0; askers--) {
    const length = from.readUInt8(at);
    const asker = from.toString('latin1', at + 1, at + 1 + length);
    let left = from.readUInt16LE(at + 1 + length);
    for (at += askerBytes + length; left > 0; left--, at += callBytes) {
      if (at + callBytes > from.length) throw new RangeError('a call is cut short');
      calls.push({ asker, number: readU64(from, at), inode: readU64(from, at + 8) });
    }
  }
  return { memory: readU64(from, start), calls };
}

function decodeRecords(from: Buffer, start: number): { readonly records: ReadonlyMap<number, Uint8Array>; readonly end: number } {
  const records = new Map<number, Uint8Array>();
  let at = start + recordsHeadBytes;
  for (let left = from.readUInt32LE(start); left > 0; left--) {
    const end = at + recordHeadBytes + from.readUInt32LE(at + 4);
    if (end > from.length) throw new RangeError('a record is cut short');
    records.set(from.readUInt32LE(at), Uint8Array.prototype.slice.call(from, at + recordHeadBytes, end));
    at = end;
  }
  return { records, end: at };
}

/** @throws InfinitError `damaged`, `wrong-version`. */
export function decodeJournal(body: Uint8Array): JournalBlock {
  const from = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const hasRecords = from[0] === recordsVersion;
  if (from[0] !== formatVersion && !hasRecords)
    throw new InfinitError('wrong-version', `the volume's journal has format ${from[0]}; this host reads up to ${recordsVersion}: upgrade it`);
  const names: JournalName[] = [];
  const inodes: Omit<JournalInode, 'made' | 'bytes' | 'counted'>[] = [];
  let at = headBytes;
  try {
    for (let left = from.readUInt32LE(36); left > 0; left--) {
      const length = from.readUInt8(at + 17);
      if (at + nameBytes + length > from.length) throw new RangeError('a name is cut short');
      const name = from.toString('latin1', at + nameBytes, at + nameBytes + length);
      names.push({ directory: readU64(from, at), inode: readU64(from, at + 8), type: from[at + 16]! << 12, name });
      at += nameBytes + length;
    }
    for (let left = from.readUInt32LE(40); left > 0; left--) {
      inodes.push({
        number: readU64(from, at),
        links: from.readUInt32LE(at + 8),
        parent: readU64(from, at + 12),
        gone: from.readUInt8(at + 20) === 1,
      });
      at += inodeBytes;
    }
    const counts = from[countsAt] === 1;
    const origin = from.length < at + numberedBytes ? 0 : readU64(from, at);
    const count = (index: number): number => at + numberedBytes + index * countBytes;
    const { records, end } = hasRecords ? decodeRecords(from, count(inodes.length)) : { records: undefined, end: count(inodes.length) };
    const recordOf = (index: number): Pick<JournalInode, 'record'> => {
      const record = records?.get(index);
      return record === undefined ? {} : { record };
    };
    return {
      sequence: readU64(from, 4),
      nextInode: readU64(from, 12),
      usage: { allocated: readU64(from, 20), files: readU64(from, 28) },
      counts,
      names,
      inodes: inodes.map((inode, index) => ({
        ...inode,
        made: counts && from.readUInt8(count(index)) === isMade,
        counted: counts && from.readUInt8(count(index)) === isCounted,
        bytes: counts ? readU64(from, count(index) + 1) : 0,
        ...recordOf(index),
      })),
      ...(origin === 0 ? {} : { numbered: { origin, through: readU64(from, at + 8) } }),
      calls: counts ? decodeCalls(from, end) : undefined,
    };
  } catch (cause) {
    throw new InfinitError('damaged', 'a block of the volume’s journal cannot be decoded', { cause });
  }
}
