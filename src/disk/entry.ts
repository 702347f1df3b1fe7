import { type RecordId, type RecordType, recordBytes, recordTypes } from './record.ts';

/** Where the newest record of an id lies. For `delete` and `lost` only the type counts. */
export interface Entry {
  readonly type: RecordType;
  readonly segment: number;
  readonly offset: number;
  /** Bytes of the value. */
  readonly length: number;
}

/** A place in the log. */
export interface LogPosition {
  readonly segment: number;
  readonly offset: number;
  /** The sequence number of the first record at or after this place. */
  readonly sequence: number;
  /** The id of the record before it. */
  readonly lastId: RecordId;
}

/** Everything before this place is in the index. */
export interface Checkpoint extends LogPosition {
  /** What the index counts. */
  readonly blocks: number;
  readonly liveBytes: number;
}

/** True where a reader would get bytes. */
export function hasValue(entry: Entry | undefined): entry is Entry {
  return entry !== undefined && entry.type === recordTypes.put;
}

/** Bytes of the log that an entry keeps alive. */
export function heldBytes(entry: Entry): number {
  return entry.type === recordTypes.put ? recordBytes(entry.length) : 0;
}

/** True for the id of a block, as against a meta key's. */
export function isBlockId(id: RecordId): boolean {
  return id.charCodeAt(0) === 0x31;
}
