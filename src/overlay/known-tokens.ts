import { InfinitError } from '../base/index.ts';
import { allRights, type Right } from './identity/index.ts';
import type { PeerId } from './transport.ts';

/** What is kept of a token where it was made: nothing secret. */
export interface MadeToken {
  readonly id: string;
  readonly rights: readonly Right[];
  /** Milliseconds since the epoch, within what a Date can say. */
  readonly expiresMs: number;
  readonly uses: number;
}

/** A token with what became of it. */
export interface KnownToken extends MadeToken {
  readonly revoked: boolean;
  /** Who joined with it, by name where it is known: a host that left and joined anew is there twice, as it takes two uses. */
  readonly hosts: readonly string[];
  /** Their ids, in the same order; absent from a host of an earlier version. */
  readonly peers?: readonly PeerId[];
}

/** Tokens made on one host that it remembers. */
export const maxMadeTokens = 1000;
/** Tokens that one host may tell of: those it made and those that members joined with. */
export const maxKnownTokens = 8192;
/** Hosts of one token, and the length of a name. */
const maxHosts = 4096;
const maxNameLength = 256;
const maxIdLength = 32;
/** The largest moment that a Date can say. */
const maxDateMs = 8.64e15;

/** The well-formed entries of a list of tokens from a file. @throws InfinitError `bad-argument` where it is no list. */
export function madeTokens(value: unknown): MadeToken[] {
  return listOf(value)
    .flatMap((item) => madeToken(item) ?? [])
    .slice(-maxMadeTokens);
}

/** The well-formed entries of what another host says of tokens, no more than {@link maxKnownTokens}. @throws InfinitError `bad-argument`. */
export function knownTokens(value: unknown): KnownToken[] {
  return listOf(value)
    .slice(0, maxKnownTokens)
    .flatMap((item) => {
      const made = madeToken(item);
      const { revoked, hosts, peers } = (item ?? {}) as Partial<Record<keyof KnownToken, unknown>>;
      if (made === undefined || typeof revoked !== 'boolean' || !areTexts(hosts, maxHosts, maxNameLength)) return [];
      const known = { ...made, revoked, hosts };
      return [areTexts(peers, maxHosts, maxNameLength) && peers.length === hosts.length ? { ...known, peers } : known];
    });
}

function madeToken(item: unknown): MadeToken | undefined {
  const { id, rights, expiresMs, uses } = (item ?? {}) as Partial<Record<keyof MadeToken, unknown>>;
  if (typeof id !== 'string' || id.length > maxIdLength || !areTexts(rights, allRights.length, maxIdLength)) return undefined;
  if (!isWhole(expiresMs) || Math.abs(expiresMs) > maxDateMs || !isWhole(uses)) return undefined;
  return { id, rights: rights as Right[], expiresMs, uses };
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new InfinitError('bad-argument', 'this is no list of tokens');
  return value;
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function areTexts(value: unknown, most: number, longest: number): value is string[] {
  return Array.isArray(value) && value.length <= most && value.every((text) => typeof text === 'string' && text.length <= longest);
}
