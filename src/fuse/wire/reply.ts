import { copyBytes } from '../../base/index.ts';
import type { Attributes, DirectoryEntry, FileLock, FileSystemStatistics, FileTime } from '../../filesystem/index.ts';
import { Message, replyHeaderBytes } from './message.ts';
import type { RequestHeader } from './request-header.ts';

/** Most bytes of directory entries in one reply; the kernel asks again for the rest. */
export const maxDirectoryReplyBytes = 131_072;
/** How long attributes of a file that is being written are good: its blocks are counted here. */
const briefSeconds = 1;
/** Reads up to this size are copied into the reply, larger ones sent as slices. */
const maxCopiedRead = 16_384;

/** How long the kernel may trust a name and attributes without asking, split as the protocol wants it. */
export interface Validity {
  readonly entrySeconds: number;
  readonly entryNanoseconds: number;
  readonly attributeSeconds: number;
  readonly attributeNanoseconds: number;
  readonly negativeSeconds: number;
  readonly negativeNanoseconds: number;
}

function nanoseconds(seconds: number): number {
  return Math.floor((seconds % 1) * 1e9);
}

/** Splits seconds with a fraction. */
export function validity(entry: number, attribute: number, negative: number): Validity {
  return {
    entrySeconds: Math.floor(entry),
    entryNanoseconds: nanoseconds(entry),
    attributeSeconds: Math.floor(attribute),
    attributeNanoseconds: nanoseconds(attribute),
    negativeSeconds: Math.floor(negative),
    negativeNanoseconds: nanoseconds(negative),
  };
}

const firstWord = replyHeaderBytes / 4;

/**
 * Where replies are put together, one at a time: each is sent before the next is begun. The `put…` methods write a body
 * behind the header and return its length in bytes.
 */
export class Reply extends Message {
  /** Bytes to be sent after `bytes`, by reference. */
  slices: readonly Uint8Array[] = [];
  validity: Validity;
  readonly #isBrief: (inode: number) => boolean;
  readonly #isTrusted: (inode: number) => boolean;
  readonly #onTold: ((attributes: Attributes) => void) | undefined;
  readonly #modifiedBefore: ((attributes: Attributes) => FileTime | undefined) | undefined;

  /**
   * @param isBrief whose attributes are good for no more than {@link briefSeconds}.
   * @param isTrusted whose attributes are good for any time.
   * @param onTold called with the attributes that the kernel is to keep.
   * @param modifiedBefore the time of writing to tell beside a name, good for nothing but finding it; undefined: the true one.
   */
  constructor(
    validity: Validity,
    isBrief: (inode: number) => boolean = () => false,
    isTrusted: (inode: number) => boolean = () => true,
    onTold?: (attributes: Attributes) => void,
    modifiedBefore?: (attributes: Attributes) => FileTime | undefined,
  ) {
    super(replyHeaderBytes + maxDirectoryReplyBytes);
    this.#onTold = onTold;
    this.#modifiedBefore = modifiedBefore;
    this.validity = validity;
    this.#isBrief = isBrief;
    this.#isTrusted = isTrusted;
  }

  /** Seconds at word `at`, nanoseconds at the other one. */
  #attributeValidity(at: number, nanosecondsAt: number, inode: number): void {
    const { words, validity } = this;
    if (!this.#isTrusted(inode)) {
      words[at] = words[nanosecondsAt] = 0;
      return;
    }
    const brief = validity.attributeSeconds > briefSeconds && this.#isBrief(inode);
    words[at] = brief ? briefSeconds : validity.attributeSeconds;
    words[nanosecondsAt] = brief ? 0 : validity.attributeNanoseconds;
  }

  /** struct fuse_out_header. `errno` 0 is success. */
  begin(header: RequestHeader, bodyBytes: number, errno: number): void {
    const words = this.words;
    words[0] = replyHeaderBytes + bodyBytes;
    words[1] = -errno;
    words[2] = header.uniqueLow;
    words[3] = header.uniqueHigh;
  }

  /** A reply without a body as bytes of its own, for somebody else to send. */
  static success(header: RequestHeader): Uint8Array {
    const words = Uint32Array.of(replyHeaderBytes, 0, header.uniqueLow, header.uniqueHigh);
    return new Uint8Array(words.buffer);
  }

  #attributes(at: number, attributes: Attributes): void {
    const words = this.words;
    this.put64(at, attributes.inode);
    this.put64(at + 2, attributes.size);
    this.put64(at + 4, attributes.blocks);
    this.put64(at + 6, attributes.accessed.seconds);
    this.put64(at + 8, attributes.modified.seconds);
    this.put64(at + 10, attributes.changed.seconds);
    words[at + 12] = attributes.accessed.nanoseconds;
    words[at + 13] = attributes.modified.nanoseconds;
    words[at + 14] = attributes.changed.nanoseconds;
    words[at + 15] = attributes.mode;
    words[at + 16] = attributes.links;
    words[at + 17] = attributes.uid;
    words[at + 18] = attributes.gid;
    words[at + 19] = attributes.device;
    words[at + 20] = blockBytes;
    words[at + 21] = 0;
  }

  #entry(at: number, attributes: Attributes): void {
    const words = this.words;
    this.put64(at, attributes.inode);
    words[at + 2] = 0;
    words[at + 3] = 0;
    words[at + 4] = this.validity.entrySeconds;
    words[at + 5] = 0;
    words[at + 7] = 0;
    words[at + 8] = this.validity.entryNanoseconds;
    const modified = this.#modifiedBefore?.(attributes);
    if (modified === undefined) {
      this.#onTold?.(attributes);
      this.#attributeValidity(at + 6, at + 9, attributes.inode);
      this.#attributes(at + 10, attributes);
    } else {
      words[at + 6] = words[at + 9] = 0;
      this.#attributes(at + 10, { ...attributes, modified });
    }
  }

  /** struct fuse_entry_out. */
  putEntry(attributes: Attributes): number {
    this.#entry(firstWord, attributes);
    return 128;
  }

  /** "There is no such name, and you may remember that." */
  putNegativeEntry(): number {
    this.words.fill(0, firstWord, firstWord + 32);
    this.words[firstWord + 4] = this.validity.negativeSeconds;
    this.words[firstWord + 8] = this.validity.negativeNanoseconds;
    return 128;
  }

  /** struct fuse_attr_out. */
  putAttributes(attributes: Attributes): number {
    const length = this.putPassingAttributes(attributes);
    this.#onTold?.(attributes);
    this.#attributeValidity(firstWord, firstWord + 2, attributes.inode);
    return length;
  }

  /** The same, good for the question at hand and nothing else. */
  putPassingAttributes(attributes: Attributes): number {
    this.words.fill(0, firstWord, firstWord + 4);
    this.#attributes(firstWord + 4, attributes);
    return 104;
  }

  /** struct fuse_open_out. */
  putOpen(handle: number, generation: number, flags: number): number {
    return this.#open(firstWord, handle, generation, flags);
  }

  /** CREATE and TMPFILE: an entry, then the open file. */
  putCreated(attributes: Attributes, handle: number, generation: number, flags: number): number {
    this.#entry(firstWord, attributes);
    return 128 + this.#open(firstWord + 32, handle, generation, flags);
  }

  #open(at: number, handle: number, generation: number, flags: number): number {
    const words = this.words;
    words[at] = handle;
    words[at + 1] = generation;
    words[at + 2] = flags;
    words[at + 3] = 0;
    return 16;
  }

  /** The bytes of a read, by copy where they are few. */
  putSlices(slices: readonly Uint8Array[]): number {
    let length = 0;
    for (const slice of slices) length += slice.length;
    if (length > maxCopiedRead) {
      this.slices = slices;
      return length;
    }
    let at = replyHeaderBytes;
    for (const slice of slices) {
      copyBytes(slice, this.bytes, at);
      at += slice.length;
    }
    return length;
  }

  putBytes(bytes: Uint8Array): number {
    return this.putSlices([bytes]);
  }

  /** A string of bytes, without a terminator. */
  putText(text: string): number {
    return this.bytes.write(text, replyHeaderBytes, 'latin1');
  }

  /** struct fuse_write_out and fuse_getxattr_out: one 32-bit number. */
  putCount(count: number): number {
    this.words[firstWord] = count;
    this.words[firstWord + 1] = 0;
    return 8;
  }

  /** struct fuse_lseek_out and the long copy_file_range's: one 64-bit number. */
  putLong(value: number): number {
    this.put64(firstWord, value);
    return 8;
  }

  /** struct fuse_statfs_out. */
  putStatfs(statistics: FileSystemStatistics): number {
    const words = this.words;
    words.fill(0, firstWord, firstWord + 20);
    this.put64(firstWord, statistics.blocks);
    this.put64(firstWord + 2, statistics.freeBlocks);
    this.put64(firstWord + 4, statistics.availableBlocks);
    this.put64(firstWord + 6, statistics.files);
    this.put64(firstWord + 8, statistics.freeFiles);
    words[firstWord + 10] = statistics.blockSize;
    words[firstWord + 11] = statistics.maxNameBytes;
    words[firstWord + 12] = statistics.blockSize;
    return 80;
  }

  /** struct fuse_lk_out; `undefined`: nothing is in the way. */
  putLock(lock: FileLock | undefined): number {
    const words = this.words;
    words.fill(0, firstWord, firstWord + 6);
    if (lock === undefined) {
      words[firstWord + 4] = 2;
      return 24;
    }
    this.put64(firstWord, lock.start);
    if (lock.end === Infinity) {
      words[firstWord + 2] = 0xffff_ffff;
      words[firstWord + 3] = 0x7fff_ffff;
    } else this.put64(firstWord + 2, lock.end);
    words[firstWord + 4] = lock.type === 'read' ? 0 : lock.type === 'write' ? 1 : 2;
    words[firstWord + 5] = lock.pid;
    return 24;
  }

  /**
   * As many directory entries as fit `limit` bytes, with attributes (readdirplus) or without. An entry whose attributes
   * are absent goes as a bare name. `left` gets what did not fit, so that its kernel references can be given back.
   */
  putEntries(entries: readonly DirectoryEntry[], limit: number, plus: boolean, left: (entry: DirectoryEntry) => void): number {
    const words = this.words;
    const room = Math.min(limit, maxDirectoryReplyBytes);
    const nameAt = plus ? 152 : 24;
    let used = 0;
    let index = 0;
    for (; index < entries.length; index++) {
      const entry = entries[index]!;
      const record = (nameAt + entry.name.length + 7) & ~7;
      if (used + record > room) break;
      let at = firstWord + used / 4;
      // The last words first: they hold the padding after the name.
      words[at + record / 4 - 2] = 0;
      words[at + record / 4 - 1] = 0;
      if (plus) {
        if (entry.attributes === undefined) words.fill(0, at, at + 32);
        else this.#entry(at, entry.attributes);
        at += 32;
      }
      this.put64(at, entry.inode);
      this.put64(at + 2, entry.cookie);
      words[at + 4] = entry.name.length;
      words[at + 5] = entry.type >>> 12;
      this.bytes.write(entry.name, replyHeaderBytes + used + nameAt, 'latin1');
      used += record;
    }
    for (; index < entries.length; index++) left(entries[index]!);
    return used;
  }
}

/** st_blksize: what programs should read and write at a time at least. */
const blockBytes = 4096;
