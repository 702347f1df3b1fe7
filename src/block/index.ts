/**
 * What a block is: its address and its sealed form. Damage of any byte is detected; an encrypted block can be neither read
 * nor forged by the host that keeps it. Pure: no I/O, no clock.
 */
export {
  type Address,
  addressBytes,
  addressFromBytes,
  addressToBytes,
  addressVersion,
  type BlockKind,
  hashesTo,
  immutableAddress,
  isAddress,
  isRegisterAddress,
  kindOf,
  lastImmutableAddress,
  mutableAddress,
  namedAddress,
  parseAddress,
} from './address.ts';
export { type GivenUp, givenUpPayload, isGivenUp, readGivenUp } from './given-up.ts';
export { beginLineage, bodyWithLineage, continueLineage, findWrite, maxLineageBytes, valueIn } from './lineage.ts';
export { bareBody, headerBytes, isOwnedBy, type OpenBlock, ownerOf, type OwnerTag, Sealer, sealOverheadBytes } from './seal.ts';
