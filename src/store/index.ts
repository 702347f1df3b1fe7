/** Blocks on this host or on a thousand, behind one interface. */
export * from './block-store.ts';
