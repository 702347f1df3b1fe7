import { InfinitError } from '../../base/index.ts';
import type { PeerId } from '../transport.ts';
import type { KeyPair } from './key-pair.ts';
import { peerIdOf, publicKeyOf } from './peer-id.ts';
import { numberField, readText, type SignedText, signText, textField } from './signed.ts';

/** `joining`: not yet in touch with a member. `draining`: keeps serving, takes no new blocks. `left`: gone for good, on purpose. */
export const memberStates = ['joining', 'up', 'draining', 'left'] as const;
export type MemberState = (typeof memberStates)[number];

/** What a host says of itself, signed by its own key. Of two records of a host the one with the higher (incarnation, sequence) counts. */
export interface MemberRecord {
  readonly peer: PeerId;
  /** What people call it. Two hosts may have the same. */
  readonly name: string;
  readonly zone: string;
  /** Bytes it offers; 0: it stores nothing. */
  readonly capacity: number;
  /** `HOST:PORT`, best first; empty where it only dials. */
  readonly addresses: readonly string[];
  readonly state: MemberState;
  /** Counts the starts of its daemon. */
  readonly incarnation: number;
  /** Hex of 8 random bytes, new at each start: two processes with one identity differ in it. */
  readonly nonce: string;
  /** Counts the records of one incarnation. */
  readonly sequence: number;
}

export const maxRecordLength = 8 * 1024;
const maxAddresses = 16;
const maxNameLength = 64;

export function signRecord(record: Omit<MemberRecord, 'peer'>, key: KeyPair): SignedText {
  return signText('member', { ...record, addresses: record.addresses.slice(0, maxAddresses), peer: peerIdOf(key.publicKey) }, key);
}

/**
 * Verifies a record.
 * @param isWanted Asked before the costly part, with the version that the record claims; false: undefined is returned.
 * @throws InfinitError `denied`, `bad-argument`.
 */
export function readRecord(text: unknown, isWanted: (claim: RecordVersion) => boolean): MemberRecord | undefined;
export function readRecord(text: unknown): MemberRecord;
export function readRecord(text: unknown, isWanted: (claim: RecordVersion) => boolean = () => true): MemberRecord | undefined {
  const statement = readText('member', text, maxRecordLength);
  const { fields } = statement;
  const peer = textField(fields, 'peer', 80);
  const version = {
    peer,
    incarnation: numberField(fields, 'incarnation'),
    sequence: numberField(fields, 'sequence'),
    nonce: textField(fields, 'nonce', 16),
  };
  if (!isWanted(version)) return undefined;
  statement.verify(publicKeyOf(peer));
  const { addresses, state } = fields;
  if (
    !Array.isArray(addresses) ||
    addresses.length > maxAddresses ||
    addresses.some((address) => typeof address !== 'string' || address.length > 300)
  )
    throw new InfinitError('bad-argument', `host ${peer} has no readable addresses`);
  return {
    ...version,
    name: textField(fields, 'name', maxNameLength),
    zone: textField(fields, 'zone', maxNameLength),
    capacity: numberField(fields, 'capacity'),
    addresses: addresses as string[],
    // A state of a later minor version: the host is there, that much is known.
    state: memberStates.includes(state as MemberState) ? (state as MemberState) : 'up',
  };
}

/** What orders the records of one host. */
export type RecordVersion = Pick<MemberRecord, 'peer' | 'incarnation' | 'sequence' | 'nonce'>;

/** Whether a record replaces another of the same host. */
export function isNewer(record: Pick<RecordVersion, 'incarnation' | 'sequence'>, than: Pick<RecordVersion, 'incarnation' | 'sequence'>): boolean {
  return record.incarnation > than.incarnation || (record.incarnation === than.incarnation && record.sequence > than.sequence);
}
