/** Has memory that nobody touched yet come in large pages, where there are any. */
export type AskForHugePages = (memory: Uint8Array) => void;

let ask: AskForHugePages = () => {};

/**
 * Memory that is large and used again and again: in pages of 2 MiB a device takes it in a few pieces, and the kernel need not look up each 4 KiB of it
 * for each write. Without a way to ask for them it stays as it is.
 */
export function wantHugePages(memory: Uint8Array): void {
  ask(memory);
}

/** Offers the way, for the calling thread. */
export function offerHugePages(way: AskForHugePages): void {
  ask = way;
}
