import { firstStoreKind } from '../overlay/index.ts';

/** Message kinds of repair, between those of the store and of the node; docs/wire-protocol.md lists their bodies. */
export const repairKinds = {
  /** A range of addresses and the digest of what both hosts should hold in it; answered with nothing where they agree, else with the list. */
  compare: firstStoreKind + 24,
} as const;
