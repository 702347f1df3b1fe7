import { assert, codeOf, InfinitError, maxU48, readU48, writeU48 } from '../base/index.ts';
import { type Address, addressBytes, addressFromBytes, addressToBytes } from '../block/index.ts';
import { decodeError, encodeError } from '../exchange/index.ts';
import type { BlockState, WriteOutcome } from './block-service.ts';

/**
 * What programs and their daemon say to each other after `Upgrade: infinit/1` (docs/api.md): frames of src/exchange, whose kinds are these.
 * Numbers are little-endian; a version is a u48.
 */
export const upgradeProtocol = 'infinit/1';

export const blockKinds = {
  /** A value to keep as an immutable block; answered with its address. */
  put: 1,
  /** An address; answered with a state. */
  get: 2,
  /** An address and a value; answered with an outcome. */
  create: 3,
  /** An address, u8 flags (1: remove, 2: a version is expected), the expected version, the value; answered with an outcome. */
  update: 4,
  /** An address and the version that is known (0: that there is no block); answered with a state as soon as it differs, or with nothing when the time is up. */
  wait: 5,
  /** The address of an immutable block to remove; answered with an outcome. */
  drop: 6,
  /** A value to keep as a mutable block; answered with its address and an outcome. */
  make: 7,
} as const;

const versionBytes = 6;
const removeFlag = 1;
const expectFlag = 2;
const updateHeaderBytes = addressBytes + 1 + versionBytes;
const statuses = ['committed', 'conflict', 'failed', 'unknown'] as const;

function writeVersion(into: Uint8Array, version: number, offset: number): void {
  if (!Number.isInteger(version) || version < 0 || version > maxU48) throw new InfinitError('bad-argument', `${version} is no version of a block`);
  writeU48(into, version, offset);
}

function readVersion(from: Uint8Array, offset: number): number {
  if (from.length < offset + versionBytes) throw new InfinitError('bad-argument', 'a message of the value store is cut short');
  return readU48(from, offset);
}

/** A state: its version, then the value; version 0: there is no block. */
export function encodeBlockState(state: BlockState | undefined): Uint8Array[] {
  const head = new Uint8Array(versionBytes);
  writeVersion(head, state?.version ?? 0, 0);
  return state === undefined ? [head] : [head, state.value];
}

export function decodeBlockState(body: Uint8Array): BlockState | undefined {
  const version = readVersion(body, 0);
  return version === 0 ? undefined : { version, value: body.subarray(versionBytes) };
}

export function encodeUpdate(address: Address, value: Uint8Array | null, expect: number | undefined): Uint8Array[] {
  const head = new Uint8Array(updateHeaderBytes);
  head.set(addressToBytes(address));
  head[addressBytes] = (value === null ? removeFlag : 0) | (expect === undefined ? 0 : expectFlag);
  writeVersion(head, expect ?? 0, addressBytes + 1);
  return value === null ? [head] : [head, value];
}

export function decodeUpdate(body: Uint8Array): { address: Address; value: Uint8Array | null; expect: number | undefined } {
  const address = addressFromBytes(body);
  const expected = readVersion(body, addressBytes + 1);
  const flags = body[addressBytes]!;
  return {
    address,
    value: (flags & removeFlag) === 0 ? body.subarray(updateHeaderBytes) : null,
    expect: (flags & expectFlag) === 0 ? undefined : expected,
  };
}

export function encodeWait(address: Address, known: number): Uint8Array {
  const body = new Uint8Array(addressBytes + versionBytes);
  body.set(addressToBytes(address));
  writeVersion(body, known, addressBytes);
  return body;
}

export function decodeWait(body: Uint8Array): { address: Address; known: number } {
  return { address: addressFromBytes(body), known: readVersion(body, addressBytes) };
}

/** u8 status, then: committed: the version; conflict: a state; failed and unknown: the code, a NUL and the message. */
export function encodeOutcome(outcome: WriteOutcome): Uint8Array[] {
  const status = statuses.indexOf(outcome.status);
  switch (outcome.status) {
    case 'committed': {
      const body = new Uint8Array(1 + versionBytes);
      body[0] = status;
      writeVersion(body, outcome.version, 1);
      return [body];
    }
    case 'conflict':
      return [Uint8Array.of(status), ...encodeBlockState(outcome.current)];
    default:
      return [Uint8Array.of(status), encodeError(outcome.code, outcome.message)];
  }
}

export function decodeOutcome(body: Uint8Array): WriteOutcome {
  const status = statuses[body[0] ?? -1];
  switch (status) {
    case 'committed':
      return { status, version: readVersion(body, 1) };
    case 'conflict':
      return { status, current: decodeBlockState(body.subarray(1)) };
    case 'failed':
    case 'unknown': {
      const error = decodeError(body.subarray(1));
      return { status, code: codeOf(error), message: error.message };
    }
    default:
      assert(status === undefined, 'every status is read');
      // A later daemon: what it meant cannot be told, so nothing may be relied on.
      return { status: 'unknown', code: 'unknown-outcome', message: 'the daemon answered in a way that this version does not know' };
  }
}
