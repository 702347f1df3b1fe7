import { assert, keptCopy, keptMemory, readU48, writeU48 } from '../base/index.ts';
import { ownerOf } from './seal.ts';

/**
 * What a block that many write to remembers of its earlier writers: of each other session the last write that it made. So a writer whose
 * write ended as unknown finds out how it ended, also after others have written over it. In the body of a sealed block, little-endian:
 *
 * ```
 * 48  u8   entries   u48 version at which the block was made (again)
 * 55  entries, each:  u32 session   u48 sequence number   u48 version that it wrote
 *  …  the value
 * ```
 *
 * A block that one session writes to has no entries. A removal ends a lineage: what was before leaves no trace.
 */
const bodyOffset = 48;
const bornOffset = 49;
const bodyHeaderBytes = 7;
const entriesOffset = bodyOffset + bodyHeaderBytes;
const lengthOffset = 4;
const sessionOffset = 36;
const entryBytes = 16;
const sequenceOffset = 4;
const versionOffset = 10;
/** Sessions that are remembered, the latest first. */
const maxEntries = 8;
const noEntries: readonly Uint8Array[] = [];

/** What a lineage adds to a value at the most. */
export const maxLineageBytes = bodyHeaderBytes + maxEntries * entryBytes;

/** The body to seal for a value: with a lineage that is still empty. Made to be sealed and thrown away. */
export function bodyWithLineage(value: Uint8Array): Uint8Array {
  const body = Buffer.allocUnsafe(bodyHeaderBytes + value.length).fill(0, 0, bodyHeaderBytes);
  body.set(value, bodyHeaderBytes);
  return body;
}

/** The value in the open body of a sealed block. */
export function valueIn(body: Uint8Array): Uint8Array {
  return body.subarray(bodyHeaderBytes + body[0]! * entryBytes);
}

/** Plainly sealed bytes of {@link bodyWithLineage} for a block that is made at a version. */
export function beginLineage(sealed: Uint8Array, version: number): Uint8Array {
  assert(sealed.length >= entriesOffset, 'what is sealed for a lineage has room for it');
  const result = keptCopy(sealed);
  writeU48(result, version, bornOffset);
  return result;
}

/** Plainly sealed bytes of {@link bodyWithLineage} as they follow upon what the block holds now. */
export function continueLineage(sealed: Uint8Array, current: { readonly version: number; readonly payload: Uint8Array }): Uint8Array {
  assert(sealed.length >= entriesOffset && sealed[bodyOffset] === 0, 'a lineage is continued once');
  assert(current.payload.length >= entriesOffset, 'what continues a lineage follows upon one');
  const kept = entriesAfter(current, sessionIn(sealed));
  const added = kept.length * entryBytes;
  const result = keptMemory(sealed.length + added);
  result.set(sealed);
  if (added > 0) {
    bufferOf(result).writeUInt32LE(sealed.length - bodyOffset + added, lengthOffset);
    result[bodyOffset] = kept.length;
    for (const [index, entry] of kept.entries()) result.set(entry, entriesOffset + index * entryBytes);
    result.set(sealed.subarray(entriesOffset), entriesOffset + added);
  }
  writeU48(result, bornAt(current.payload), bornOffset);
  return result;
}

/** The entries of a block in which `session` writes next. */
function entriesAfter({ version, payload }: { readonly version: number; readonly payload: Uint8Array }, session: number): readonly Uint8Array[] {
  const writer = sessionIn(payload);
  if (payload[bodyOffset] === 0) return writer === session ? noEntries : [entryOf(payload, version)];
  const entries = entriesIn(payload).filter((entry) => readSession(entry) !== session);
  if (writer !== session) entries.unshift(entryOf(payload, version));
  return entries.slice(0, maxEntries);
}

/**
 * The version that a write made, found by its session and number in what a block holds now. `never`: it was not made, for certain, since an
 * earlier write of its session is there, or the block was there at version `since` already, when the write was first tried or before.
 * undefined: nobody knows: it may be forgotten, or have been removed with all that was then.
 */
export function findWrite(
  sealed: Uint8Array,
  current: { readonly version: number; readonly payload: Uint8Array },
  since?: number,
): number | 'never' | undefined {
  const { session, sequence } = ownerOf(sealed);
  const last = ownerOf(current.payload);
  if (last.session === session) return last.sequence === sequence ? current.version : last.sequence < sequence ? 'never' : undefined;
  const entries = entriesIn(current.payload);
  const entry = entries.find((candidate) => readSession(candidate) === session);
  if (entry === undefined) return since !== undefined && bornAt(current.payload) <= since && entries.length < maxEntries ? 'never' : undefined;
  const found = bufferOf(entry).readUIntLE(sequenceOffset, 6);
  return found === sequence ? bufferOf(entry).readUIntLE(versionOffset, 6) : found < sequence ? 'never' : undefined;
}

function bornAt(sealed: Uint8Array): number {
  return readU48(sealed, bornOffset);
}

function entriesIn(sealed: Uint8Array): Uint8Array[] {
  const count = sealed[bodyOffset] ?? 0;
  return Array.from({ length: count }, (_, index) => sealed.subarray(entriesOffset + index * entryBytes, entriesOffset + (index + 1) * entryBytes));
}

function entryOf(sealed: Uint8Array, version: number): Uint8Array {
  const { session, sequence } = ownerOf(sealed);
  const entry = Buffer.alloc(entryBytes);
  entry.writeUInt32LE(session, 0);
  entry.writeUIntLE(sequence, sequenceOffset, 6);
  entry.writeUIntLE(version, versionOffset, 6);
  return entry;
}

function sessionIn(sealed: Uint8Array): number {
  return ((sealed[sessionOffset + 3]! << 24) | (sealed[sessionOffset + 2]! << 16) | (sealed[sessionOffset + 1]! << 8) | sealed[sessionOffset]!) >>> 0;
}

function readSession(entry: Uint8Array): number {
  return bufferOf(entry).readUInt32LE(0);
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
