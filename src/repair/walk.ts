import { retryPauseMs } from '../base/index.ts';
import { type Address, isAddress, kindOf } from '../block/index.ts';
import { maxOpenBlocks, pageBlocks, saveEveryMs } from './settings.ts';
import type { Standpoint } from './standpoint.ts';

/** One page of what this host holds. `next`: the address that the following page goes on after; undefined: this is the last. */
export interface Page {
  readonly after: Address | undefined;
  readonly next: Address | undefined;
  readonly registers: readonly Address[];
  readonly copies: readonly Address[];
}

/** Everything that this host holds, in pages, so that memory stays bounded. */
export async function* pages(at: Standpoint, from: Address | undefined, signal: AbortSignal): AsyncGenerator<Page> {
  let after = from;
  for (;;) {
    signal.throwIfAborted();
    const entries = await at.housekeeping.list(after, pageBlocks);
    const next = entries.length < pageBlocks ? undefined : entries.at(-1)!.address;
    const addresses = entries.map(({ address }) => address);
    yield {
      after,
      next,
      registers: addresses.filter((address) => kindOf(address) !== 'immutable'),
      copies: addresses.filter((address) => kindOf(address) === 'immutable'),
    };
    if (next === undefined) return;
    after = next;
  }
}

/** What a walk does with some blocks; returns those that are to be tried again. `patience` counts the tries before. */
export type Step = (registers: readonly Address[], copies: readonly Address[], patience: number) => Promise<readonly Address[]>;

/**
 * Walks over everything until nothing is open. How far it came is kept on the disk under `key`, so that a restart goes on there.
 * @param advance Told how many blocks were walked over.
 */
export async function walkUntilDone(at: Standpoint, key: string, step: Step, advance: (blocks: number) => void, signal: AbortSignal): Promise<void> {
  const { housekeeping } = at;
  let from = await savedPlace(at, key);
  // What was written before this walk began is listed by it: whatever is saved is durable after all that was written before.
  await save(at, key, from);
  for (let patience = 0; ; patience++) {
    const open: Address[] = [];
    let overflow = false;
    let savedAt = performance.now();
    for await (const page of pages(at, from, signal)) {
      for (const address of await step(page.registers, page.copies, patience)) {
        if (open.length < maxOpenBlocks) open.push(address);
        else overflow = true;
      }
      advance(page.registers.length + page.copies.length);
      if (open.length > 0 || page.next === undefined || performance.now() - savedAt < saveEveryMs) continue;
      savedAt = performance.now();
      await save(at, key, page.next);
    }
    await retry(open, step, signal);
    if (!overflow) return housekeeping.save('walk', '');
    from = undefined;
  }
}

async function savedPlace({ housekeeping }: Standpoint, key: string): Promise<Address | undefined> {
  const [savedKey, place] = (await housekeeping.load('walk'))?.split(' ') ?? [];
  return savedKey === key && isAddress(place) ? place : undefined;
}

function save({ housekeeping }: Standpoint, key: string, place: Address | undefined): Promise<void> {
  return housekeeping.save('walk', `${key} ${place ?? ''}`);
}

/** Tries what was left open until all of it is done. */
async function retry(open: readonly Address[], step: Step, signal: AbortSignal): Promise<void> {
  let left = open;
  for (let patience = 1; left.length > 0; patience++) {
    await pause(retryPauseMs(patience, left.length), signal);
    const still: Address[] = [];
    for (let from = 0; from < left.length; from += pageBlocks) {
      const group = left.slice(from, from + pageBlocks);
      const copies = group.filter((address) => kindOf(address) === 'immutable');
      const registers = group.filter((address) => kindOf(address) !== 'immutable');
      still.push(...(await step(registers, copies, patience)));
    }
    left = still;
  }
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
