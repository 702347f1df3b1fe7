import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { InfinitError } from '../../src/base/index.ts';
import { type Address, namedAddress } from '../../src/block/index.ts';
import type { Disk } from '../../src/disk/index.ts';

/** A directory that is gone after the test. */
export class TemporaryDirectory implements AsyncDisposable {
  readonly path: string;

  private constructor(directory: string) {
    this.path = directory;
  }

  static async make(): Promise<TemporaryDirectory> {
    return new TemporaryDirectory(await mkdtemp(path.join(tmpdir(), 'infinit-disk-')));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

/** The address of a small number. */
export function numbered(number: number): Address {
  return namedAddress('test', String(number));
}

/** A value that says whose it is in every byte that fits. */
export function valueOf(number: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) bytes[at] = (number * 31 + at * 7) & 0xff;
  return bytes;
}

/** Matches an InfinitError of this code. */
export function code(expected: string): (error: unknown) => boolean {
  return (error) => {
    if (error instanceof InfinitError && error.code === expected) return true;
    throw error;
  };
}

/** Everything that a disk holds under the addresses of small numbers: hex, or the code of the error. */
export async function contents(disk: Disk, count: number): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for (let number = 0; number < count; number++) {
    try {
      const bytes = await disk.read(numbered(number));
      if (bytes !== undefined) found.set(number, Buffer.from(bytes).toString('hex'));
    } catch (error) {
      found.set(number, error instanceof InfinitError ? error.code : String(error));
    }
  }
  return found;
}
