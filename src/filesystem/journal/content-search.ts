import { codeOf } from '../../base/index.ts';
import { isReadLater } from '../failure.ts';
import { type ContentBlock, contentSlots } from './content-journal-codec.ts';

/** A slot that was not read by then is taken for one that may be out of reach: those beside it are read as well. In ms. */
const aloneMs = 100;
/** So many on each side at once. */
const beside = 4;

interface Found {
  readonly slot: number;
  /** undefined: none, or an empty one. */
  readonly block: ContentBlock | undefined;
  readonly version: number;
}

type Read = (slot: number) => Promise<Omit<Found, 'slot'>>;

/**
 * The newest block of the ring, by bisection: slots up to it are of this turn, those behind it of the turn before. Any slot about the middle will do, so those that are out of reach are passed
 * by, and nobody waits for them.
 * @param first what slot 0 has. @param onFound told of each slot that counted.
 * @throws InfinitError where the newest may be one that cannot be read
 */
export async function newestBlock(first: ContentBlock, read: Read, onFound: (found: Found) => void): Promise<ContentBlock> {
  let newest = first;
  for (let low = 1, high = contentSlots; low < high;) {
    const found = await between(low, high, read);
    if (found === undefined) break;
    onFound(found);
    const { slot, block } = found;
    if (block?.position === first.position + slot) {
      newest = block;
      low = slot + 1;
    } else high = slot;
  }
  return newest;
}

/** undefined: all that lie there were given up. */
async function between(low: number, high: number, read: Read): Promise<Found | undefined> {
  const middle = (low + high) >>> 1;
  const of = async (slot: number): Promise<Found> => ({ slot, ...(await read(slot)) });
  const alone = of(middle);
  const soon = await inTime(alone);
  if (soon !== undefined) return soon;
  const under = [alone];
  let [from, end] = [middle, middle + 1];
  for (;;) {
    for (const slot of [...range(Math.max(low, from - beside), from), ...range(end, Math.min(high, end + beside))]) under.push(of(slot));
    [from, end] = [Math.max(low, from - beside), Math.min(high, end + beside)];
    try {
      return await Promise.any(under);
    } catch (error) {
      const failures = (error as AggregateError).errors as unknown[];
      const failure = failures.find((one) => codeOf(one) !== 'lost');
      if (failure !== undefined && !isReadLater(failure)) throw failure;
      if (from > low || end < high) continue;
      if (failure === undefined) return undefined;
      throw failure;
    }
  }
}

function range(from: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - from) }, (_, index) => from + index);
}

/** undefined: it failed, or is not there yet. */
async function inTime<T>(promise: Promise<T>): Promise<T | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), aloneMs);
  try {
    return await Promise.race([promise.catch(() => undefined), late]);
  } finally {
    clearTimeout(timer);
  }
}
