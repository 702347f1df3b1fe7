import { type Clock, systemClock } from '../base/index.ts';

/** Two words, eight bytes each, of the first page of a mount's memory: which daemon left it, and until when. */
const at = 88;

const wordsOf = (memory: Uint8Array): Float64Array => new Float64Array(memory.buffer, memory.byteOffset + at, 2);

/**
 * For the next daemon of the mount: until when the kernel may trust what this one told it, by the machine's monotonic clock. To be said once no answer can leave any more.
 * @param generation of this daemon, see SavedInit. What another one left counts for nothing: it says nothing of those that came later and knew of no such note.
 */
export function noteTrust(memory: Uint8Array, generation: number, untilMs: number): void {
  const words = wordsOf(memory);
  words[1] = untilMs;
  // Memory that says nothing is zero, and so is the first generation.
  words[0] = generation + 1;
}

/** For how long the kernel may trust yet what the daemon of that generation told it, in ms. undefined: it did not say, or not last. To be asked once: it is gone then, since this daemon may be killed. */
export function takeTrust(memory: Uint8Array, generation: number, clock: Clock = systemClock): number | undefined {
  const words = wordsOf(memory);
  const counts = words[0] === generation + 1;
  words[0] = 0;
  return counts ? Math.max(0, words[1]! - clock.monotonicMs()) : undefined;
}
