import { type Clock, InfinitError, type Random } from '../base/index.ts';
import {
  allRights,
  createToken,
  keyBytes,
  KeyPair,
  type MemberRecord,
  passportFromCluster,
  passportFromToken,
  peerIdOf,
  readOwnPassport,
  type Revocation,
  type Right,
  signRecord,
  signRevocation,
  type Subject,
  type Token,
} from './identity/index.ts';
import type { PassportGate } from './membership/passport-gate.ts';
import type { StateFiles } from './state-files.ts';

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

/** A token just made. `text` is the secret: it goes to a file of mode 0600 and nowhere else. */
export interface TokenSummary {
  readonly id: string;
  readonly text: string;
  readonly rights: readonly Right[];
  readonly expiresMs: number;
  readonly uses: number;
}

const dayMs = 24 * 60 * 60 * 1000;
const maxUses = 1_000_000;

/** Everything that this host signs: with the cluster's key where it is here (it may be kept elsewhere), otherwise with its own. */
export class ClusterAuthority {
  readonly #files: StateFiles;
  readonly #key: KeyPair;
  readonly #gate: PassportGate;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(files: StateFiles, key: KeyPair, gate: PassportGate, clock: Clock, random: Random) {
    this.#files = files;
    this.#key = key;
    this.#gate = gate;
    this.#clock = clock;
    this.#random = random;
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
    if (text !== undefined) this.#gate.setOwn(readOwnPassport(text.trim()));
  }

  /**
   * Makes this host's passport from a token. One that was used already, and any where the passport is the cluster's own, is of no interest.
   * @throws InfinitError `already-exists` for a token of another cluster, `denied` for an expired one.
   */
  async useToken(token: Token): Promise<void> {
    const { invitation } = token;
    const { own } = this.#gate;
    const now = this.#clock.wallMs();
    if (own !== undefined && Buffer.compare(own.cluster, invitation.cluster) !== 0)
      throw new InfinitError('already-exists', 'this host belongs to another cluster than the token: use another state directory');
    if (own?.invitation?.id === invitation.id || (own !== undefined && own.invitation === undefined)) return;
    if (invitation.expiresMs <= now) {
      if (own !== undefined) return;
      const [then, here] = [new Date(invitation.expiresMs).toISOString(), new Date(now).toISOString()];
      throw new InfinitError('denied', `the token expired on ${then} (this host's clock says ${here}): ask for a new one`);
    }
    const passport = passportFromToken(token, peerIdOf(this.#key.publicKey), now);
    await this.#files.write('passport', `${passport.text}\n`);
    this.#gate.setOwn(passport);
  }

  signRecord(record: Omit<MemberRecord, 'peer'>): string {
    return signRecord(record, this.#key);
  }

  async createToken({ rights = ['store', 'write'], expiresInMs = dayMs, uses = 1, passportMs }: TokenRequest): Promise<TokenSummary> {
    if (rights.length === 0 || rights.some((right) => !allRights.includes(right)))
      throw new InfinitError('bad-argument', `rights are ${allRights.join(', ')}`);
    if (!Number.isSafeInteger(uses) || uses < 1 || uses > maxUses)
      throw new InfinitError('bad-argument', `a token is good for 1 to ${maxUses} hosts, not ${uses}`);
    if (!(expiresInMs > 0) || !((passportMs ?? 1) > 0)) throw new InfinitError('bad-argument', 'a token and its passports must hold for some time');
    const id = Buffer.from(this.#random.bytes(8)).toString('hex');
    const expiresMs = Math.floor(this.#clock.wallMs() + expiresInMs);
    const terms = { id, rights, expiresMs, uses, passportMs: passportMs === undefined ? undefined : Math.floor(passportMs) };
    return { id, text: createToken(terms, this.#random.bytes(keyBytes), await this.#signer()), rights, expiresMs, uses };
  }

  async revoke(subjects: readonly Subject[]): Promise<Revocation[]> {
    const signer = await this.#signer();
    return subjects.map((subject) => signRevocation(subject, this.#clock.wallMs(), signer));
  }

  async #signer(): Promise<Parameters<typeof createToken>[2]> {
    const { own } = this.#gate;
    if (own === undefined) throw new InfinitError('denied', 'this host belongs to no cluster: `infinit cluster init` makes one');
    const cluster = await this.#files.readKey('cluster.key');
    if (cluster !== undefined && Buffer.compare(cluster.publicKey, own.cluster) === 0) return { key: cluster, cluster: own.cluster };
    if (!own.rights.includes('invite'))
      throw new InfinitError(
        'denied',
        "this host may neither invite nor expel: do it on the host that founded the cluster, or put a copy of that one's cluster/cluster.key into this state directory's",
      );
    return { key: this.#key, cluster: own.cluster, passport: own };
  }
}
