import { retryPauseMs } from '../base/index.ts';
import { type Address, isAddress, kindOf, lastImmutableAddress } from '../block/index.ts';
import { Changes } from './changes.ts';
import { type Amount, nothing, type Progress } from './progress.ts';
import { copiesAtOnce, maxOpenBlocks, pageBlocks, saveEveryMs } from './settings.ts';
import type { Standpoint } from './standpoint.ts';

/** So long is waited between two tries even where something changed meanwhile, in ms: other hosts may be coming too. */
const leastPauseMs = 1000;

/** What a host holds is walked over in two parts, by kind of block. */
export interface Part {
  readonly name: 'registers' | 'copies';
  /** Its addresses follow this one, and end with that one; undefined: with the first or last of all. */
  readonly after: Address | undefined;
  readonly last: Address | undefined;
}

export const registersPart: Part = { name: 'registers', after: lastImmutableAddress, last: undefined };
export const copiesPart: Part = { name: 'copies', after: undefined, last: lastImmutableAddress };
/** Registers first: they are small, and what refers to the rest (a lease, an inode) is among them. */
export const allParts: readonly Part[] = [registersPart, copiesPart];

/** One page of a part. */
export interface Page {
  /** The page is what lies after `after` up to and with `last` (undefined: from the first of all, to the last). */
  readonly after: Address | undefined;
  readonly last: Address | undefined;
  /** The address that the following page goes on after; undefined: this is the last. */
  readonly next: Address | undefined;
  readonly addresses: readonly Address[];
  /** Bytes of the value of each, and of all. */
  readonly sizes: readonly number[];
  readonly bytes: number;
}

/** Everything that this host holds of a part, in pages, so that memory stays bounded. */
export async function* pages(at: Standpoint, { after, last }: Part, signal: AbortSignal): AsyncGenerator<Page> {
  let from = after;
  for (;;) {
    signal.throwIfAborted();
    const listed = await at.housekeeping.list(from, pageBlocks);
    const within = last === undefined ? listed : listed.filter(({ address }) => address <= last);
    const addresses = within.map(({ address }) => address);
    const next = addresses.length < pageBlocks ? undefined : addresses.at(-1)!;
    const sizes = within.map(({ size }) => size);
    yield { after: from, last: next ?? last, next, addresses, sizes, bytes: sumOf(sizes) };
    if (next === undefined) return;
    from = next;
  }
}

/** A part that is walked over from `after` on, which lies where `before` was walked over. */
interface Begun extends Part {
  readonly before: Amount;
}

/** Who is told how far a walk is. */
export type WalkProgress = Pick<Progress, 'enter' | 'advance' | 'walked'>;

/** What a walk does with some blocks of one part; returns those that are to be tried again. `patience` counts the tries before. */
export type Step = (part: Part['name'], addresses: readonly Address[], patience: number) => Promise<readonly Address[]>;

/**
 * Walks over everything until nothing is open. How far it came with each part is kept on the disk under `key`, so that a restart goes on there. What is open of
 * one part does not hold up the other.
 */
export async function walkUntilDone(at: Standpoint, key: string, step: Step, progress: WalkProgress, signal: AbortSignal): Promise<void> {
  using changes = new Changes(at);
  let left: readonly Begun[] = await Promise.all(allParts.map((part) => begun(at, part, key)));
  // What was written before this walk began is listed by it: whatever is saved is durable after all that was written before.
  for (const part of left) await save(at, key, part);
  for (let patience = 0; left.length > 0; patience++) {
    const open: Address[] = [];
    const again: Begun[] = [];
    changes.forget();
    for (const part of left) {
      progress.enter(part.name, part.before);
      const found = await walk(at, key, part, (addresses) => step(part.name, addresses, patience), progress, signal);
      for (const address of found) open.push(address);
      if (found.length === maxOpenBlocks) again.push({ ...allParts.find(({ name }) => name === part.name)!, before: nothing });
    }
    progress.walked();
    await retry(open, step, changes, signal);
    left = again;
  }
  for (const part of allParts) await at.housekeeping.save(placeKey(part), '');
}

/** Once over a part. Returns what is open, as many as are remembered: if it is that many there may be more. */
async function walk(
  at: Standpoint,
  key: string,
  part: Begun,
  step: (addresses: readonly Address[]) => Promise<readonly Address[]>,
  progress: WalkProgress,
  signal: AbortSignal,
): Promise<readonly Address[]> {
  const open: Address[] = [];
  let { blocks, bytes } = part.before;
  let savedAt = performance.now();
  for await (const page of pages(at, part, signal)) {
    const { next } = page;
    for (const some of slicesOf(page, part.name === 'copies' ? copiesAtOnce : pageBlocks)) {
      for (const address of await step(some.addresses)) if (open.length < maxOpenBlocks) open.push(address);
      progress.advance({ blocks: some.addresses.length, bytes: some.bytes });
    }
    blocks += page.addresses.length;
    bytes += page.bytes;
    if (open.length > 0 || next === undefined || performance.now() - savedAt < saveEveryMs) continue;
    savedAt = performance.now();
    await save(at, key, { ...part, after: next, before: { blocks, bytes } });
  }
  return open;
}

function* slicesOf({ addresses, sizes }: Page, count: number): Generator<Pick<Page, 'addresses' | 'bytes'>> {
  for (let at = 0; at < addresses.length; at += count)
    yield { addresses: addresses.slice(at, at + count), bytes: sumOf(sizes.slice(at, at + count)) };
}

function sumOf(sizes: readonly number[]): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}

function placeKey({ name }: Part): string {
  return `walk/${name}`;
}

/** The part from where the last start of this host came with that walk. */
async function begun({ housekeeping }: Standpoint, part: Part, key: string): Promise<Begun> {
  const [savedKey, place, blocks, bytes] = (await housekeeping.load(placeKey(part)))?.split(' ') ?? [];
  if (savedKey !== key || !isAddress(place)) return { ...part, before: nothing };
  // Versions of before 28 November 2026 saved no amounts.
  return { ...part, after: place, before: { blocks: Number(blocks ?? 0) || 0, bytes: Number(bytes ?? 0) || 0 } };
}

function save({ housekeeping }: Standpoint, key: string, part: Begun): Promise<void> {
  return housekeeping.save(placeKey(part), `${key} ${part.after ?? ''} ${part.before.blocks} ${part.before.bytes}`);
}

/** Tries what was left open until all of it is done: less and less often, and soon after a change. */
async function retry(open: readonly Address[], step: Step, changes: Changes, signal: AbortSignal): Promise<void> {
  let left = open;
  for (let patience = 1; left.length > 0; patience++) {
    await pauseUntilChange(retryPauseMs(patience, left.length), changes, signal);
    changes.forget();
    const still: Address[] = [];
    for (let from = 0; from < left.length; from += pageBlocks) {
      const group = left.slice(from, from + pageBlocks);
      const copies = group.filter((address) => kindOf(address) === 'immutable');
      const registers = group.filter((address) => kindOf(address) !== 'immutable');
      if (registers.length > 0) still.push(...(await step('registers', registers, patience)));
      if (copies.length > 0) still.push(...(await step('copies', copies, patience)));
    }
    left = still;
  }
}

async function pauseUntilChange(ms: number, changes: Changes, signal: AbortSignal): Promise<void> {
  await pause(Math.min(ms, leastPauseMs), signal);
  if (ms <= leastPauseMs) return;
  await pause(ms - leastPauseMs, AbortSignal.any([signal, changes.signal])).catch(() => {});
  signal.throwIfAborted();
}

/** @throws what the signal was aborted with. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
  signal.throwIfAborted();
}
