/** The first pause, and the longest where little is left, in ms. */
const firstMs = 100;
const shortMs = 1000;
/** Pause for each thing that is left, in ms, and the longest of all. */
const eachMs = 2;
const longMs = 15_000;

/**
 * How long to wait, in ms, before what could not be finished is tried again: soon, since what it waits for may come at any moment, unless so much is left
 * that trying is work.
 * @param tries How often it was tried in vain, from 1.
 */
export function retryPauseMs(tries: number, left: number): number {
  return Math.max(Math.min(firstMs * 2 ** (tries - 1), shortMs), Math.min(left * eachMs, longMs));
}
