import { InfinitError, messageOf } from '../../base/index.ts';
import type { PeerId } from '../transport.ts';
import { KeyPair } from './key-pair.ts';
import { publicKeyOf } from './peer-id.ts';
import { keyField, numberField, readText, type SignedText, signText, textField } from './signed.ts';

/** What a host may do: keep blocks, write blocks, invite further hosts (and revoke). */
export const allRights = ['store', 'write', 'invite'] as const;
export type Right = (typeof allRights)[number];

/** An invitation's terms: the public half of a token. */
export interface Invitation {
  /** 16 hex digits. */
  readonly id: string;
  readonly cluster: Uint8Array;
  /** Its own key: whoever holds the private half may sign passports with it. */
  readonly key: Uint8Array;
  readonly rights: readonly Right[];
  /** After this moment (milliseconds since the epoch) no further host may join with it. */
  readonly expiresMs: number;
  /** How many hosts may join with it. */
  readonly uses: number;
  /** How long its passports hold; undefined: without end. */
  readonly passportMs: number | undefined;
  /** The member that a grant is for: nobody else's passport may be signed with it. Undefined: it is a token's, or a grant of a version up to November 2026. */
  readonly grantee: PeerId | undefined;
  /** The host that issued it; undefined: the cluster's key. */
  readonly issuer: Passport | undefined;
}

/** A host's right to be here. It is verified offline, link by link, up to the cluster's key. */
export interface Passport {
  readonly text: SignedText;
  readonly cluster: Uint8Array;
  readonly peer: PeerId;
  readonly rights: readonly Right[];
  /** When the host says that it made it. */
  readonly issuedMs: number;
  readonly expiresMs: number | undefined;
  /** Undefined where the cluster's key signed it: the first host's. */
  readonly invitation: Invitation | undefined;
  /** The tokens that the host joined with before it was given this passport: they stay used, and revoking one with its hosts still means this one. */
  readonly joinedWith: readonly string[];
}

/** An invitation with its secret: what the token file holds. */
export interface Token {
  readonly invitation: Invitation;
  readonly invitationText: SignedText;
  readonly key: KeyPair;
}

export const maxPassportLength = 12 * 1024;
/** Tokens that a passport remembers. */
const maxJoinedWith = 8;
/** Host invites host invites host: more links are refused. */
const maxChain = 4;
/** What every token begins with. */
export const tokenPrefix = 'infinit-token-1.';

export interface InvitationTerms {
  readonly id: string;
  readonly rights: readonly Right[];
  readonly expiresMs: number;
  readonly uses: number;
  readonly passportMs?: number | undefined;
  readonly grantee?: PeerId;
}

/** Signs an invitation with the cluster's key, or with the key of a host that may invite. @param secret 32 fresh random bytes. */
export function createToken(
  terms: InvitationTerms,
  secret: Uint8Array,
  signer: { readonly key: KeyPair; readonly cluster: Uint8Array; readonly passport?: Passport },
): string {
  const { passport } = signer;
  for (const right of terms.rights)
    if (passport !== undefined && (!passport.rights.includes('invite') || !passport.rights.includes(right)))
      throw new InfinitError('denied', `this host may not hand out the right to ${right}`);
  if (passport !== undefined && linksOf(passport).filter(({ invitation }) => invitation !== undefined).length >= maxChain)
    throw new InfinitError(
      'denied',
      `this host was invited over ${maxChain} hosts: invite on one nearer to the first, or have that one \`infinit cluster grant\` this host`,
    );
  const key = new KeyPair(secret);
  const fields = {
    id: terms.id,
    cluster: text64(signer.cluster),
    key: text64(key.publicKey),
    rights: terms.rights,
    expires: terms.expiresMs,
    uses: terms.uses,
    ...(terms.passportMs === undefined ? {} : { passport: terms.passportMs }),
    ...(terms.grantee === undefined ? {} : { grantee: terms.grantee }),
    ...(passport === undefined ? {} : { issuer: passport.text }),
  };
  const invitation = signText('invitation', fields, signer.key);
  return tokenPrefix + text64(Buffer.from(JSON.stringify({ invitation, secret: text64(secret) })));
}

/** Reads a token. @param from Where it comes from, for the message. @throws InfinitError `bad-argument` for what is none; the message never repeats it. */
export function readToken(text: string, from?: string): Token {
  const trimmed = text.trim();
  try {
    if (!trimmed.startsWith(tokenPrefix) || trimmed.length > 2 * maxPassportLength) throw new Error('no token');
    const { invitation, secret } = JSON.parse(Buffer.from(trimmed.slice(tokenPrefix.length), 'base64url').toString()) as Record<string, unknown>;
    const key = new KeyPair(Buffer.from(String(secret), 'base64url'));
    const read = readInvitation(invitation, 1);
    if (Buffer.compare(read.key, key.publicKey) !== 0) throw new Error('key and invitation do not belong together');
    return { invitation: read, invitationText: String(invitation), key };
  } catch {
    throw new InfinitError('bad-argument', `${from ?? 'this'} is no token, or a damaged one: make a new one with \`infinit cluster token create\``);
  }
}

/** A host's passport from a token: the host itself signs with the invitation's key, nobody has to be asked. */
export function passportFromToken(token: Token, peer: PeerId, nowMs: number, joinedWith: readonly string[] = []): Passport {
  const { invitation } = token;
  const fields = {
    cluster: text64(invitation.cluster),
    peer,
    rights: invitation.rights,
    issued: nowMs,
    ...(invitation.passportMs === undefined ? {} : { expires: nowMs + invitation.passportMs }),
    invitation: token.invitationText,
    ...joinedField(joinedWith),
  };
  return readPassport(signText('passport', fields, token.key), invitation.cluster);
}

/** A passport by the cluster's own key: the first host's, and that of whoever is given all rights. */
export function passportFromCluster(cluster: KeyPair, peer: PeerId, nowMs: number, joinedWith: readonly string[] = []): Passport {
  const fields = { cluster: text64(cluster.publicKey), peer, rights: allRights, issued: nowMs, ...joinedField(joinedWith) };
  return readPassport(signText('passport', fields, cluster), cluster.publicKey);
}

/**
 * Verifies a passport's signatures and that no link claims more than the one above it. Time and revocation are not looked at:
 * the gate does that.
 * @throws InfinitError `denied`, `bad-argument`.
 */
export function readPassport(text: unknown, cluster: Uint8Array): Passport {
  const known = typeof text === 'string' ? verified.get(text) : undefined;
  const passport = known ?? verifyPassport(text, 1);
  if (Buffer.compare(passport.cluster, cluster) !== 0) throw new InfinitError('denied', `host ${passport.peer} belongs to another cluster`);
  if (known === undefined) {
    if (verified.size >= maxVerified) verified.clear();
    verified.set(passport.text, passport);
  }
  return passport;
}

/** What to do where a host's own passport is gone or spoilt. */
export const newPassport =
  'put it back (members.json beside it has a copy, in this host’s entry), or remove it and start the daemon with a token of the cluster, from `infinit cluster token create FILE` on another host (`--token FILE`): what this host stores stays';

/** Verifies a host's own passport: it names its cluster itself. @throws InfinitError `damaged`. */
export function readOwnPassport(text: string): Passport {
  try {
    return readPassport(text, keyField(readText('passport', text, maxPassportLength).fields, 'cluster'));
  } catch (cause) {
    throw new InfinitError('damaged', `this host's passport cannot be read: ${messageOf(cause)}; ${newPassport}`, { cause });
  }
}

/** Passports that were verified, by their text: members show theirs again and again. */
const verified = new Map<string, Passport>();
const maxVerified = 4096;

function verifyPassport(text: unknown, depth: number): Passport {
  const statement = readText('passport', text, maxPassportLength);
  const { fields } = statement;
  const peer = textField(fields, 'peer', 80);
  publicKeyOf(peer);
  const cluster = keyField(fields, 'cluster');
  const invitation = fields['invitation'] === undefined ? undefined : readInvitation(fields['invitation'], depth);
  statement.verify(invitation?.key ?? cluster);
  const rights = rightsField(fields);
  const issuedMs = numberField(fields, 'issued');
  const expiresMs = fields['expires'] === undefined ? undefined : numberField(fields, 'expires');
  if (invitation !== undefined) {
    if (Buffer.compare(invitation.cluster, cluster) !== 0)
      throw new InfinitError('denied', 'a passport and its invitation are of different clusters');
    if (invitation.grantee !== undefined && invitation.grantee !== peer)
      throw new InfinitError('denied', `a passport of host ${peer} rests on what was granted to ${invitation.grantee}`);
    const over = rights.find((right) => !invitation.rights.includes(right));
    if (over !== undefined) throw new InfinitError('denied', `a passport claims the right to ${over}, which its invitation does not give`);
    if (invitation.passportMs !== undefined && (expiresMs ?? Infinity) > issuedMs + invitation.passportMs)
      throw new InfinitError('denied', 'a passport claims to hold longer than its invitation allows');
  }
  return { text: text as string, cluster, peer, rights, issuedMs, expiresMs, invitation, joinedWith: joinedWithOf(fields) };
}

function joinedField(joinedWith: readonly string[]): { readonly joined?: readonly string[] } {
  return joinedWith.length === 0 ? {} : { joined: joinedWith.slice(0, maxJoinedWith) };
}

function joinedWithOf({ joined }: Readonly<Record<string, unknown>>): readonly string[] {
  if (joined === undefined) return [];
  if (!Array.isArray(joined) || joined.length > maxJoinedWith || joined.some((id) => typeof id !== 'string' || id.length > 32))
    throw new InfinitError('bad-argument', 'field joined is no list of tokens');
  return joined as string[];
}

function readInvitation(text: unknown, depth: number): Invitation {
  if (depth > maxChain) throw new InfinitError('denied', `a chain of more than ${maxChain} invitations is not accepted`);
  const statement = readText('invitation', text, maxPassportLength);
  const { fields } = statement;
  const cluster = keyField(fields, 'cluster');
  const issuer = fields['issuer'] === undefined ? undefined : verifyPassport(fields['issuer'], depth + 1);
  statement.verify(issuer === undefined ? cluster : publicKeyOf(issuer.peer));
  const rights = rightsField(fields);
  if (issuer !== undefined) {
    if (Buffer.compare(issuer.cluster, cluster) !== 0) throw new InfinitError('denied', 'an invitation and its issuer are of different clusters');
    if (!issuer.rights.includes('invite') || rights.some((right) => !issuer.rights.includes(right)))
      throw new InfinitError('denied', `host ${issuer.peer} had no right to issue this invitation`);
  }
  return {
    id: textField(fields, 'id', 32),
    cluster,
    key: keyField(fields, 'key'),
    rights,
    expiresMs: numberField(fields, 'expires'),
    uses: numberField(fields, 'uses'),
    passportMs: fields['passport'] === undefined ? undefined : numberField(fields, 'passport'),
    grantee: fields['grantee'] === undefined ? undefined : textField(fields, 'grantee', 80),
    issuer,
  };
}

function rightsField(fields: Readonly<Record<string, unknown>>): Right[] {
  const { rights } = fields;
  if (!Array.isArray(rights) || rights.some((right) => !allRights.includes(right as Right)))
    throw new InfinitError('bad-argument', 'field rights is no list of rights');
  return rights as Right[];
}

/** A passport, and those of the hosts that issued the invitations that it rests on, the nearest first. */
export function linksOf(passport: Passport): readonly Passport[] {
  return [passport, ...issuersOf(passport)];
}

/** The passports of the hosts that issued the invitations that a passport rests on, the nearest first. */
export function issuersOf(passport: Passport): readonly Passport[] {
  const issuers: Passport[] = [];
  for (let issuer = passport.invitation?.issuer; issuer !== undefined; issuer = issuer.invitation?.issuer) issuers.push(issuer);
  return issuers;
}

/** How long the invitation of a grant is good: its secret is gone once the one passport is signed, and whoever was away must still find it good. */
export const grantMs = 100 * 365 * 24 * 60 * 60 * 1000;

/**
 * Whether a member that may invite made the passport for a host that was there already. Who granted it signed so: what else a passport says, such as when it was made, is
 * the word of whoever holds the token.
 */
export function isGrant({ invitation }: Passport): boolean {
  return invitation?.grantee !== undefined;
}

/** The ids of the tokens that a host joined with, the last first. */
export function tokensOf({ invitation, joinedWith }: Passport): readonly string[] {
  return invitation === undefined ? joinedWith : [invitation.id, ...joinedWith];
}

function text64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
