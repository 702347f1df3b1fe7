import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { TemporaryDirectory } from './support.ts';

/** Of tests that mount one. */
export const withRoot = { skip: process.getuid?.() === 0 ? false : 'mounting a tmpfs needs root', timeout: 60_000 };

/** A small file system of its own; needs root. */
export class SmallDisk implements AsyncDisposable {
  readonly #parent: TemporaryDirectory;
  readonly path: string;

  private constructor(parent: TemporaryDirectory) {
    this.#parent = parent;
    this.path = parent.path;
  }

  static async mount(megabytes: number): Promise<SmallDisk> {
    const parent = await TemporaryDirectory.make();
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', parent.path]);
    return new SmallDisk(parent);
  }

  /** Another program takes all there is left, to the last byte. */
  fill(): void {
    try {
      writeFileSync(this.#filler, new Uint8Array(64 * 1024 * 1024), { flag: 'a' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }

  /** And gives it back. */
  empty(): void {
    rmSync(this.#filler);
  }

  get #filler(): string {
    return path.join(this.path, 'filler');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    execFileSync('umount', ['-l', this.path]);
    await this.#parent[Symbol.asyncDispose]();
  }
}
