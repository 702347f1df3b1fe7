import { type Stats, statSync } from 'node:fs';
import { type FileHandle, open, rm, stat } from 'node:fs/promises';

import { type ErrorCode, InfinitError } from './errors.ts';

/** What is wrong with a file that somebody named, or put where one belongs. */
interface Demand {
  /** Of the refusal. */
  readonly code: ErrorCode;
  /** More than any such file has. */
  readonly maxBytes?: number;
}

const others = [
  ['isDirectory', 'a directory'],
  ['isFIFO', 'a FIFO'],
  ['isSocket', 'a socket'],
  ['isCharacterDevice', 'a device'],
  ['isBlockDevice', 'a device'],
] as const;

/**
 * Refuses what lies in the place of a file and is none, before it is opened: to open a FIFO waits for whoever opens its other end, which takes one of the few threads that do such work
 * for good, and to open a device may do anything. Where there is nothing, or it cannot be told, the opening says so.
 * @throws InfinitError of the wanted code.
 */
export async function insistOnFile(place: string, demand: Demand): Promise<void> {
  const found = await stat(place).catch(() => undefined);
  judge(place, found, demand);
}

/** {@link insistOnFile} at once. */
export function insistOnFileNow(place: string, demand: Demand): void {
  let found: Stats | undefined;
  try {
    found = statSync(place);
  } catch {
    return;
  }
  judge(place, found, demand);
}

/** Makes a file anew. Whatever lies there goes: what a crash left, and what must not be followed or waited for. */
export async function openDraft(place: string, mode: number): Promise<FileHandle> {
  await rm(place, { force: true });
  return open(place, 'wx', mode);
}

function judge(place: string, found: Stats | undefined, { code, maxBytes = Infinity }: Demand): void {
  if (found === undefined) return;
  const [, other] = others.find(([is]) => found[is]()) ?? [];
  if (other !== undefined) throw new InfinitError(code, `${place} is ${other}, and has to be a file`);
  if (found.size > maxBytes) throw new InfinitError(code, `${place} has ${found.size} bytes; no such file has more than ${maxBytes}`);
}
