import { hash, randomBytes } from 'node:crypto';
import path from 'node:path';

import { InfinitError } from '../base/index.ts';
import type { Files } from './files.ts';
import type { RecordId } from './record.ts';

/** 3: addresses by BLAKE3. What is laid out how is the same as in 2; a program that knows 2 alone would find files with such blocks damaged. */
export const diskFormatVersion = 3;
/** Of a store that becomes one of this version once it is opened. */
const earlierFormatVersion = 2;
const formatPattern = /^infinit-disk (\d+) ([0-9a-f]{32})\n$/;
const segmentPattern = /^segment-([0-9a-f]{8})$/;
/** What may lie in a directory that is to become a store. */
const harmless = /^(lost\+found|.*\.new)$/;

/** The names in a store's directory, and the file that says whose format it is. */
export class StoreDirectory {
  readonly path: string;
  /** 16 bytes, drawn when the store was made. */
  readonly storeId: Uint8Array;
  /** An earlier program made it. */
  readonly isEarlier: boolean;

  private constructor(directory: string, storeId: Uint8Array, isEarlier = false) {
    this.path = directory;
    this.storeId = storeId;
    this.isEarlier = isEarlier;
  }

  /** Makes the store where there is none. @throws InfinitError `wrong-version`, `bad-argument`. */
  static async open(files: Files, directory: string): Promise<StoreDirectory> {
    await files.makeDirectory(directory);
    const file = path.join(directory, 'format');
    const text = await files.readText(file);
    if (text !== undefined) {
      const match = formatPattern.exec(text);
      const version = Number(match?.[1]);
      if (match === null || (version !== diskFormatVersion && version !== earlierFormatVersion)) {
        const advice = version > diskFormatVersion ? ': a later program wrote it; run that one or a later one' : '';
        throw new InfinitError(
          'wrong-version',
          `the store ${directory} has format "${text.trim().slice(0, 60)}"; this program reads "infinit-disk ${diskFormatVersion}"${advice}`,
        );
      }
      return new StoreDirectory(directory, Buffer.from(match[2]!, 'hex'), version === earlierFormatVersion);
    }
    const other = (await files.list(directory)).find((name) => !harmless.test(name));
    if (other !== undefined)
      throw new InfinitError('wrong-version', `${directory} is not empty ("${other}") and has no "format" file: not a store of this program`);
    const storeId = randomBytes(16);
    const store = new StoreDirectory(directory, storeId);
    await store.sign(files);
    return store;
  }

  /** From now on it is a store of this version. */
  async sign(files: Files): Promise<void> {
    await files.replace(path.join(this.path, 'format'), `infinit-disk ${diskFormatVersion} ${Buffer.from(this.storeId).toString('hex')}\n`);
  }

  get index(): string {
    return path.join(this.path, 'index');
  }

  /** Names the process that holds the store, for people; the lock itself is LevelDB's, which the kernel frees with the process. */
  get lock(): string {
    return path.join(this.path, 'lock');
  }

  /** Its presence asks the next start to make the index anew from the segments. */
  get rebuild(): string {
    return path.join(this.path, 'rebuild-index');
  }

  segment(number: number): string {
    return path.join(this.path, `segment-${number.toString(16).padStart(8, '0')}`);
  }

  /** Numbers of the segments that are there, ascending. */
  async segments(files: Files): Promise<number[]> {
    const numbers: number[] = [];
    for (const name of await files.list(this.path)) {
      const match = segmentPattern.exec(name);
      if (match !== null) numbers.push(Number.parseInt(match[1]!, 16));
    }
    return numbers.sort((a, b) => a - b);
  }
}

export const maxMetaKeyLength = 128;

/** Meta keys share the log and the index with blocks, under ids that no address has. */
export function metaId(key: string): RecordId {
  if (key.length === 0 || key.length > maxMetaKeyLength)
    throw new InfinitError('bad-argument', `a meta key has 1 to ${maxMetaKeyLength} characters: "${key.slice(0, 40)}"`);
  return `00${hash('sha256', key, 'hex').slice(0, 62)}`;
}

/** A meta value as it is stored: its key goes with it, for people who look into a log. */
export function packMeta(key: string, bytes: Uint8Array): Uint8Array {
  const name = Buffer.from(key);
  const packed = Buffer.allocUnsafeSlow(2 + name.length + bytes.length);
  packed.writeUInt16LE(name.length, 0);
  packed.set(name, 2);
  packed.set(bytes, 2 + name.length);
  return packed;
}

/** The value out of what {@link packMeta} made. */
export function unpackMeta(packed: Uint8Array): Uint8Array {
  return packed.subarray(2 + packed[0]! + packed[1]! * 256);
}
