import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import type { Logger, Records } from '../base/index.ts';

/** A file that begins with it has every record since the mount was made. */
const whole = 'whole';
/** The file is written anew when it is longer than this, and than four times what it was after the last time. */
const minBytes = 1024 * 1024;

/**
 * Records in a small file on tmpfs: they outlive a killed daemon, though not the host. Lines are added for each change, in one system call; a file that could not be written
 * is given up, and the next daemon knows no more than it would without.
 */
export class RecordFile implements Records {
  readonly #file: string;
  readonly #logger: Logger;
  readonly isWhole: boolean;
  readonly #records: Map<string, unknown>;
  #descriptor: number | undefined;
  #bytes = 0;
  #maxBytes = minBytes;

  /** @param adopted what a former daemon left counts: its mount outlived it. */
  constructor(file: string, adopted: boolean, logger: Logger) {
    this.#file = file;
    this.#logger = logger;
    this.#records = adopted ? read(file) : new Map();
    this.isWhole = this.#records.delete(whole) || !adopted;
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    this.#try(() => this.#rewrite());
  }

  all(): ReadonlyMap<string, unknown> {
    return this.#records;
  }

  put(changes: Iterable<readonly [key: string, value: unknown]>): void {
    let lines = '';
    for (const [key, value] of changes) {
      if (value !== undefined) this.#records.set(key, value);
      else if (!this.#records.delete(key)) continue;
      lines += lineOf(key, value);
    }
    if (this.#descriptor === undefined || lines === '') return;
    this.#try(() => {
      this.#bytes += Buffer.byteLength(lines);
      if (this.#bytes > this.#maxBytes) this.#rewrite();
      // Not writeSync: on a full file system that may write a part and say nothing.
      else writeFileSync(this.#descriptor!, lines);
    });
  }

  /** @param ended the mount is over; otherwise the next daemon goes on with it. */
  close(ended: boolean): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
    if (ended) rmSync(this.#file, { force: true });
  }

  #rewrite(): void {
    const draft = `${this.#file}.new`;
    const mark: readonly [string, unknown][] = this.isWhole ? [[whole, true]] : [];
    const lines = [...mark, ...this.#records].map(([key, value]) => lineOf(key, value)).join('');
    const descriptor = openSync(draft, 'w', 0o600);
    try {
      writeFileSync(descriptor, lines);
      renameSync(draft, this.#file);
    } catch (error) {
      closeSync(descriptor);
      rmSync(draft, { force: true });
      throw error;
    }
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = descriptor;
    this.#bytes = Buffer.byteLength(lines);
    this.#maxBytes = Math.max(minBytes, 4 * this.#bytes);
  }

  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#logger.warn('what the next daemon should know cannot be written', { file: this.#file, error });
      this.close(true);
    }
  }
}

function lineOf(key: string, value: unknown): string {
  return `${JSON.stringify(value === undefined ? [key] : [key, value])}\n`;
}

function read(file: string): Map<string, unknown> {
  const records = new Map<string, unknown>();
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return records;
  }
  for (const line of text.split('\n').filter(Boolean)) {
    try {
      const [key, value] = JSON.parse(line) as [string, unknown?];
      if (value === undefined) records.delete(key);
      else records.set(key, value);
    } catch {
      // The last line of a daemon that was killed while it wrote.
    }
  }
  return records;
}
