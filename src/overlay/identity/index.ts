/** Who is who, verified without a network: host keys, the cluster's key, invitations, passports, revocations. Signs and verifies; keeps no files. */
export { keyBytes, KeyPair, verifySignature } from './key-pair.ts';
export { peerIdOf, publicKeyOf } from './peer-id.ts';
