import { FileSystemError, type FileTime } from '../file-system.ts';
import { codeOf, InfinitError, programPatienceMs } from '../../base/index.ts';
import { isSameTime, nextTime } from '../inodes/file-time.ts';
import { type FileVersion, isSameVersion, versionOf, type Written, type WrittenPiece } from '../inodes/written.ts';
import { maxMessageBytes } from './borrowed.ts';
import type { SayTarget } from './say-target.ts';
import type { UnsaidLot, UnsaidRecord } from './unsaid-lot.ts';
import { maxPieces } from './written-shape.ts';

/** Pause before what could not be said is tried again, in ms. */
const pauseMs = 100;
/** Files of which it is said at once. */
const parallelFiles = 16;
/** So long nothing else is asked for, in ms: what cannot be said for longer holds up only who wants that file. */
const gateMs = 5000;
/** After so many refusals in which what was written meanwhile was this host's own, it is lost. */
const maxRefusals = 3;
/** Appends that the kernel may ask for again: more than it asks for at once. */
const maxAppends = 65_536;

export interface LeftEvents {
  /** All that was left of the file is there, and durable. Before what the memory has of it is let go. */
  readonly onSaid: (inode: number) => void;
  /** Before it is said. @throws FileSystemError where it was written under a lock that is lost. */
  readonly requireOwn: (inode: number) => void;
  /** It never will be. */
  readonly onLost: (inode: number, error: FileSystemError) => void;
}

interface LeftFile {
  readonly inode: number;
  readonly lots: readonly UnsaidLot[];
  /** It is said, or lost. */
  readonly over: PromiseWithResolvers<void>;
}

/**
 * What programs of a guest were told is written and a process before this one had not said when it died. It is said as bytes, whoever serves the volume by now, and before anything else is asked of that host, so that
 * programs notice nothing: what of it is there already is known by the file's version, and what is not counts only if nobody else has changed the file since.
 */
export class LeftWrites {
  readonly #files = new Map<number, LeftFile>();
  readonly #events: LeftEvents;
  /** By the kernel's number: how much was appended, and perhaps not answered. */
  readonly #appended = new Map<number, number>();
  #target: SayTarget | undefined;

  constructor(lots: readonly UnsaidLot[], events: LeftEvents) {
    this.#events = events;
    for (const [inode, own] of Map.groupBy(lots, (lot) => lot.inode)) this.#files.set(inode, { inode, lots: own, over: Promise.withResolvers() });
    for (const lot of lots) {
      for (const record of lot.records()) if (record.kind === 'write' && record.request !== 0) this.#appended.set(record.request, record.length);
    }
    for (const request of this.#appended.keys()) {
      if (this.#appended.size <= maxAppends) break;
      this.#appended.delete(request);
    }
  }

  get isEmpty(): boolean {
    return this.#files.size === 0;
  }

  get size(): number {
    return this.#files.size;
  }

  has(inode: number): boolean {
    return this.#files.has(inode);
  }

  inodes(): Iterable<number> {
    return this.#files.keys();
  }

  /** How much a request has appended that the kernel asks for again; undefined: nothing, as far as is known. */
  appended(request: number): number | undefined {
    return this.#appended.get(request);
  }

  /** Resolves once nothing is left of the file; undefined: so it is. @throws InfinitError where it cannot be said now. */
  settle(inode: number): Promise<void> | undefined {
    const file = this.#files.get(inode);
    return file && inTime(file.over.promise);
  }

  /** Nobody serves the volume, or somebody else. */
  leave(): void {
    this.#target = undefined;
  }

  /** Says everything there, for as long as it takes. Resolves when it is said, or others are not to wait for it any longer. */
  async sayTo(target: SayTarget): Promise<void> {
    this.#target = target;
    if (this.isEmpty) return;
    const files = [...this.#files.values()];
    const lane = async (): Promise<void> => {
      for (let file = files.shift(); file !== undefined; file = files.shift()) await this.#sayUntil(file, target);
    };
    const enough = Promise.withResolvers<void>();
    const timer = setTimeout(enough.resolve, gateMs).unref();
    await Promise.race([Promise.all(Array.from({ length: parallelFiles }, lane)), enough.promise]);
    clearTimeout(timer);
  }

  async #sayUntil(file: LeftFile, target: SayTarget): Promise<void> {
    const { inode } = file;
    while (this.#target === target && this.#files.get(inode) === file) {
      try {
        await this.#say(file, target);
        this.#over(file, () => this.#events.onSaid(inode));
      } catch (error) {
        // So says a host of an earlier version.
        const lost = codeOf(error) === 'bad-argument' ? new FileSystemError('EIO', 'the host that serves the volume takes no such writes') : error;
        if (lost instanceof FileSystemError) this.#over(file, () => this.#events.onLost(inode, lost));
        else await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }

  /** Whoever asks is told before the memory forgets: a process that dies in between must not take for lost what was said. */
  #over({ inode, lots, over }: LeftFile, tell: () => void): void {
    if (!this.#files.delete(inode)) return;
    tell();
    for (const lot of lots) lot.free();
    over.resolve();
  }

  /** @throws FileSystemError where it cannot be said any more. */
  async #say({ inode, lots }: LeftFile, target: SayTarget): Promise<void> {
    for (let refusals = 0; ; refusals++) {
      let version = versionOf(await target.attributes(inode));
      const from = placeIn(lots, version);
      if (from === undefined) throw new FileSystemError('EIO', 'another host changed the file since a daemon died that had written it');
      if (from === lots.length) return;
      try {
        // What the process before had on its way is not taken over anything from then on, but where it is at the version before.
        const { loan } = lots.at(-1)!;
        this.#events.requireOwn(inode);
        await target.put(inode, loan, { expect: version, version, session: 0, pieces: [], changes: {} }, true);
        for (const lot of lots.slice(from)) {
          for (const written of messages(lot, version)) {
            await target.put(inode, '', written, false);
            ({ version } = written);
          }
        }
        return;
      } catch (error) {
        if (!(error instanceof FileSystemError) || error.errno !== 'EIO' || refusals >= maxRefusals) throw error;
      }
    }
  }
}

/** Which is the first lot that is not wholly in a file of this version; undefined: the file is one of somebody else. */
function placeIn(lots: readonly UnsaidLot[], version: FileVersion): number | undefined {
  for (const [index, lot] of lots.entries()) {
    if (isSameVersion(version, lot.expect)) return index;
    const { last, writtenAt } = outcomeOf(lot);
    if (isSameVersion(version, last)) return index + 1;
    // A part of it, which bears the time of its last write and is older than the whole.
    if (isSameTime(version.modified, writtenAt) && isBefore(version.changed, last.changed)) return index;
  }
  return undefined;
}

interface Outcome {
  readonly last: FileVersion;
  readonly changes: Written['changes'];
  readonly writtenAt: FileTime | undefined;
}

function outcomeOf(lot: UnsaidLot): Outcome {
  let { changed, modified, size } = lot.expect;
  let changes: Written['changes'] = {};
  let writtenAt: FileTime | undefined;
  for (const record of lot.records()) {
    if (record.kind === 'write') {
      changed = modified = writtenAt = record.now;
      size = Math.max(size, record.offset + record.length);
    } else {
      ({ changed, modified } = record);
      changes = { ...changes, ...record.changes };
    }
  }
  return { last: { changed, modified, size }, changes, writtenAt };
}

/** What is said of a lot, over a file of this version. */
function* messages(lot: UnsaidLot, version: FileVersion): Iterable<Written> {
  const { last, changes, writtenAt } = outcomeOf(lot);
  const groups = inGroups([...lot.records()].flatMap((record) => (record.kind === 'write' ? [record] : [])));
  let expect = version;
  for (const [index, group] of groups.entries()) {
    const pieces: WrittenPiece[] = group.map(({ offset, bytes }) => ({ offset, bytes: bytes() }));
    const isLast = index === groups.length - 1;
    const size = group.reduce((most, { offset, length }) => Math.max(most, offset + length), expect.size);
    const next = isLast ? last : { changed: nextTime(expect.changed), modified: writtenAt ?? expect.modified, size };
    yield { expect, version: next, session: 0, pieces, changes: isLast ? changes : {} };
    expect = next;
  }
}

type WriteRecord = UnsaidRecord & { readonly kind: 'write' };

/** Each fits a message. There is one at least, for the attributes. */
function inGroups(records: readonly WriteRecord[]): WriteRecord[][] {
  const groups: WriteRecord[][] = [[]];
  let bytes = 0;
  for (const record of records) {
    const group = groups.at(-1)!;
    if (group.length > 0 && (bytes + record.length > maxMessageBytes || group.length >= maxPieces)) {
      groups.push([record]);
      bytes = record.length;
    } else {
      group.push(record);
      bytes += record.length;
    }
  }
  return groups;
}

function isBefore(one: FileTime, other: FileTime): boolean {
  return one.seconds < other.seconds || (one.seconds === other.seconds && one.nanoseconds < other.nanoseconds);
}

async function inTime(over: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new InfinitError('unavailable', 'what a daemon that died had written cannot be stored yet')),
    programPatienceMs,
  ).unref();
  try {
    await Promise.race([over, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
