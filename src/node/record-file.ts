import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { insistOnFileNow, type Logger, type Records } from '../base/index.ts';

/** A file that begins with it has every record since the mount was made. */
const whole = 'whole';
/** The file is written anew when it is longer than this, and than four times what it was after the last time. */
const minBytes = 1024 * 1024;
/** What could not be written is tried again with the next change, but no sooner, in ms. */
const retryMs = 1000;
/** A record for the daemons to come: there was a time of which some are missing. */
const missing = 'missing';

/**
 * Records in a small file on tmpfs: they outlive a killed daemon, though not the host. Lines are added for each change, in one system call; a file that could not be written
 * is removed, and written anew when there is room. A daemon that takes a mount over and finds no file knows that it does not know: see {@link areIncomplete}.
 */
export class RecordFile implements Records {
  readonly #file: string;
  readonly #logger: Logger;
  readonly isWhole: boolean;
  readonly areIncomplete: boolean;
  readonly #records: Map<string, unknown>;
  #descriptor: number | undefined;
  #isClosed = false;
  #failedMs = 0;
  #bytes = 0;
  #maxBytes = minBytes;

  /** @param adopted what a former daemon left counts: its mount outlived it. */
  constructor(file: string, adopted: boolean, logger: Logger) {
    this.#file = file;
    this.#logger = logger;
    const left = adopted ? read(file) : new Map<string, unknown>();
    this.areIncomplete = left === undefined || left.has(missing);
    this.#records = left ?? new Map();
    if (this.areIncomplete) this.#records.set(missing, true);
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
    if (this.#isClosed || lines === '') return;
    if (this.#descriptor === undefined) {
      if (performance.now() - this.#failedMs >= retryMs) this.#try(() => this.#rewrite());
      return;
    }
    this.#try(() => {
      this.#bytes += Buffer.byteLength(lines);
      if (this.#bytes > this.#maxBytes) this.#rewrite();
      // Not writeSync: on a full file system that may write a part and say nothing.
      else writeFileSync(this.#descriptor!, lines);
    });
  }

  /** @param ended the mount is over; otherwise the next daemon goes on with it. */
  close(ended: boolean): void {
    if (!ended && this.#descriptor === undefined && !this.#isClosed) this.#try(() => this.#rewrite());
    this.#isClosed = true;
    this.#letGo(ended);
  }

  #letGo(removed: boolean): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
    if (!removed) return;
    try {
      rmSync(this.#file, { force: true });
    } catch (error) {
      this.#logger.error('what the next daemon would take for all that it should know cannot be removed', { file: this.#file, error });
    }
  }

  #rewrite(): void {
    const draft = `${this.#file}.new`;
    const mark: readonly [string, unknown][] = this.isWhole ? [[whole, true]] : [];
    const lines = [...mark, ...this.#records].map(([key, value]) => lineOf(key, value)).join('');
    rmSync(draft, { force: true });
    const descriptor = openSync(draft, 'wx', 0o600);
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
    this.#failedMs = 0;
    this.#bytes = Buffer.byteLength(lines);
    this.#maxBytes = Math.max(minBytes, 4 * this.#bytes);
  }

  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (this.#failedMs === 0) this.#logger.warn('what the next daemon should know cannot be written', { file: this.#file, error });
      this.#failedMs = performance.now();
      this.#letGo(true);
    }
  }
}

function lineOf(key: string, value: unknown): string {
  return `${JSON.stringify(value === undefined ? [key] : [key, value])}\n`;
}

/** undefined: there is no such file, or it cannot be read. */
function read(file: string): Map<string, unknown> | undefined {
  const records = new Map<string, unknown>();
  let text: string;
  try {
    insistOnFileNow(file, { code: 'damaged' });
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
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
