/** Who is who, verified without a network: host keys, the cluster's key, invitations, passports, revocations, member records. Signs and verifies; keeps no files. */
export { keyBytes, KeyPair, verifySignature } from './key-pair.ts';
export { isNewer, type MemberRecord, type MemberState, readRecord, signRecord } from './member-record.ts';
export {
  allRights,
  createToken,
  grantMs,
  isGrant,
  issuersOf,
  linksOf,
  newPassport,
  type Invitation,
  type InvitationTerms,
  type Passport,
  passportFromCluster,
  passportFromToken,
  readOwnPassport,
  readPassport,
  readToken,
  tokenPrefix,
  tokensOf,
  type Right,
  type Token,
} from './passport.ts';
export { peerIdOf, publicKeyOf } from './peer-id.ts';
export { isKept, isNamed, maxRevocations, readRevocation, type Revocation, signRevocation, type Subject } from './revocation.ts';
export type { SignedText } from './signed.ts';
