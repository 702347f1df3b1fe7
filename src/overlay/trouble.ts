import { InfinitError, messageOf, plainly } from '../base/index.ts';
import type { MemberRecord } from './identity/index.ts';

/** Something about another host that people should know; it is said again while it lasts. */
export interface Trouble {
  readonly kind: 'unreachable' | 'denied' | 'wrong-version' | 'self' | 'duplicate-identity' | 'older-state' | 'clock' | 'disputed';
  /** The peer id where it is known, else the address. */
  readonly about: string;
  readonly message: string;
  /** The peer that says so; absent: this host found it itself. */
  readonly by?: string;
}

/** Two records of one host that only two processes can have made, or one of this host from a time that it does not remember. */
export function twins(known: MemberRecord, other: MemberRecord): Trouble {
  const message = `two processes run with the identity of host ${known.name} (${known.peer}), at ${known.addresses.join(' ')} and ${other.addresses.join(' ')}: a copied state directory; stop one and give it an identity of its own`;
  return { kind: 'duplicate-identity', about: known.peer, message };
}

/** A state directory, or the store in it, that was put back to an earlier time, or is a copy of one that ran elsewhere. @param detail How that is known. */
export function olderState(peer: string, name: string, detail: string): Trouble {
  const message = `the state directory of host ${name} (${peer}) is older than what its cluster has seen of it: ${detail}. It was put back from a backup or a snapshot, a copy of it ran on another machine, or its disk lost what it had acknowledged; what the host promised since is forgotten, so it must not take part`;
  return { kind: 'older-state', about: peer, message };
}

/**
 * A member holds a host for expelled by a word that does not count here. Two that expelled each other on the two sides of a cut leave it so, for good: what was expelled is never
 * taken back, since others may have given up what they kept for it.
 */
export function disputed(peer: string, issuer: string, by: string): Trouble {
  const message = `host ${by} holds host ${peer} for expelled, by the word of host ${issuer}, which was expelled itself before that was known here. Those two will not speak with each other: expel host ${peer}, or host ${by} and all that say the same`;
  return { kind: 'disputed', about: peer, message, by };
}

/** Troubles for which a host itself stops taking part. */
export const stopping: ReadonlySet<Trouble['kind']> = new Set(['duplicate-identity', 'older-state']);

/** What kind of trouble a failed conversation with another host is. */
export function troubleOf(error: unknown): Trouble['kind'] {
  const code = error instanceof InfinitError ? error.code : undefined;
  if (code === 'denied' || code === 'wrong-version') return code;
  if (code === 'already-exists') return 'duplicate-identity';
  if (code === 'damaged') return 'older-state';
  return /dial self|host itself/.test(messageOf(error)) ? 'self' : 'unreachable';
}

/** A short sentence for people about an address that does not answer. */
export function describeFailure(address: string, error: unknown): string {
  if (troubleOf(error) === 'self') return `${address}: that is this host itself`;
  if (error instanceof InfinitError) return `${address}: ${error.message}`;
  const text = plainly(error);
  // The gate lets everybody be dialled but those.
  if (text.includes('denyOutbound')) return `${address}: a host answers there that was expelled`;
  return `${address}: ${/timed? ?out|abort/i.test(text) ? 'it does not answer' : text}`;
}
