import { type Clock, InfinitError } from '../../base/index.ts';
import type { Gate } from '../gate.ts';
import {
  isKept,
  isNamed,
  issuersOf,
  linksOf,
  type Passport,
  readPassport,
  readRevocation,
  type Revocation,
  type Right,
  type Subject,
  tokensOf,
} from '../identity/index.ts';
import type { PeerId } from '../transport.ts';
import { TokenUses } from './token-uses.ts';

/** A passport that seems to be made so much later, in ms, is not taken: it would keep every later one out. */
export const maxClockAheadMs = 24 * 60 * 60 * 1000;
/** Hosts whose passports are known at once: twice what the roster takes, since those that were expelled stay among them until a restart. */
const maxPassports = 8192;

/**
 * The gate of a cluster's member. Who is known (by the roster, or let in before) needs a passport that has not expired and no
 * revocation. A newcomer needs a token behind its passport that is still good: not expired, not revoked, not used up; so does who is known and
 * shows a passport that gives it more rights.
 *
 * A host that is a newcomer itself knows nobody, so it cannot tell a member that joined long ago from a stranger with an old token by the
 * token's age. To the members that it asks to be let in, it applies another rule: the passport must have been made while the token was
 * good. When it was made is the peer's own word, so this alone would let in whoever holds a token that expired unused. It holds only for
 * dials to addresses that the operator named (or the engine, of the swarm's hosts), and only until the first member has let this host in:
 * such a stranger would have to answer in a member's place at that moment. It never holds for who calls, for hosts that announce
 * themselves on the network, or once this host knows the members.
 */
export class PassportGate implements Gate {
  readonly #self: PeerId;
  readonly #clock: Clock;
  readonly #isJoining: () => boolean;
  readonly #maxPassports: number;
  readonly #passports = new Map<PeerId, Passport>();
  /** Of tokens, as far as they may still be good. */
  readonly uses: TokenUses;
  readonly #revocations = new Map<Subject, Revocation>();
  #revokedHosts: ReadonlySet<PeerId> = new Set();
  #closed = false;

  /** @param isJoining Whether this host is a newcomer that no member has let in yet. @param most {@link maxPassports} where absent. */
  constructor(self: PeerId, clock: Clock, isJoining: () => boolean = () => false, most: number = maxPassports) {
    this.#self = self;
    this.#clock = clock;
    this.#isJoining = isJoining;
    this.#maxPassports = most;
    this.uses = new TokenUses(clock, self);
  }

  get isJoining(): boolean {
    return this.#isJoining();
  }

  /** This host's own passport; undefined before it belongs to a cluster. */
  get own(): Passport | undefined {
    return this.#passports.get(this.#self);
  }

  /** Whether this host's own passport was good for a time that is over. */
  get isOwnExpired(): boolean {
    return this.own !== undefined && this.#isExpired(this.own);
  }

  get cluster(): Uint8Array | undefined {
    return this.own?.cluster;
  }

  get revocations(): ReadonlyMap<Subject, Revocation> {
    return this.#revocations;
  }

  /** Nobody gets in any more. */
  close(): void {
    this.#closed = true;
  }

  /** This host belongs to no cluster any more. */
  reset(): void {
    this.#passports.clear();
    this.uses.clear();
    this.#revocations.clear();
    this.#revokedHosts = new Set();
  }

  setOwn(passport: Passport): void {
    this.#keep(passport);
  }

  credential(): Uint8Array {
    return Buffer.from(this.own?.text ?? '');
  }

  standing(peer: PeerId): 'member' | 'unknown' | 'refused' {
    if (this.#closed || this.own === undefined || this.isRevoked(peer)) return 'refused';
    const passport = this.#passports.get(peer);
    return passport === undefined || this.#isExpired(passport) ? 'unknown' : 'member';
  }

  farewell(peer: PeerId): string | undefined {
    return this.#closed ? undefined : this.#revocations.get(`host:${peer}`)?.text;
  }

  admit(peer: PeerId, credential: Uint8Array, askedToJoin = false): void {
    const { cluster } = this;
    if (cluster === undefined) throw new InfinitError('denied', 'this host belongs to no cluster yet');
    if (credential.length === 0) throw new InfinitError('denied', `host ${peer} belongs to no cluster: give it a token`);
    const passport = readPassport(Buffer.from(credential.buffer, credential.byteOffset, credential.byteLength).toString(), cluster);
    if (passport.peer !== peer) throw new InfinitError('denied', `host ${peer} showed the passport of ${passport.peer}`);
    this.#check(passport);
    const known = this.#passports.get(peer);
    const more = known === undefined || givesMore(passport, known);
    if (known === undefined || (more && this.#isExpired(known))) this.#checkToken(passport, askedToJoin);
    // Whoever holds a token can sign with it, also after its end. A member stays what it was: it is not cut off, since its token may have been good
    // while this host was away; of its rights a member that may invite will tell.
    else if (more && !this.#hasGoodToken(passport)) return;
    this.#keep(passport);
  }

  /**
   * Takes the passport of a member that another member told of: it was let in there. Returns the one that this host goes by then: what others tell
   * never makes less of a member, since any holder of a token can sign a passport for any host; and more only with a token that is still good, or
   * where who tells it may invite, and so could give as much.
   * @param from Who tells it; this host itself, of what it has kept or signed, where absent.
   * @throws InfinitError `denied`, `bad-argument`.
   */
  vouch(peer: PeerId, text: unknown, from: PeerId = this.#self): Passport {
    const { cluster } = this;
    if (cluster === undefined) throw new InfinitError('denied', 'this host belongs to no cluster yet');
    const passport = readPassport(text, cluster);
    if (passport.peer !== peer) throw new InfinitError('denied', `a record of host ${peer} came with the passport of ${passport.peer}`);
    this.#check(passport);
    const known = this.#passports.get(peer);
    if (known !== undefined && !this.#mayReplace(known, passport, from)) return known;
    // What other tokens are still good for the members that a newcomer asks look at. With one of these a host that may not invite would make one that may.
    if (known === undefined && !this.#couldGive(from, peer)) {
      if (passport.rights.includes('invite')) this.#checkNotSpent(passport);
      // The key of an inviter that was expelled signs as ever, and so does the secret of a token that was revoked.
      else if (this.#restsOn(passport, (revocation, holder) => isNamed(revocation, holder) === false))
        throw new InfinitError('denied', `what host ${peer} was let in by was revoked, and it was not known then`);
    }
    this.#keep(passport);
    return passport;
  }

  /** By hearsay. What the host itself shows ({@link admit}) counts also where it is less. */
  #mayReplace(known: Passport, passport: Passport, from: PeerId): boolean {
    if (known.text === passport.text) return true;
    if (this.restsOnRevoked(passport) || passport.issuedMs > this.#clock.wallMs() + maxClockAheadMs) return false;
    if (givesMore(passport, known) && !this.#couldGive(from, passport.peer) && !this.#hasGoodToken(passport)) return false;
    if (this.#isExpired(known) || this.restsOnRevoked(known)) return true;
    return (
      passport.issuedMs >= known.issuedMs &&
      (passport.expiresMs ?? Infinity) >= (known.expiresMs ?? Infinity) &&
      known.rights.every((right) => passport.rights.includes(right))
    );
  }

  /**
   * Judges the word of a peer that this host dialled, that this host was expelled. The peer may be anybody who answers at an address, and then the
   * issuer must be good by what this host knows: the key of a host that was expelled still signs. @throws InfinitError `denied`, `bad-argument`.
   */
  checkFarewell(peer: PeerId, text: unknown): void {
    const { cluster } = this;
    if (cluster === undefined) throw new InfinitError('denied', 'this host belongs to no cluster');
    const { subject, issuer } = readRevocation(text, cluster);
    if (subject !== `host:${this.#self}`) throw new InfinitError('denied', 'a farewell to this host is about another one');
    if (issuer === undefined || this.standing(peer) === 'member') return;
    this.#check(issuer);
    if (this.restsOnRevoked(issuer)) throw new InfinitError('denied', `host ${issuer.peer} rests on a token or a host that was revoked`);
    if (!this.rightsOf(issuer.peer).includes('invite')) this.#checkToken(issuer, false);
  }

  /** Whether who tells of a host's passport could as well invite the host: another one that may. */
  #couldGive(from: PeerId, peer: PeerId): boolean {
    return from === this.#self || (from !== peer && this.rightsOf(from).includes('invite'));
  }

  /**
   * Judges a revocation that a member tells of. The key of an inviter that was expelled still signs, and of what it signed nothing tells when.
   * @throws InfinitError `denied` where it was not known when the inviter, or who had let that in, was expelled, and the teller may not expel itself.
   */
  checkRevocation({ issuer, subject }: Revocation, from: PeerId): void {
    if (issuer === undefined || from === this.#self || this.rightsOf(from).includes('invite')) return;
    const own = this.#revocations.get(`host:${issuer.peer}`);
    const isLate = own !== undefined && isKept(own, subject) === false;
    if (isLate || this.#restsOn(issuer, (revocation, holder) => isNamed(revocation, holder) === false))
      throw new InfinitError('denied', `host ${issuer.peer} was expelled before it was known that it had revoked ${subject}`);
  }

  /** What a host has revoked. */
  revokedBy(peer: PeerId): Subject[] {
    return [...this.#revocations.values()].flatMap(({ issuer, subject }) => (issuer?.peer === peer ? [subject] : []));
  }

  /** True where the revocation is news. */
  revoke(revocation: Revocation): boolean {
    if (this.#revocations.has(revocation.subject)) return false;
    this.#revocations.set(revocation.subject, revocation);
    if (revocation.subject.startsWith('host:')) this.#revokedHosts = new Set([...this.#revokedHosts, revocation.subject.slice('host:'.length)]);
    return true;
  }

  /** A member that has left for good: it is a stranger from now on. */
  forget(peer: PeerId): void {
    if (peer !== this.#self) this.#passports.delete(peer);
  }

  isRevoked(peer: PeerId): boolean {
    return this.#revokedHosts.has(peer);
  }

  /** Hosts that were revoked. The same set until there are more. */
  get revokedHosts(): ReadonlySet<PeerId> {
    return this.#revokedHosts;
  }

  passportOf(peer: PeerId): Passport | undefined {
    return this.#passports.get(peer);
  }

  rightsOf(peer: PeerId): readonly Right[] {
    return this.standing(peer) === 'member' ? this.#passports.get(peer)!.rights : [];
  }

  /** Whether a token or a host that the passport rests on was revoked, and who holds the passport, or that link of the chain to it, was not named as staying. */
  restsOnRevoked(passport: Passport): boolean {
    return this.#restsOn(passport, (revocation, holder) => isNamed(revocation, holder) !== true);
  }

  #restsOn(passport: Passport, isBad: (revocation: Revocation, holder: PeerId) => boolean): boolean {
    return linksOf(passport).some((link) =>
      foundationsOf(link).some((subject) => {
        const revocation = this.#revocations.get(subject);
        return revocation !== undefined && isBad(revocation, link.peer);
      }),
    );
  }

  /** Members that rest on what is to be revoked, and are to stay. @param leaving Hosts that are expelled with it. */
  staying(subject: Subject, leaving: ReadonlySet<PeerId>): PeerId[] {
    const links = [...this.#passports.values()].flatMap((passport) => (this.#goes(passport.peer, leaving) ? [] : linksOf(passport)));
    const resting = links.filter((link) => foundationsOf(link).includes(subject) && !this.#goes(link.peer, leaving));
    return [...new Set(resting.map(({ peer }) => peer))];
  }

  #goes(peer: PeerId, leaving: ReadonlySet<PeerId>): boolean {
    return leaving.has(peer) || this.isRevoked(peer);
  }

  /** The passports of all who were let in. */
  passports(): readonly Passport[] {
    return [...this.#passports.values()];
  }

  /** Hosts that joined with a token; those that were expelled among them. */
  hostsOf(tokenId: string): PeerId[] {
    const members = [...this.#passports].flatMap(([peer, passport]) => (tokensOf(passport).includes(tokenId) ? [peer] : []));
    return [...new Set([...members, ...this.uses.usersOf(tokenId)])];
  }

  /** @throws InfinitError `overloaded`. */
  #keep(passport: Passport): void {
    const { peer } = passport;
    if (!this.#passports.has(peer) && this.#passports.size >= this.#maxPassports && peer !== this.#self)
      throw new InfinitError('overloaded', `the cluster has ${this.#passports.size} hosts, expelled ones among them: no further one is let in`);
    this.#passports.set(peer, passport);
    this.uses.note(passport);
  }

  #isExpired(passport: Passport): boolean {
    return passport.expiresMs !== undefined && passport.expiresMs <= this.#clock.wallMs();
  }

  #check(passport: Passport): void {
    if (this.isRevoked(passport.peer)) throw new InfinitError('denied', `host ${passport.peer} was revoked`);
    if (this.#isExpired(passport))
      throw new InfinitError(
        'denied',
        `the passport of host ${passport.peer} expired on ${dateOf(passport.expiresMs!)}; here it is ${dateOf(this.#clock.wallMs())}`,
      );
    // Its holder says when it was made. Were it believed without bounds, a passport for a time could be renewed for ever with the token that it came of.
    if (passport.invitation !== undefined && passport.issuedMs >= passport.invitation.expiresMs)
      throw new InfinitError(
        'denied',
        `the token of host ${passport.peer} expired on ${dateOf(passport.invitation.expiresMs)}, before its passport was made`,
      );
  }

  #hasGoodToken(passport: Passport): boolean {
    try {
      this.#checkToken(passport, false);
      return true;
    } catch {
      return false;
    }
  }

  #checkToken(passport: Passport, askedToJoin: boolean): void {
    const { invitation, peer } = passport;
    if (invitation === undefined) return;
    const now = this.#clock.wallMs();
    if (invitation.expiresMs <= now && !askedToJoin)
      throw new InfinitError('denied', `the token of host ${peer} expired on ${dateOf(invitation.expiresMs)}; here it is ${dateOf(now)}`);
    // Its key still signs when its passport has ended.
    const late = issuersOf(passport).find((issuer) => this.#isExpired(issuer));
    if (late !== undefined && !askedToJoin)
      throw new InfinitError('denied', `the token of host ${peer} is of host ${late.peer}, whose own passport expired on ${dateOf(late.expiresMs!)}`);
    this.#checkNotSpent(passport);
  }

  #checkNotSpent(passport: Passport): void {
    const { invitation, peer } = passport;
    if (invitation === undefined) return;
    if (this.restsOnRevoked(passport)) throw new InfinitError('denied', `the token of host ${peer} was revoked`);
    if (this.hostsOf(invitation.id).filter((host) => host !== peer).length >= invitation.uses)
      throw new InfinitError(
        'denied',
        `the token of host ${peer} was good for ${invitation.uses === 1 ? 'one host, which has' : `${invitation.uses} hosts, which have`} joined already: it needs a token of its own`,
      );
  }
}

/** Whether a passport gives a right that another lacks. */
function givesMore(passport: Passport, than: Passport): boolean {
  return passport.rights.some((right) => !than.rights.includes(right));
}

function dateOf(ms: number): string {
  return Number.isFinite(ms) && Math.abs(ms) < 8.64e15 ? new Date(ms).toISOString() : String(ms);
}

/** What a passport rests on directly: its token, and the host that made that. */
function foundationsOf({ invitation }: Passport): Subject[] {
  if (invitation === undefined) return [];
  const { id, issuer } = invitation;
  return [`token:${id}`, ...(issuer === undefined ? [] : [`host:${issuer.peer}` as const])];
}
