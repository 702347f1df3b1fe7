/** Blocks on this host or on a thousand, behind one interface: immutable ones by hash, mutable ones each a quorum of its own. */
export * from './block-store.ts';
export { awaitedKinds } from './kinds.ts';
export { Housekeeping, type HousekeepingCall, type Resolution } from './housekeeping.ts';
export { type Copy, newest as newestCopy } from './inspection.ts';
export { Store, type StoreMeter, type StoreOptions } from './store.ts';
export type { StorePlacement } from './store-placement.ts';
