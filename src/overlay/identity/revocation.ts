import { InfinitError } from '../../base/index.ts';
import type { PeerId } from '../transport.ts';
import type { KeyPair } from './key-pair.ts';
import { type Passport, readPassport } from './passport.ts';
import { publicKeyOf } from './peer-id.ts';
import { keyField, numberField, readText, type SignedText, signText, textField } from './signed.ts';

/** What is revoked: a host, for good; or a token, so that no further host joins with it. */
export type Subject = `host:${PeerId}` | `token:${string}`;

/** A signed word that a host or token is no longer good. It spreads with the roster and is kept for ever. */
export interface Revocation {
  readonly text: SignedText;
  readonly subject: Subject;
  /** The host that signed it, by the passport that it had then; undefined: the cluster's key did. */
  readonly issuer: Passport | undefined;
  /**
   * Members that rested on what is revoked when that was done, and stay ({@link isNamed}). Undefined: none were named, in an earlier version or since they
   * were too many, and whoever says that it joined before has to be believed.
   */
  readonly stays: ReadonlySet<string> | undefined;
  /**
   * Of an inviter that is expelled: the hosts and tokens that it had revoked, as far as that was known. With its key it goes on signing, and what else it has
   * revoked is not believed ({@link isKept}). Undefined: as above.
   */
  readonly keeps: ReadonlySet<string> | undefined;
  /** For people; nothing depends on it. */
  readonly atMs: number;
}

export const maxRevocationLength = 48 * 1024;
/** Hosts that one revocation names as staying, and revocations as good. */
const maxStays = 512;
const maxKeeps = 256;
/** Characters of a peer id that name it there: its last ones, over 90 bits of the host's key; or the id of a token. */
const namedLength = 16;
/** Revocations of one cluster; a cluster that needs more starts anew. */
export const maxRevocations = 10_000;

/** Revokes with the cluster's key, or with the key of a host that may invite. @param naming As in {@link Revocation}, in full. */
export function signRevocation(
  subject: Subject,
  atMs: number,
  signer: { readonly key: KeyPair; readonly cluster: Uint8Array; readonly passport?: Passport },
  { stays, keeps }: { readonly stays?: readonly PeerId[]; readonly keeps?: readonly Subject[] } = {},
): Revocation {
  const { passport } = signer;
  if (passport !== undefined && !passport.rights.includes('invite')) throw new InfinitError('denied', 'this host has no right to revoke');
  const cluster = Buffer.from(signer.cluster).toString('base64url');
  const named = {
    ...(stays === undefined || stays.length > maxStays ? {} : { stays: stays.map((peer) => nameOf(peer)) }),
    ...(keeps === undefined || keeps.length > maxKeeps ? {} : { keeps: keeps.map((each) => nameOf(each)) }),
  };
  const issuer = passport === undefined ? {} : { issuer: passport.text };
  const text = signText('revocation', { cluster, subject, at: atMs, ...named, ...issuer }, signer.key);
  return readRevocation(text, signer.cluster);
}

/**
 * Verifies a revocation's signatures. Whether its issuer was expelled itself is not looked at: when it signed is its own word, and members must
 * come to the same list whatever they hear first. @throws InfinitError `denied`, `bad-argument`.
 */
export function readRevocation(text: unknown, cluster: Uint8Array): Revocation {
  const statement = readText('revocation', text, maxRevocationLength);
  const { fields } = statement;
  if (Buffer.compare(keyField(fields, 'cluster'), cluster) !== 0) throw new InfinitError('denied', 'a revocation is of another cluster');
  const issuer = fields['issuer'] === undefined ? undefined : readPassport(fields['issuer'], cluster);
  if (issuer !== undefined && !issuer.rights.includes('invite')) throw new InfinitError('denied', `host ${issuer.peer} had no right to revoke`);
  statement.verify(issuer === undefined ? cluster : publicKeyOf(issuer.peer));
  const subject = textField(fields, 'subject', 100);
  if (!/^(host|token):[\w]+$/.test(subject)) throw new InfinitError('bad-argument', 'a revocation names neither a host nor a token');
  return {
    text: text as string,
    subject: subject as Subject,
    issuer,
    stays: namesOf(fields, 'stays', maxStays),
    keeps: namesOf(fields, 'keeps', maxKeeps),
    atMs: numberField(fields, 'at'),
  };
}

/** Whether a revocation names a host as staying; undefined: it names nobody. */
export function isNamed({ stays }: Revocation, peer: PeerId): boolean | undefined {
  return stays?.has(nameOf(peer));
}

/** Whether the revocation of an inviter names one of that inviter's own as good; undefined: it names none. */
export function isKept({ keeps }: Revocation, subject: Subject): boolean | undefined {
  return keeps?.has(nameOf(subject));
}

function nameOf(of: string): string {
  return of.slice(-namedLength);
}

function namesOf(fields: Readonly<Record<string, unknown>>, field: string, most: number): ReadonlySet<string> | undefined {
  const names = fields[field];
  if (names === undefined) return undefined;
  if (!Array.isArray(names) || names.length > most || names.some((name) => typeof name !== 'string' || name.length > namedLength))
    throw new InfinitError('bad-argument', `field ${field} is no list of names`);
  return new Set(names as string[]);
}
