import { InfinitError, messageOf, plainly } from '../base/index.ts';
import type { MemberRecord } from './identity/index.ts';

/** Something about another host that people should know; it is said again while it lasts. */
export interface Trouble {
  readonly kind: 'unreachable' | 'denied' | 'wrong-version' | 'self' | 'duplicate-identity' | 'clock';
  /** The peer id where it is known, else the address. */
  readonly about: string;
  readonly message: string;
}

/** Two records of one host that only two processes can have made, or one of this host from a time that it does not remember. */
export function twins(known: MemberRecord, other: MemberRecord): Trouble {
  const message = `two processes run with the identity of host ${known.name} (${known.peer}), at ${known.addresses.join(' ')} and ${other.addresses.join(' ')}: a copied state directory; stop one and give it an identity of its own`;
  return { kind: 'duplicate-identity', about: known.peer, message };
}

/** What kind of trouble a failed conversation with another host is. */
export function troubleOf(error: unknown): Trouble['kind'] {
  const code = error instanceof InfinitError ? error.code : undefined;
  if (code === 'denied' || code === 'wrong-version') return code;
  if (code === 'already-exists') return 'duplicate-identity';
  return /dial self|host itself/.test(messageOf(error)) ? 'self' : 'unreachable';
}

/** A short sentence for people about an address that does not answer. */
export function describeFailure(address: string, error: unknown): string {
  if (error instanceof InfinitError) return `${address}: ${error.message}`;
  const text = plainly(error);
  return `${address}: ${/timed? ?out|abort/i.test(text) ? 'it does not answer' : text}`;
}
