import type { Records } from '../../src/base/index.ts';

/** Records as they are after a file: what is read is what JSON makes of it. */
export class MemoryRecords implements Records {
  readonly left = new Map<string, unknown>();
  readonly isWhole = true;
  areIncomplete = false;
  /** What was written so far, in characters of JSON. */
  written = 0;

  all(): ReadonlyMap<string, unknown> {
    return new Map(JSON.parse(JSON.stringify([...this.left])) as [string, unknown][]);
  }

  put(changes: Iterable<readonly [key: string, value: unknown]>): void {
    for (const [key, value] of changes) {
      if (value === undefined) this.left.delete(key);
      else this.left.set(key, value);
      this.written += JSON.stringify([key, value]).length;
    }
  }
}
