import { type Clock, InfinitError, KeyedQueue, type Logger, messageOf, type Random } from '../base/index.ts';
import {
  allRights,
  createToken,
  grantMs,
  keyBytes,
  KeyPair,
  type MemberRecord,
  newPassport,
  passportFromCluster,
  passportFromToken,
  type Passport,
  peerIdOf,
  readOwnPassport,
  readPassport,
  readToken,
  type Revocation,
  type Right,
  signRecord,
  signRevocation,
  type Subject,
  type Token,
  tokensOf,
} from './identity/index.ts';
import { type MadeToken, madeTokens, maxMadeTokens } from './known-tokens.ts';
import { maxClockAheadMs, type PassportGate } from './membership/passport-gate.ts';
import type { StateFiles } from './state-files.ts';
import type { PeerId } from './transport.ts';

/** What a token is to allow. */
export interface TokenRequest {
  /** `store` and `write` where absent. */
  readonly rights?: readonly Right[];
  /** How long it can be used; a day where absent. */
  readonly expiresInMs?: number;
  /** How many hosts may join with it; 1 where absent. */
  readonly uses?: number;
  /** How long the hosts' passports hold; without end where absent. */
  readonly passportMs?: number;
}

/** How a host comes to use a token. */
export interface TokenUse {
  /** A member has let this host in, with the passport that it has. */
  readonly wasLetIn: boolean;
  /** Somebody asks for it now; false: it is what the daemon is started with. */
  readonly isAsked: boolean;
}

/** A token just made. `text` is the secret: it goes to a file of mode 0600 and nowhere else. */
export interface TokenSummary {
  readonly id: string;
  readonly text: string;
  readonly rights: readonly Right[];
  readonly expiresMs: number;
  readonly uses: number;
}

/** How long a token that was made here is remembered after its end. */
const forgetTokenMs = 30 * 24 * 60 * 60 * 1000;
const dayMs = 24 * 60 * 60 * 1000;
const maxUses = 1_000_000;
/** Tokens that were tried in vain, which this host remembers. */
const maxTried = 16;
/** How long a token or a passport with an end holds at the most: what ends after the last moment that a Date can say could not be listed, by no host. */
const maxTermMs = 36_525 * dayMs;

/** Everything that this host signs: with the cluster's key where it is here (it may be kept elsewhere), otherwise with its own. */
export class ClusterAuthority {
  readonly #files: StateFiles;
  readonly #key: KeyPair;
  readonly #gate: PassportGate;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  /** The list of tokens is read and written by one at a time; so this host's passport is looked at and replaced. */
  readonly #turns = new KeyedQueue();

  constructor(files: StateFiles, key: KeyPair, gate: PassportGate, clock: Clock, random: Random, logger: Logger) {
    this.#files = files;
    this.#key = key;
    this.#gate = gate;
    this.#clock = clock;
    this.#random = random;
    this.#logger = logger;
  }

  /** Makes the cluster's key and this host's passport. */
  async found(): Promise<void> {
    const cluster = new KeyPair(this.#random.bytes(keyBytes));
    const passport = passportFromCluster(cluster, peerIdOf(this.#key.publicKey), this.#clock.wallMs());
    await this.#files.writeKey('cluster.key', cluster);
    await this.#files.write('passport', `${passport.text}\n`);
    this.#gate.setOwn(passport);
  }

  /** The passport of an earlier run. @throws InfinitError `damaged`. */
  async loadPassport(): Promise<void> {
    const text = await this.#files.read('passport');
    if (text === undefined) return;
    const self = peerIdOf(this.#key.publicKey);
    const passport = readOwnPassport(text.trim());
    if (passport.peer !== self)
      throw new InfinitError('damaged', `the passport here is of host ${passport.peer}, and this is host ${self}: ${newPassport}`);
    this.#gate.setOwn(passport);
  }

  /**
   * Makes this host's passport from a token. One that was used already, and any where the passport is the cluster's own, is of no interest.
   * @throws InfinitError `already-exists` for a token of another cluster, `denied` for an expired one.
   */
  useToken(token: Token, use: TokenUse): Promise<void> {
    return this.#turns.run('passport', () => this.#useToken(token, use));
  }

  async #useToken(token: Token, { wasLetIn, isAsked }: TokenUse): Promise<void> {
    const { invitation } = token;
    const { own } = this.#gate;
    const now = this.#clock.wallMs();
    if (own !== undefined && Buffer.compare(own.cluster, invitation.cluster) !== 0)
      throw new InfinitError('already-exists', 'this host belongs to another cluster than the token: use another state directory');
    const known = own === undefined ? [] : tokensOf(own);
    if (known.includes(invitation.id) || (own !== undefined && own.invitation === undefined)) return;
    const tried = await this.#tokensTried();
    // The token of the environment is there at every start: what was given later counts.
    if (tried.includes(invitation.id) && (wasLetIn || !isAsked)) return;
    if (invitation.expiresMs <= now) {
      if (own !== undefined) return;
      const [then, here] = [new Date(invitation.expiresMs).toISOString(), new Date(now).toISOString()];
      throw new InfinitError(
        'denied',
        `the token expired on ${then} (this host's clock says ${here}): set the clock right if it is wrong, else ask for a new one`,
      );
    }
    // A token that let nobody in is no use of it, so nobody else hears of it: its revocation would expel a host that came by another.
    const inVain = wasLetIn ? undefined : own?.invitation?.id;
    if (inVain !== undefined) await this.#files.write('tokens-tried.json', JSON.stringify([inVain, ...tried].slice(0, maxTried)));
    const joinedWith = inVain === undefined ? known : known.filter((id) => id !== inVain);
    const passport = passportFromToken(token, peerIdOf(this.#key.publicKey), now, joinedWith);
    await this.#files.write('passport', `${passport.text}\n`);
    if (inVain !== undefined) this.#gate.uses.takeBack(inVain, passport.peer);
    this.#gate.setOwn(passport);
  }

  /** The ids of tokens that this host gave up before one had let it in, the last first. */
  async #tokensTried(): Promise<readonly string[]> {
    try {
      const list: unknown = JSON.parse((await this.#files.read('tokens-tried.json')) ?? '[]');
      return Array.isArray(list) ? list.filter((id) => typeof id === 'string') : [];
    } catch (error) {
      if (error instanceof SyntaxError) return [];
      throw error;
    }
  }

  /** This host joins no cluster after all. */
  async forgetPassport(): Promise<void> {
    await this.#files.remove('passport');
    await this.#files.remove('tokens-tried.json');
  }

  /** From now on this host takes no part, whatever its passport says. */
  rememberLeaving(): Promise<void> {
    return this.#files.write('left', `${new Date(this.#clock.wallMs()).toISOString()}\n`);
  }

  async hasLeft(): Promise<boolean> {
    return (await this.#files.read('left')) !== undefined;
  }

  signRecord(record: Omit<MemberRecord, 'peer'>): string {
    return signRecord(record, this.#key);
  }

  async createToken({ rights = ['store', 'write'], expiresInMs = dayMs, uses = 1, passportMs }: TokenRequest): Promise<TokenSummary> {
    if (rights.length === 0 || rights.some((right) => !allRights.includes(right)))
      throw new InfinitError('bad-argument', `rights are ${allRights.join(', ')}`);
    if (!Number.isSafeInteger(uses) || uses < 1 || uses > maxUses)
      throw new InfinitError('bad-argument', `a token is good for 1 to ${maxUses} hosts, not ${uses}`);
    if (![expiresInMs, passportMs ?? 1].every((term) => term > 0 && term <= maxTermMs))
      throw new InfinitError('bad-argument', `a token and its passports hold for some time, and for ${maxTermMs / dayMs} days at the most`);
    const id = this.#tokenId();
    const expiresMs = Math.floor(this.#clock.wallMs() + expiresInMs);
    const terms = { id, rights, expiresMs, uses, passportMs: passportMs === undefined ? undefined : Math.floor(passportMs) };
    const text = createToken(terms, this.#random.bytes(keyBytes), await this.#signer());
    await this.#remember({ id, rights, expiresMs, uses });
    return { id, text, rights, expiresMs, uses };
  }

  /** @throws InfinitError `denied`. */
  async checkMayInvite(): Promise<void> {
    await this.#signer();
  }

  /** A passport with all rights for a member, in place of its own. @throws InfinitError `denied` where this host may not invite. */
  async passportFor(current: Passport): Promise<string> {
    const { key, cluster, passport } = await this.#signer();
    const { peer } = current;
    const joined = tokensOf(current);
    // Later than the one that it replaces, also where this host's clock is behind.
    const now = Math.max(this.#clock.wallMs(), current.issuedMs + 1);
    if (passport === undefined) return passportFromCluster(key, peer, now, joined).text;
    const terms = { id: this.#tokenId(), rights: allRights, expiresMs: now + grantMs, uses: 1, grantee: peer };
    const token = readToken(createToken(terms, this.#random.bytes(keyBytes), { key, cluster, passport }));
    return passportFromToken(token, peer, now, joined).text;
  }

  /**
   * Takes a passport with all rights that somebody who may invite has made for this host. It is for good, so it must be no less than what
   * it replaces: any holder of a token can sign a passport for any host, and one with a short end or a bad foundation would throw it out.
   * @param from Who sends it.
   * @throws InfinitError `denied`, `bad-argument`.
   */
  takePassport(text: string, self: PeerId, from: PeerId): Promise<void> {
    return this.#turns.run('passport', () => this.#takePassport(text, self, from));
  }

  async #takePassport(text: string, self: PeerId, from: PeerId): Promise<void> {
    const { own } = this.#gate;
    if (own === undefined) throw new InfinitError('denied', 'this host belongs to no cluster');
    const passport = readPassport(text, own.cluster);
    if (passport.peer !== self) throw new InfinitError('denied', `the passport is for host ${passport.peer}`);
    // The cluster's own signature speaks for itself: its key may be on a host whose passport gives less.
    if (passport.invitation !== undefined && !this.#gate.rightsOf(from).includes('invite'))
      throw new InfinitError('denied', `host ${from} may not invite, so it grants nothing`);
    if (passport.issuedMs < own.issuedMs || (passport.expiresMs ?? Infinity) < (own.expiresMs ?? Infinity))
      throw new InfinitError('denied', 'the passport is older than what this host has, or ends earlier');
    if (!passport.rights.includes('invite') || own.rights.some((right) => !passport.rights.includes(right)))
      throw new InfinitError('denied', 'the passport does not give the right to invite, or fewer rights than this host has');
    // One from the future would keep every later one out.
    if (passport.issuedMs > this.#clock.wallMs() + maxClockAheadMs)
      throw new InfinitError('denied', 'the passport is of the future: one of the two clocks is wrong');
    if (this.#gate.restsOnRevoked(passport)) throw new InfinitError('denied', 'the passport rests on a token or a host that was revoked');
    await this.#files.write('passport', `${passport.text}\n`);
    this.#gate.setOwn(passport);
  }

  /** The tokens that were made on this host, the oldest first. */
  async tokensMade(): Promise<readonly MadeToken[]> {
    const text = await this.#files.read('tokens.json');
    if (text === undefined) return [];
    try {
      return madeTokens(JSON.parse(text));
    } catch (error) {
      // The list is for people: without it tokens are made and hosts join as ever.
      this.#logger.warn('the list of the tokens that were made here cannot be read: it begins anew', { reason: messageOf(error) });
      return [];
    }
  }

  #remember(token: MadeToken): Promise<void> {
    return this.#turns.run('tokens', async () => {
      const kept = (await this.tokensMade()).filter(({ expiresMs }) => expiresMs > this.#clock.wallMs() - forgetTokenMs);
      await this.#files.write('tokens.json', JSON.stringify([...kept, token].slice(-maxMadeTokens)));
    });
  }

  #tokenId(): string {
    return Buffer.from(this.#random.bytes(8)).toString('hex');
  }

  /** Signs revocations, each with what stays good of what rests on it. */
  async revoke(subjects: readonly Subject[]): Promise<Revocation[]> {
    const signer = await this.#signer();
    const hostOf = (subject: Subject): PeerId | undefined => (subject.startsWith('host:') ? subject.slice('host:'.length) : undefined);
    const leaving = new Set(subjects.flatMap((subject) => hostOf(subject) ?? []));
    return subjects.map((subject) => {
      const host = hostOf(subject);
      const stays = this.#gate.staying(subject, leaving);
      const naming = host === undefined ? { stays } : { stays, keeps: this.#gate.revokedBy(host) };
      return signRevocation(subject, this.#clock.wallMs(), signer, naming);
    });
  }

  async #signer(): Promise<Parameters<typeof createToken>[2]> {
    const { own } = this.#gate;
    if (own === undefined) throw new InfinitError('denied', 'this host belongs to no cluster: `infinit cluster init` makes one');
    const cluster = await this.#files.readKey('cluster.key');
    if (cluster !== undefined && Buffer.compare(cluster.publicKey, own.cluster) === 0) return { key: cluster, cluster: own.cluster };
    if (!own.rights.includes('invite'))
      throw new InfinitError(
        'denied',
        'this host may neither invite nor expel: say it on one that may (`infinit node ls` shows the rights), or have that one say `infinit cluster grant NAME` for this host',
      );
    return { key: this.#key, cluster: own.cluster, passport: own };
  }
}
