/**
 * Which hosts should hold a block: one pure function of the block's address and the roster. Every host with the same roster
 * gets the same answer; a host that joins or leaves moves its own share and hardly anything else. It only suggests: which
 * replicas a block has is said by the block's own record.
 */
export { addressKey, type Key, memberKey } from './key.ts';
export { nearAddress } from './near-address.ts';
export { candidateCount, candidates, neighbourhood, place } from './place.ts';
export { type Member, maxMembers, type PeerId, Roster } from './roster.ts';
