import { InfinitError } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';
import type { DoneCall } from '../journal/call-table.ts';
import type { FileTime } from '../file-system.ts';
import type { Inode } from '../inodes/inode.ts';
import { decodeCalls, type InodeCalls } from '../inodes/inode-calls.ts';
import type { JournaledAttributes } from '../inodes/journaled-attributes.ts';
import { grain } from './redo-ring.ts';
import type { StoredPiece } from '../inodes/written.ts';

/** What a record begins with, beside its place and length. */
export const kinds = {
  skip: 1,
  write: 2,
  punch: 3,
  attributes: 4,
  xattrs: 5,
  created: 6,
  operation: 7,
  called: 8,
  stored: 9,
  calls: 10,
  reserve: 11,
};

export interface RedoOperation {
  readonly kind: 'operation';
  readonly sequence: number;
  /** `inode` 0: the name is removed. */
  readonly names: readonly { readonly directory: number; readonly inode: number; readonly type: number; readonly name: string }[];
  readonly links: readonly { readonly inode: number; readonly delta: number }[];
  readonly renamed: readonly number[];
  readonly moved: readonly { readonly inode: number; readonly parent: number }[];
  /** 0: none. */
  readonly gone: number;
  readonly settle: number;
  /** Inodes that it gives another link count or parent, or removes, as they are afterwards; none in a log of an earlier version. */
  readonly standings: readonly RedoStanding[];
}

/** What a later process needs to know of an inode that an operation changes where it cannot read its record. */
export interface RedoStanding {
  readonly inode: number;
  readonly mode: number;
  readonly links: number;
  readonly parent: number;
  /** Bytes of content that the volume's figures count for it. */
  readonly bytes: number;
}

/** Another host's call that the operation does which follows. */
export interface RedoCalled extends DoneCall {
  readonly kind: 'called';
  /** That operation's. */
  readonly sequence: number;
}

export interface RedoCreated {
  readonly kind: 'created';
  /** The operation that makes it. */
  readonly sequence: number;
  readonly device: number;
  readonly parent: number;
  readonly target: string | undefined;
  readonly attributes: JournaledAttributes;
}

/** What was done to one inode: its content, or what else its record has. */
export type RedoChange =
  | { readonly kind: 'write'; readonly inode: number; readonly offset: number; readonly data: Uint8Array }
  | RedoStored
  | { readonly kind: 'punch' | 'reserve'; readonly inode: number; readonly start: number; readonly end: number }
  | { readonly kind: 'attributes'; readonly attributes: JournaledAttributes }
  | { readonly kind: 'xattrs'; readonly inode: number; readonly xattrs: Map<string, Uint8Array> }
  | { readonly kind: 'calls'; readonly inode: number; readonly calls: InodeCalls };

export type RedoStored = { readonly kind: 'stored'; readonly inode: number } & StoredPiece;

export type RedoRecord = RedoChange | RedoCreated | RedoCalled | RedoOperation;

/** Numbers of {@link putAttributes}. */
export const attributeNumbers = 11;

export function putAttributes(inode: Omit<JournaledAttributes, 'inode'> & { readonly number: number }, words: Float64Array, at: number): void {
  const { accessed, modified, changed } = inode;
  words[at] = inode.number;
  words[at + 1] = inode.mode;
  words[at + 2] = inode.uid;
  words[at + 3] = inode.gid;
  words[at + 4] = inode.size;
  words[at + 5] = accessed.seconds;
  words[at + 6] = accessed.nanoseconds;
  words[at + 7] = modified.seconds;
  words[at + 8] = modified.nanoseconds;
  words[at + 9] = changed.seconds;
  words[at + 10] = changed.nanoseconds;
}

/** Numbers of a standing. */
const standingNumbers = 5;
/** What {@link putStandings} takes, behind all else of an operation, which a reader of before does not look at. */
export function standingsNumbers(count: number): number {
  return count === 0 ? 0 : 1 + standingNumbers * count;
}

export function putStandings(inodes: readonly Inode[], words: Float64Array, at: number): void {
  words[at] = inodes.length;
  inodes.forEach(({ number, mode, links, parent, content }, index) => {
    words.set([number, mode, links, parent, content?.accounted ?? 0], at + 1 + standingNumbers * index);
  });
}

/** Of an operation of so many numbers and bytes the first word behind it, where a record of this length has more. */
export function behind(numbers: number, bytes: number): number {
  return (Math.ceil((8 * (2 + numbers) + bytes) / grain) * grain) / 8;
}

/** One character a byte. */
export function encodeXattrs(xattrs: ReadonlyMap<string, Uint8Array> | undefined): string {
  const entries = [...(xattrs ?? [])].map(([name, value]) => [name, Buffer.from(value).toString('latin1')]);
  return JSON.stringify(entries);
}

/** What is at this word of the ring. @throws InfinitError `damaged` where no record begins there. */
export function recordAt(words: Float64Array, at: number, position: number): { readonly kind: number; readonly length: number } {
  const [place, what] = [words[at], words[at + 1]!];
  const [kind, length] = [Math.floor(what / 2 ** 32), what % 2 ** 32];
  const until = kind === kinds.skip ? words.length : words.length - at;
  if (place !== position || !(length >= grain && length <= 8 * until)) throw damaged();
  return { kind, length };
}

/**
 * The record at byte `at` of the ring, and its length, or how far it leads; undefined: it does only that.
 * @throws InfinitError `damaged` where none begins there.
 */
export function decodeRecord(words: Float64Array, ring: Buffer, at: number, position: number): readonly [RedoRecord | undefined, number] {
  const { kind, length } = recordAt(words, at / 8, position);
  let next = at / 8 + 2;
  const take = (): number => words[next++]!;
  const text = (length: number): string => ring.toString('latin1', 8 * next, 8 * next + length);
  switch (kind) {
    case kinds.skip:
      return [undefined, length];
    case kinds.write: {
      const [inode, offset, bytes] = [take(), take(), take()];
      return [{ kind: 'write', inode, offset, data: ring.subarray(8 * next, 8 * next + bytes) }, length];
    }
    case kinds.stored: {
      const [inode, offset, bytes, at, blockBytes, letters] = [take(), take(), take(), take(), take(), take()];
      return [{ kind: 'stored', inode, offset, length: bytes, at, blockBytes, address: text(letters) as Address }, length];
    }
    case kinds.punch:
    case kinds.reserve:
      return [{ kind: kind === kinds.punch ? 'punch' : 'reserve', inode: take(), start: take(), end: take() }, length];
    case kinds.attributes:
      return [{ kind: 'attributes', attributes: takeAttributes(take) }, length];
    case kinds.xattrs: {
      const [inode, bytes] = [take(), take()];
      const entries = JSON.parse(text(bytes)) as [string, string][];
      return [{ kind: 'xattrs', inode, xattrs: new Map(entries.map(([name, value]) => [name, Buffer.from(value, 'latin1')])) }, length];
    }
    case kinds.calls: {
      const [inode, bytes] = [take(), take()];
      return [{ kind: 'calls', inode, calls: decodeCalls(ring.subarray(8 * next, 8 * next + bytes)) }, length];
    }
    case kinds.created: {
      const [sequence, device, parent, hasTarget, bytes] = [take(), take(), take(), take(), take()];
      const attributes = takeAttributes(take);
      return [{ kind: 'created', sequence, device, parent, attributes, target: hasTarget === 1 ? text(bytes) : undefined }, length];
    }
    case kinds.called: {
      const [sequence, number, inode, bytes] = [take(), take(), take(), take()];
      return [{ kind: 'called', sequence, number, inode, asker: text(bytes) }, length];
    }
    case kinds.operation: {
      const [sequence, names, links, renamed, moved, gone, settle] = [take(), take(), take(), take(), take(), take(), take()];
      const named = times(names, () => ({ directory: take(), inode: take(), type: take(), length: take() }));
      let letters = 0;
      for (const { length: bytes } of named) letters += bytes;
      const record = {
        kind: 'operation' as const,
        sequence,
        links: times(links, () => ({ inode: take(), delta: take() })),
        renamed: times(renamed, take),
        moved: times(moved, () => ({ inode: take(), parent: take() })),
        gone,
        settle,
      };
      let from = 8 * next;
      const texts = named.map(({ length: bytes }) => ring.toString('latin1', from, (from += bytes)));
      const rest = at / 8 + behind(operationNumbers(names, links, renamed, moved), letters);
      const standings = rest < (at + length) / 8 ? takeStandings(words, rest) : [];
      return [
        { ...record, standings, names: named.map(({ directory, inode, type }, index) => ({ directory, inode, type, name: texts[index]! })) },
        length,
      ];
    }
    default:
      throw damaged();
  }
}

/** Numbers of an operation but for its standings. */
export function operationNumbers(names: number, links: number, renamed: number, moved: number): number {
  return 7 + 4 * names + 2 * links + renamed + 2 * moved;
}

function takeStandings(words: Float64Array, at: number): RedoStanding[] {
  return times(words[at]!, (index) => {
    const [inode, mode, links, parent, bytes] = words.subarray(at + 1 + standingNumbers * index) as unknown as [
      number,
      number,
      number,
      number,
      number,
    ];
    return { inode, mode, links, parent, bytes };
  });
}

function takeAttributes(take: () => number): JournaledAttributes {
  const [inode, mode, uid, gid, size] = [take(), take(), take(), take(), take()];
  const time = (): FileTime => ({ seconds: take(), nanoseconds: take() });
  return { inode, mode, uid, gid, size, accessed: time(), modified: time(), changed: time() };
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

function damaged(): InfinitError {
  return new InfinitError('damaged', 'what a killed daemon left in memory cannot be read');
}
