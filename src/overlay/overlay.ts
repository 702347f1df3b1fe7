import { type Clock, type Logger, silentLogger, systemClock, systemRandom } from '../base/index.ts';
import { ClusterAuthority, type TokenRequest, type TokenSummary } from './cluster-authority.ts';
import { Entrance } from './entrance.ts';
import { Expulsion } from './expulsion.ts';
import { Goodbye } from './goodbye.ts';
import { Grants } from './grants.ts';
import type { ProcessId } from './hello.ts';
import { type KeyPair, type MemberState, peerIdOf, type Revocation, type Right } from './identity/index.ts';
import type { KnownToken } from './known-tokens.ts';
import { disputed, olderState, stopping, type Trouble, twins } from './trouble.ts';
import { MemberFile } from './member-file.ts';
import { MemberViews } from './member-views.ts';
import { AntiEntropy } from './membership/anti-entropy.ts';
import { FailureDetector, type Liveness } from './membership/failure-detector.ts';
import { type Entry, MemberTable } from './membership/member-table.ts';
import { PassportGate } from './membership/passport-gate.ts';
import { type MemberView, openTransport, type OverlayOptions } from './overlay-options.ts';
import { OwnRecord } from './own-record.ts';
import { StateFiles } from './state-files.ts';
import type { MeshTransport, PeerId, Transport } from './transport.ts';
import { TroubleLog, type TroubleReport } from './trouble-log.ts';

/** Upkeep: addresses that changed, passports that expired. */
const upkeepMs = 1000;
/** A host to which there is a connection was reached, and speaks this version by now. */
const overOnceReached: ReadonlySet<Trouble['kind']> = new Set(['unreachable', 'wrong-version']);
const hasLeft = 'this host has left the cluster';

/**
 * This host among the others: its identity, the gate, the connections, the roster of members and who of them lives.
 * Alone, without a cluster, it listens nowhere and loads no network stack; {@link initCluster} or a token changes that.
 */
export class Overlay implements AsyncDisposable {
  readonly self: PeerId;
  readonly transport: Transport;
  readonly #options: OverlayOptions;
  readonly #process: ProcessId;
  readonly #file: MemberFile;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #mesh: MeshTransport;
  readonly #gate: PassportGate;
  readonly #table: MemberTable;
  readonly #sync: AntiEntropy;
  readonly #detector: FailureDetector;
  readonly #authority: ClusterAuthority;
  readonly #grants: Grants;
  readonly #troubles: TroubleLog;
  readonly #memberListeners = new Set<() => void>();
  readonly #own: OwnRecord;
  readonly #views: MemberViews;
  readonly #entrance: Entrance;
  readonly #goodbye: Goodbye;
  readonly #expulsion: Expulsion;
  #upkeep: NodeJS.Timeout | undefined;
  #halted: string | undefined;
  #closed = false;

  /**
   * Opens the overlay; where this host belongs to a cluster, or has a token to join one, it listens and dials from now on.
   * It does not wait for anybody: see {@link whenJoined}.
   * @throws InfinitError `bad-argument` (token, addresses), `denied` (an expired token), `not-found`, `damaged`, `disk-failed`.
   */
  static async open(options: OverlayOptions): Promise<Overlay> {
    const files = await StateFiles.open(options.stateDirectory);
    const key = await files.hostKey(options.random ?? systemRandom);
    const incarnation = await files.nextIncarnation();
    const overlay = new Overlay(options, files, key, incarnation);
    try {
      await overlay.#enter();
      return overlay;
    } catch (error) {
      await overlay[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(options: OverlayOptions, files: StateFiles, key: KeyPair, incarnation: number) {
    this.self = peerIdOf(key.publicKey);
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const random = options.random ?? systemRandom;
    this.#logger = options.logger ?? silentLogger;
    this.#process = { incarnation, nonce: Buffer.from(random.bytes(8)).toString('hex') };
    this.#gate = new PassportGate(this.self, this.#clock, () => this.state === 'joining');
    this.#authority = new ClusterAuthority(files, key, this.#gate, this.#clock, random, this.#logger);
    this.#troubles = new TroubleLog(this.#clock, this.#logger);
    this.#mesh = openTransport(options, {
      key,
      process: this.#process,
      gate: this.#gate,
      onTrouble: (trouble) => this.#onTrouble(trouble),
      onFarewell: (peer, revocation) => this.#expulsion.hearFarewell(peer, revocation),
      isPast: (peer, process) => this.#table.isPast(peer, process),
    });
    this.transport = this.#mesh;
    this.#grants = new Grants(this.#mesh, this.#gate, this.#authority, this.self, () => this.#own.publish({}));
    this.#table = new MemberTable(this.#gate, (known, other) => this.#onTrouble(twins(known, other)));
    this.#table.onDisputed = ({ subject, issuer }, from) => {
      const peer = subject.replace(/^host:/, '');
      // What is said of a token keeps nobody who is in from the others.
      if (this.#table.get(peer) !== undefined) this.#onTrouble(disputed(peer, issuer!.peer, from));
    };
    this.#file = new MemberFile(files, this.#logger, () => this.#table.all());
    this.#sync = new AntiEntropy(
      this.#mesh,
      this.#table,
      () => this.#gate.cluster,
      this.#clock,
      this.#logger,
      (revoked) => this.#onNews(revoked),
    );
    this.#detector = new FailureDetector(
      this.#mesh,
      this.#clock,
      () => this.#table.digest,
      (peer, digest) => this.#sync.compare(peer, digest),
      options.heartbeat,
    );
    this.#mesh.onPeerUp((peer) => this.#onPeerUp(peer));
    const parts = { mesh: this.#mesh, gate: this.#gate, table: this.#table, sync: this.#sync, authority: this.#authority, logger: this.#logger };
    const { name, zone, capacity } = options;
    this.#own = new OwnRecord(
      { name, zone, capacity, addresses: [], state: 'joining', ...this.#process, sequence: 0 },
      { ...parts, takesPart: () => this.#halted === undefined, onChange: (told) => this.#onOwnChange(told) },
    );
    this.#views = new MemberViews(this.self, this.#own, this.#table, this.#gate, this.#detector);
    this.#entrance = new Entrance({
      ...parts,
      troubleLog: this.#troubles,
      troubles: () => this.troubles(),
      state: () => this.state,
      halted: () => this.#halted,
      onMembersChange: (listener) => this.onMembersChange(listener),
      recall: async () => {
        await this.#file.load((news) => this.#sync.take(news, this.self));
        return this.#table.records().some(({ peer }) => peer !== this.self);
      },
      begin: (state) => this.#startMembership(state),
      end: () => {
        clearInterval(this.#upkeep);
        this.#changed();
      },
    });
    this.#goodbye = new Goodbye(this.#own, this.#mesh, this.#sync, this.#authority);
    this.#expulsion = new Expulsion(parts);
  }

  /** Which start of this host it is: durably counted before anybody hears of it. */
  get incarnation(): number {
    return this.#process.incarnation;
  }

  /** Base64url of the cluster's public key; undefined: this host is alone. */
  get clusterId(): string | undefined {
    const { cluster } = this.#gate;
    return cluster === undefined ? undefined : Buffer.from(cluster).toString('base64url');
  }

  /** Why this host has stopped to take part, where it has: another process runs with its identity. */
  get halted(): string | undefined {
    return this.#halted;
  }

  /** Whether this host's own passport was good for a time that is over. */
  get isPassportExpired(): boolean {
    return this.#gate.isOwnExpired;
  }

  /** What this host tells of itself. */
  get state(): MemberState {
    return this.#own.current.state;
  }

  /** All members that have not left, this host first, then by name. */
  members(): readonly MemberView[] {
    return this.#views.all();
  }

  /** Other members that are not connected, and for how long they have not been heard, in ms: since this process began at the most. */
  lostFor(): ReadonlyMap<PeerId, number> {
    return this.#views.lostFor();
  }

  member(peer: PeerId): MemberView | undefined {
    return this.#views.of(peer);
  }

  /** Hosts that said that they are gone for good. */
  departed(): readonly MemberView[] {
    return this.#views.departed();
  }

  /** Hosts that were expelled. */
  expelled(): ReadonlySet<PeerId> {
    return this.#gate.revokedHosts;
  }

  /** What a peer may do; empty for who is no member. */
  rightsOf(peer: PeerId): readonly Right[] {
    return this.#gate.rightsOf(peer);
  }

  /** Tells of each change of the members or their records. Returns the way to stop listening. */
  onMembersChange(listener: () => void): () => void {
    this.#memberListeners.add(listener);
    return () => this.#memberListeners.delete(listener);
  }

  /** Tells of each change of a peer's liveness. Returns the way to stop listening. */
  onLivenessChange(listener: (peer: PeerId, liveness: Liveness) => void): () => void {
    return this.#detector.onChange((peer, { liveness }) => listener(peer, liveness));
  }

  /** What people should know: hosts that cannot be reached or were refused, wrong clocks, copied identities. */
  troubles(): readonly TroubleReport[] {
    const reached = new Set(this.members().flatMap(({ peer, addresses }) => (this.#mesh.isConnected(peer) ? [peer, ...addresses] : [])));
    return this.#troubles.current().filter(({ kind, about }) => !overOnceReached.has(kind) || !reached.has(about));
  }

  /** A host's store is known to be older than it was: it must not take part. Where that is this one, it stops. */
  sayOlderState(peer: PeerId, detail: string): void {
    this.#onTrouble(olderState(peer, this.member(peer)?.name ?? peer, detail));
  }

  /** Waits until a member has let this host in. @throws InfinitError `denied` once a member refuses it, `cancelled`. */
  whenJoined(signal?: AbortSignal): Promise<void> {
    return this.#entrance.whenIn(signal);
  }

  /** What keeps this host from its cluster, as far as it is known. */
  whyNotJoined(): string {
    return this.#entrance.whyNotIn();
  }

  /** Makes a new cluster with this host as its first member, and begins to listen. @throws InfinitError `already-exists`. */
  async initCluster(): Promise<{ readonly clusterId: string }> {
    await this.#entrance.found();
    return { clusterId: this.clusterId! };
  }

  /** Joins a running daemon to a cluster. @throws InfinitError as {@link open}, `already-exists`, and `bad-argument` for what is no address. */
  join(addresses: readonly string[], tokenText: string): Promise<void> {
    return this.#entrance.join(addresses, tokenText);
  }

  /** True while this host belongs to a cluster and is connected with none of its members. */
  get isLonely(): boolean {
    return this.#gate.own !== undefined && this.#halted === undefined && this.#mesh.connected().length === 0;
  }

  /** Hosts on which members may answer: tried in addition to the addresses named at the join, until the first answers. */
  suggest(hosts: readonly string[], port: number): void {
    if (this.isLonely) this.#entrance.suggest(hosts, port);
  }

  /** A new invitation. @throws InfinitError `denied` where this host holds neither the cluster's key nor the right to invite. */
  createToken(request: TokenRequest): Promise<TokenSummary> {
    return this.#authority.createToken(request);
  }

  /** The tokens that were made on this host, and those that members joined with. */
  tokens(): Promise<readonly KnownToken[]> {
    return this.#grants.tokens((peer) => this.member(peer)?.name ?? peer);
  }

  /** Gives a member all rights, the one to invite and to expel among them. @throws InfinitError `denied`, `not-found`, `unavailable`. */
  grant(peer: PeerId): Promise<void> {
    return this.#grants.grant(peer);
  }

  /** No further host joins with this token; those that did stay. */
  revokeToken(id: string): Promise<void> {
    return this.#expulsion.revokeToken(id);
  }

  /** Other hosts that joined with a token and were not expelled. */
  hostsOfToken(id: string): readonly PeerId[] {
    return this.#gate.hostsOf(id).filter((peer) => peer !== this.self && !this.#gate.isRevoked(peer));
  }

  /** Expels a host for good: its connections break, no member talks to it again, and nobody joins any more with the tokens that it joined with. */
  revokeHost(peer: PeerId): Promise<void> {
    return this.#expulsion.revokeHost(peer);
  }

  /** Tells all members what this host is about: `draining` before it leaves, `up` again if it stays. */
  setState(state: Exclude<MemberState, 'left' | 'joining'>): void {
    this.#goodbye.setState(state);
  }

  /** Tells all members how much this host offers. */
  setCapacity(capacity: number): void {
    if (capacity !== this.#own.current.capacity) this.#own.publish({ capacity });
  }

  /**
   * Tells the members that this host is gone for good; it takes no further part, also after a restart. What it stored must have been moved before. Whoever asks for it
   * while it is under way waits for the same goodbye.
   * @param whyNot Asked once the others have heard it: of two that leave at once, at least one then knows of the other. What it says is thrown as `in-use`.
   * @throws InfinitError `unavailable` where no member hears it: they would go on waiting for it.
   */
  async leave(whyNot: () => string | undefined = () => undefined): Promise<void> {
    await this.#goodbye.say(whyNot);
    this.#halt(hasLeft);
  }

  /** Takes back a join that nobody has answered yet: this host is alone again, though it goes on listening until it restarts. */
  takeBackJoin(): Promise<void> {
    return this.#entrance.takeBack();
  }

  /** Closes without leaving: the others see this host as down until it comes back. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#upkeep);
    this.#detector[Symbol.dispose]();
    this.#grants[Symbol.dispose]();
    this.#sync[Symbol.dispose]();
    await this.#mesh[Symbol.asyncDispose]();
    await this.#file[Symbol.asyncDispose]();
  }

  async #enter(): Promise<void> {
    await this.#authority.loadPassport();
    if (await this.#authority.hasLeft()) return this.#halt(hasLeft);
    await this.#entrance.resume(this.#options);
  }

  #startMembership(state: MemberState): void {
    this.#own.publish({ state, addresses: this.#addresses() });
    this.#setTargets();
    clearInterval(this.#upkeep);
    this.#upkeep = setInterval(() => this.#keepUp(), upkeepMs).unref();
  }

  #addresses(): readonly string[] {
    return this.#options.advertise ?? this.#mesh.addresses();
  }

  #onOwnChange(told: Entry | undefined): void {
    if (told !== undefined) {
      this.#table.merge(told);
      this.#sync.tell({ entries: [told], revocations: [] });
    }
    this.#changed();
  }

  #keepUp(): void {
    const addresses = this.#addresses();
    if (addresses.join() !== this.#own.current.addresses.join() || (this.#own.isUntold && !this.isPassportExpired)) this.#own.publish({ addresses });
    for (const peer of this.#mesh.connected()) if (this.#gate.standing(peer) !== 'member') this.#mesh.drop(peer, 'it is no member any more');
    if (this.isPassportExpired)
      this.#onTrouble({ kind: 'denied', about: this.self, message: "this host's own passport has expired: start it with a new token" });
  }

  #onPeerUp(peer: PeerId): void {
    this.#entrance.forgetSuggestions();
    const { entry } = this.#own;
    if (entry === undefined) return;
    // A newcomer asks at once for all there is to know; between hosts that know much the digests show what is missing.
    const isNew = this.state === 'joining' || this.#table.size <= 2;
    if (this.state === 'joining') {
      this.#troubles.forgetRefusals();
      this.#own.publish({ state: 'up' });
    } else this.#sync.tellOne(peer, { entries: [entry], revocations: [] });
    if (isNew) void this.#sync.sync(peer);
  }

  #onNews(revoked: readonly Revocation[]): void {
    for (const { subject, text } of revoked) {
      const peer = subject.replace(/^host:/, '');
      if (subject.startsWith('token:')) continue;
      if (peer === this.self) this.#halt('this host was expelled from the cluster');
      else void this.#expulsion.dismiss(peer, text);
      this.#detector.forget(peer);
    }
    if (this.#halted === undefined) this.#setTargets();
    this.#changed();
  }

  #halt(reason: string): void {
    if (this.#halted !== undefined) return;
    this.#halted = reason;
    this.#logger.error('this host takes no further part in the cluster', { reason });
    this.#gate.close();
    this.#mesh.setTargets([]);
    this.#mesh.setSeeds([]);
    for (const peer of this.#mesh.connected()) this.#mesh.drop(peer, reason);
    this.#changed();
  }

  #onTrouble(trouble: Trouble): void {
    // A member that is down is for `node ls` to show; an address that nobody answers at is news.
    if (trouble.kind === 'unreachable' && this.#table.get(trouble.about) !== undefined) return;
    this.#troubles.say(trouble);
    // Who may not store is not believed: it could stop all others.
    const isBelieved = trouble.by === undefined || this.rightsOf(trouble.by).includes('store');
    if (stopping.has(trouble.kind) && trouble.about === this.self && isBelieved) this.#halt(trouble.message);
  }

  #setTargets(): void {
    this.#mesh.setTargets(this.#views.others().map(({ peer, addresses }) => ({ peer, addresses })));
  }

  #changed(): void {
    const mine = this.#table.get(this.self);
    // Somebody holds a record of this host that it has not made: a twin, or this state directory is older than what the cluster saw.
    if (mine !== undefined && mine.nonce !== this.#process.nonce && mine.incarnation >= this.#process.incarnation)
      this.#onTrouble(twins(mine, { peer: this.self, ...this.#own.current }));
    if (this.#gate.own !== undefined && !this.#closed) this.#file.saveSoon();
    for (const listener of this.#memberListeners) listener();
  }
}
