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
  /** For people; nothing depends on it. */
  readonly atMs: number;
}

export const maxRevocationLength = 16 * 1024;
/** Revocations of one cluster; a cluster that needs more starts anew. */
export const maxRevocations = 10_000;

/** Revokes with the cluster's key, or with the key of a host that may invite. */
export function signRevocation(
  subject: Subject,
  atMs: number,
  signer: { readonly key: KeyPair; readonly cluster: Uint8Array; readonly passport?: Passport },
): Revocation {
  const { passport } = signer;
  if (passport !== undefined && !passport.rights.includes('invite')) throw new InfinitError('denied', 'this host has no right to revoke');
  const cluster = Buffer.from(signer.cluster).toString('base64url');
  const text = signText('revocation', { cluster, subject, at: atMs, ...(passport === undefined ? {} : { issuer: passport.text }) }, signer.key);
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
  return { text: text as string, subject: subject as Subject, issuer, atMs: numberField(fields, 'at') };
}
