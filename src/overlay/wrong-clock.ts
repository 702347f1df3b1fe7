import type { Trouble } from './trouble.ts';

/** Clocks that differ by less are not worth a word, in ms; nothing depends on them. */
const maxDifferenceMs = 5 * 60_000;
const minuteMs = 60_000;

/** What is to be said of a host's clock, if anything. @param differenceMs It is so much ahead of this host's. */
export function wrongClock(peer: string, differenceMs: number): Trouble | undefined {
  if (Math.abs(differenceMs) < maxDifferenceMs) return undefined;
  const message = `the clock of host ${peer} is ${inWords(Math.abs(differenceMs))} ${differenceMs > 0 ? 'ahead of' : 'behind'} this one's: set the wrong one right`;
  return { kind: 'clock', about: peer, message };
}

/** Minutes, hours or days. */
function inWords(ms: number): string {
  const minutes = Math.round(ms / minuteMs);
  return minutes < 120
    ? `${minutes} minutes`
    : minutes < 2 * 24 * 60
      ? `${Math.round(minutes / 60)} hours`
      : `${Math.round(minutes / (24 * 60))} days`;
}
