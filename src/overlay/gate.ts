import type { PeerId } from './transport.ts';

/** Who may connect. The transport asks; the identity layer answers from passports and revocations, without a network. */
export interface Gate {
  /** What this host shows to a peer: its passport and what the peer needs to verify it. Nothing secret. */
  credential(): Uint8Array;
  /** `member`: let in. `unknown`: may show a credential and nothing else. `refused`: revoked, not even that. */
  standing(peer: PeerId): 'member' | 'unknown' | 'refused';
  /** What a refused peer is told as a last word: its signed revocation, where there is one. */
  farewell?(peer: PeerId): string | undefined;
  /**
   * Judges what a peer showed; it is a member afterwards.
   * @param askedToJoin This host was a newcomer when it dialled the peer, at an address that it was given: see {@link isJoining}.
   * @throws InfinitError `denied` (and why).
   */
  admit(peer: PeerId, credential: Uint8Array, askedToJoin?: boolean): void;
  /** Whether this host is a newcomer that no member has let in yet. False where absent. */
  readonly isJoining?: boolean;
}

/** Lets everybody in: for tests of what lies above. */
export const openGate: Gate = { credential: () => new Uint8Array(0), standing: () => 'member', admit: () => {} };

/** The largest credential that is read. */
export const maxCredentialBytes = 16 * 1024;
