/**
 * The one error class and the one table of codes. Expected outcomes (a conflict, no quorum) are discriminated unions
 * where they are part of an API's normal answer; exceptions are failures. docs/errors.md explains each code to users,
 * test/base/errors.test.ts holds that no code is missing there.
 */
export const errorCodes = {
  bug: 'An invariant of Infinit itself broke. Please report it.',
  'bad-argument': 'An argument, option or message field has the wrong type or value.',
  'not-found': 'The named thing does not exist.',
  'already-exists': 'The named thing exists already with other properties.',
  conflict: 'Somebody else changed the block first; the answer carries the current value.',
  'in-use': 'The volume is mounted or otherwise in use.',
  unavailable: 'Too few replicas can be reached; nothing was changed.',
  'unknown-outcome': 'The request was sent, but whether it took effect is not known.',
  'deadline-exceeded': 'The call did not finish in its time; nothing was changed.',
  cancelled: 'The caller cancelled the call.',
  lost: 'All hosts of the block are lost, and it was given up.',
  damaged: 'Stored bytes do not match their checksum or address.',
  'disk-full': 'The state directory has no room left.',
  'disk-failed': 'The disk answered with an I/O error; the store is read-only.',
  'read-only': 'The store, volume or host takes no writes.',
  'wrong-version': 'The state directory or the peer speaks another format version.',
  'wrong-key': 'The key does not open this block.',
  locked: 'Another process holds the state directory.',
  denied: 'The identity or token gives no right to do this.',
  'too-large': 'A value is over its named limit.',
  overloaded: 'A bounded queue is full; try again.',
  unsupported: 'The kernel, engine or peer cannot do this.',
  closed: 'The object was closed.',
} as const;

/** A name of {@link errorCodes}; it is what crosses the wire. */
export type ErrorCode = keyof typeof errorCodes;

const unchanged: ReadonlySet<ErrorCode> = new Set([
  'bad-argument',
  'not-found',
  'already-exists',
  'conflict',
  'in-use',
  'unavailable',
  'deadline-exceeded',
  'disk-full',
  'read-only',
  'wrong-version',
  'wrong-key',
  'locked',
  'denied',
  'too-large',
  'overloaded',
  'unsupported',
  'lost',
]);

/**
 * Whether a call that failed so has changed nothing, whoever raised it. After any other code it may have: what is cancelled, closed or damaged may have been
 * begun before, and only whoever knows that it was not may say more.
 */
export function leavesUnchanged(code: ErrorCode): boolean {
  return unchanged.has(code);
}

/**
 * The same of a block store's commit that rejects: it is cancelled only before it begins, and where a disk fails nothing could be read, or immutable blocks
 * alone were to be put.
 */
export function commitLeavesUnchanged(code: ErrorCode): boolean {
  return code === 'cancelled' || code === 'disk-failed' || leavesUnchanged(code);
}

/** Every failure that Infinit itself raises. `message` names the offending thing and says what to do. */
export class InfinitError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'InfinitError';
    this.code = code;
  }
}

/** The code of anything thrown; what is not ours is a `bug`. */
export function codeOf(error: unknown): ErrorCode {
  return error instanceof InfinitError ? error.code : 'bug';
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
