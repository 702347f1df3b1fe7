import type { SurvivingMemory } from '../redo/surviving-memory.ts';

/**
 * What pages of mapped files the kernel may have, changed and not written: of a time in which it had the volume alone (`sole`); only such as are written beside other hosts in any
 * case (`shared`); or some that are older than what others wrote (`stale`).
 */
export type KernelPages = 'sole' | 'shared' | 'stale';

/** The first is also what a daemon leaves that says nothing. */
const states: readonly KernelPages[] = ['sole', 'shared', 'stale'];
/** In the first page of the redo log, in bytes. */
const at = 80;

/** As the process before left it. */
export function readKernelPages({ bytes }: SurvivingMemory): KernelPages {
  return states[bytes[at]!] ?? 'stale';
}

/** For the process that takes this one's place. */
export function noteKernelPages({ bytes }: SurvivingMemory, pages: KernelPages): void {
  bytes[at] = states.indexOf(pages);
}
