import type { Ballot } from './ballot.ts';
import { maxUnsettled, maxPreviousSets, maxReplicas, maxRound, maxValueBytes } from './limits.ts';
import type { Accepted, BlockRecord, ReplicaSet } from './record.ts';
import type { Reader, Writer } from './wire.ts';

/*
 * Layouts shared by states and messages. The value always comes last, outside of what is written here, so that it need not be copied.
 *
 *   ballot    round peer incarnation serial
 *   record    version epoch replicas previous* unsettled* origin value-length+1 (0: tombstone)
 *   accepted  0 | 1 ballot pointer record           (with `elided`: 2 means present, but the record is not repeated)
 */

const noSets: readonly ReplicaSet[] = [];

export function writeBallot(writer: Writer, { round, peer, incarnation, serial }: Ballot): void {
  writer.number(round);
  writer.peer(peer);
  writer.number(incarnation);
  writer.number(serial);
}

export function readBallot(reader: Reader): Ballot {
  const round = reader.number(maxRound);
  if (round === 0) reader.refuse('a ballot of round 0');
  return { round, peer: reader.peer(), incarnation: reader.number(), serial: reader.number() };
}

export function writeBallotOrNone(writer: Writer, ballot: Ballot | null): void {
  writer.byte(ballot === null ? 0 : 1);
  if (ballot !== null) writeBallot(writer, ballot);
}

export function readBallotOrNone(reader: Reader): Ballot | null {
  return reader.flag() ? readBallot(reader) : null;
}

/** Everything of the record but its value. */
export function writeRecord(writer: Writer, record: BlockRecord): void {
  writer.number(record.version);
  writer.number(record.epoch);
  writer.peers(record.replicas);
  writer.number(record.previous.length);
  for (const set of record.previous) writer.peers(set);
  writer.peers(record.unsettled);
  const { peer, incarnation, serial } = record.origin;
  writer.peer(peer);
  writer.number(incarnation);
  writer.number(serial);
  writer.number(record.value === null ? 0 : record.value.length + 1);
}

/** Reads a record whose value is the rest of the bytes. */
export function readRecord(reader: Reader): BlockRecord {
  const version = reader.number();
  const epoch = reader.number();
  if (version === 0 || epoch === 0) reader.refuse('a record without version or epoch');
  const replicas = reader.peers(1, maxReplicas);
  const sets = reader.number(maxPreviousSets);
  const previous = sets === 0 ? noSets : Array.from({ length: sets }, () => reader.peers(1, maxReplicas));
  const unsettled = reader.peers(0, maxUnsettled);
  const origin = { peer: reader.peer(), incarnation: reader.number(), serial: reader.number() };
  const length = reader.number(maxValueBytes + 1);
  const value = length === 0 ? null : reader.rest(length - 1);
  return { version, epoch, replicas, previous, unsettled, origin, value };
}

/** Bytes that must follow the head, if any. */
export function acceptedValue(accepted: Accepted | null): Uint8Array | null {
  return accepted?.record.value ?? null;
}

export function writeAccepted(writer: Writer, accepted: Accepted | null, same: boolean): void {
  writer.byte(accepted === null ? 0 : same ? 2 : 1);
  if (accepted === null) return;
  writeBallot(writer, accepted.ballot);
  writer.byte(accepted.pointer ? 1 : 0);
  writeRecord(writer, same && accepted.record.value !== null ? { ...accepted.record, value: null } : accepted.record);
}

/** Ends the bytes: an accepted record is the last thing in whatever contains it. */
export function readAccepted(reader: Reader, mayBeSame: boolean): { accepted: Accepted | null; same: boolean } {
  const kind = reader.byte();
  if (kind > (mayBeSame ? 2 : 1)) reader.refuse('an unknown kind of record');
  if (kind === 0) {
    reader.end();
    return { accepted: null, same: false };
  }
  const ballot = readBallot(reader);
  const pointer = reader.flag();
  const record = readRecord(reader);
  reader.end();
  if (pointer && record.value !== null) reader.refuse('a pointer with a value');
  return { accepted: { ballot, record, pointer }, same: kind === 2 };
}
