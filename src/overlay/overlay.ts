import { type Clock, InfinitError, type Logger, messageOf, type Random, silentLogger, systemClock, systemRandom } from '../base/index.ts';
import { formatAddress, parseAddress } from './addresses.ts';
import { ClusterAuthority, type TokenRequest, type TokenSummary } from './cluster-authority.ts';
import { Grants } from './grants.ts';
import type { ProcessId } from './hello.ts';
import { type KeyPair, type MemberRecord, type MemberState, peerIdOf, readToken, type Revocation, type Right } from './identity/index.ts';
import type { KnownToken } from './known-tokens.ts';
import { Libp2pTransport } from './libp2p-transport.ts';
import type { Trouble } from './trouble.ts';
import { MemberFile } from './member-file.ts';
import { AntiEntropy } from './membership/anti-entropy.ts';
import { FailureDetector, type Liveness } from './membership/failure-detector.ts';
import { MemberTable } from './membership/member-table.ts';
import { PassportGate } from './membership/passport-gate.ts';
import { type MemberView, memberView, type OverlayOptions, type TransportContext } from './overlay-options.ts';
import { readTokenFile, StateFiles } from './state-files.ts';
import type { MeshTransport, PeerId, Transport } from './transport.ts';
import { TroubleLog, type TroubleReport } from './trouble-log.ts';
import { type Joining, whenJoined } from './when-joined.ts';

/** Upkeep: addresses that changed, passports that expired. */
const upkeepMs = 1000;
/** What the last word to a host that is expelled is given to travel. */
const farewellMs = 150;
/** How long a host that leaves waits for others to say that they have heard it, in ms. */
const goodbyeMs = 2000;
const hasLeft = 'this host has left the cluster';

/**
 * This host among the others: its identity, the gate, the connections, the roster of members and who of them lives.
 * Alone, without a cluster, it listens nowhere and loads no network stack; {@link initCluster} or a token changes that.
 */
export class Overlay implements AsyncDisposable {
  readonly self: PeerId;
  readonly transport: Transport;
  readonly #options: OverlayOptions;
  readonly #key: KeyPair;
  readonly #process: ProcessId;
  readonly #file: MemberFile;
  readonly #clock: Clock;
  readonly #random: Random;
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
  #own: Omit<MemberRecord, 'peer'>;
  #ownText = '';
  /** What this host is was not signed and told: see {@link #publish}. */
  #isUntold = false;
  #upkeep: NodeJS.Timeout | undefined;
  /** Addresses to begin with: those that the operator named, and those that were found while nobody was connected. */
  #seeds: readonly string[] = [];
  #suggested: readonly string[] = [];
  #halted: string | undefined;
  #leaving: Promise<void> | undefined;
  /** While this host says goodbye: what it is should it stay after all. */
  #stays: MemberState | undefined;
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
    this.#key = key;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.#logger = options.logger ?? silentLogger;
    this.#process = { incarnation, nonce: Buffer.from(this.#random.bytes(8)).toString('hex') };
    this.#gate = new PassportGate(this.self, this.#clock, () => this.#own.state === 'joining');
    this.#authority = new ClusterAuthority(files, key, this.#gate, this.#clock, this.#random, this.#logger);
    this.#troubles = new TroubleLog(this.#clock, this.#logger);
    this.#mesh = this.#makeTransport();
    this.transport = this.#mesh;
    this.#grants = new Grants(this.#mesh, this.#gate, this.#authority, this.self, () => this.#publish({}));
    this.#table = new MemberTable(this.#gate, (known, other) => this.#onConflict(known, other));
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
    const { name, zone, capacity } = options;
    this.#own = { name, zone, capacity, addresses: [], state: 'joining', ...this.#process, sequence: 0 };
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
    const expires = this.#gate.own?.expiresMs;
    return expires !== undefined && expires <= this.#clock.wallMs();
  }

  /** What this host tells of itself. */
  get state(): MemberState {
    return this.#own.state;
  }

  /** All members that have not left, this host first, then by name. */
  members(): readonly MemberView[] {
    const records = this.#table.records().filter(({ peer, state }) => peer !== this.self && state !== 'left');
    return [{ peer: this.self, ...this.#own }, ...records.sort((a, b) => a.name.localeCompare(b.name) || (a.peer < b.peer ? -1 : 1))].map((record) =>
      this.#view(record),
    );
  }

  /** Other members that are not connected, and for how long they have not been heard, in ms: since this process began at the most. */
  lostFor(): ReadonlyMap<PeerId, number> {
    return new Map(
      this.members().flatMap(({ self, peer, liveness }) => (!self && liveness === 'down' ? [[peer, this.#detector.standingFor(peer)] as const] : [])),
    );
  }

  member(peer: PeerId): MemberView | undefined {
    const record = peer === this.self ? { peer, ...this.#own } : this.#table.get(peer);
    return record === undefined ? undefined : this.#view(record);
  }

  /** Hosts that said that they are gone for good. */
  departed(): readonly MemberView[] {
    return this.#table.records().flatMap((record) => (record.state === 'left' && record.peer !== this.self ? [this.#view(record)] : []));
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
    return this.#troubles.current().filter(({ kind, about }) => kind !== 'unreachable' || !reached.has(about));
  }

  /** Waits until a member has let this host in. @throws InfinitError `denied` once a member refuses it, `cancelled`. */
  async whenJoined(signal?: AbortSignal): Promise<void> {
    if (this.#gate.own === undefined) throw new InfinitError('bad-argument', 'this host belongs to no cluster and has no token');
    const joining: Joining = {
      isIn: () => this.#own.state !== 'joining',
      whyNot: () => this.whyNotJoined(),
      onMembersChange: (listener) => this.onMembersChange(listener),
      onTrouble: (listener) => this.#troubles.onTrouble(listener),
    };
    await whenJoined(joining, signal);
  }

  /** What keeps this host from its cluster, as far as it is known. */
  whyNotJoined(): string {
    const why = this.troubles().map(({ message }) => message);
    if (why.length > 0) return `no member has let this host in: ${why.join('; ')}`;
    return 'no member has let this host in yet; where that lasts, name one as HOST:PORT';
  }

  /** Makes a new cluster with this host as its first member, and begins to listen. @throws InfinitError `already-exists`. */
  async initCluster(): Promise<{ readonly clusterId: string }> {
    if (this.#gate.own !== undefined) throw new InfinitError('already-exists', `this host belongs to cluster ${this.clusterId!} already`);
    await this.#mesh.start();
    await this.#authority.found();
    this.#startMembership('up');
    return { clusterId: this.clusterId! };
  }

  /** Joins a running daemon to a cluster. @throws InfinitError as {@link open}, `already-exists`, and `bad-argument` for what is no address. */
  async join(addresses: readonly string[], tokenText: string): Promise<void> {
    for (const address of addresses) parseAddress(address);
    if (this.#halted !== undefined) throw new InfinitError('unavailable', `${this.#halted}: to join again it needs an empty state directory`);
    const token = readToken(tokenText);
    const isNew = this.#gate.own === undefined;
    await this.#authority.useToken(token);
    try {
      await this.#mesh.start();
    } catch (error) {
      // It would belong to a cluster that it cannot speak to, and neither join nor be taken back.
      if (isNew) {
        this.#gate.reset();
        await this.#authority.forgetPassport();
      }
      throw error;
    }
    // A member that was given a further token is what it was: up, or about to leave.
    this.#startMembership(this.#own.state);
    this.#seeds = addresses;
    this.#mesh.setSeeds(addresses);
  }

  /** True while this host belongs to a cluster and is connected with none of its members. */
  get isLonely(): boolean {
    return this.#gate.own !== undefined && this.#halted === undefined && this.#mesh.connected().length === 0;
  }

  /** Hosts on which members may answer: tried in addition to the addresses named at the join, until the first answers. */
  suggest(hosts: readonly string[], port: number): void {
    if (!this.isLonely) return;
    this.#suggested = hosts.map((host) => formatAddress({ host, port }));
    this.#mesh.setSeeds([...new Set([...this.#seeds, ...this.#suggested])]);
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

  /** No further host joins with this token; with `hosts`, those that did are revoked too. Returns the hosts that were revoked. */
  async revokeToken(id: string, { hosts = false }: { readonly hosts?: boolean } = {}): Promise<readonly PeerId[]> {
    if (!/^[0-9a-f]{16}$/.test(id))
      throw new InfinitError('bad-argument', `"${id}" is no token's ID, which has 16 hex digits: it was printed where the token was made`);
    const peers = hosts ? this.#gate.hostsOf(id).filter((peer) => peer !== this.self) : [];
    await this.#revoke([`token:${id}`, ...peers.map((peer) => `host:${peer}` as const)]);
    return peers;
  }

  /** Expels a host for good: its connections break, no member talks to it again. */
  async revokeHost(peer: PeerId): Promise<void> {
    if (peer === this.self) throw new InfinitError('bad-argument', 'a host cannot expel itself: let another do it, or leave');
    if (this.#table.get(peer) === undefined && this.#gate.passportOf(peer) === undefined)
      throw new InfinitError('not-found', `no member has the id ${peer}`);
    await this.#revoke([`host:${peer}`]);
  }

  /** Tells all members what this host is about: `draining` before it leaves, `up` again if it stays. */
  setState(state: Exclude<MemberState, 'left' | 'joining'>): void {
    // While it says goodbye it has left.
    if (this.#stays === undefined) this.#publish({ state });
    else this.#stays = state;
  }

  /** Tells all members how much this host offers. */
  setCapacity(capacity: number): void {
    if (capacity !== this.#own.capacity) this.#publish({ capacity });
  }

  /**
   * Tells the members that this host is gone for good; it takes no further part, also after a restart. What it stored must have been moved before. Whoever asks for it
   * while it is under way waits for the same goodbye.
   * @param whyNot Asked once the others have heard it: of two that leave at once, at least one then knows of the other. What it says is thrown as `in-use`.
   * @throws InfinitError `unavailable` where no member hears it: they would go on waiting for it.
   */
  leave(whyNot: () => string | undefined = () => undefined): Promise<void> {
    this.#leaving ??= this.#sayGoodbye(whyNot).finally(() => (this.#leaving = undefined));
    return this.#leaving;
  }

  async #sayGoodbye(whyNot: () => string | undefined): Promise<void> {
    this.#stays = this.#own.state;
    this.#publish({ state: 'left' });
    try {
      const news = { entries: [{ record: this.#ownText, passport: this.#gate.own!.text }], revocations: [] };
      const heard = await Promise.allSettled(this.#mesh.connected().map((peer) => this.#sync.tellAndWait(peer, news, goodbyeMs)));
      if (heard.every(({ status }) => status === 'rejected'))
        throw new InfinitError('unavailable', 'no other host hears that this one leaves: try again once it is connected with one');
      const why = whyNot();
      if (why !== undefined) throw new InfinitError('in-use', why);
      await this.#authority.rememberLeaving();
    } catch (error) {
      const state = this.#stays;
      this.#stays = undefined;
      this.#publish({ state });
      throw error;
    }
    this.#halt(hasLeft);
  }

  /** Takes back a join that nobody has answered yet: this host is alone again, though it goes on listening until it restarts. */
  async takeBackJoin(): Promise<void> {
    if (this.#gate.own === undefined || this.#own.state !== 'joining') throw new InfinitError('already-exists', 'this host was let in already');
    // Before anything is waited for: from here on nobody lets it in.
    this.#gate.reset();
    clearInterval(this.#upkeep);
    [this.#seeds, this.#suggested] = [[], []];
    this.#mesh.setSeeds([]);
    this.#mesh.setTargets([]);
    for (const peer of this.#mesh.connected()) this.#mesh.drop(peer, 'this host joins no longer');
    this.#troubles.forget();
    await this.#authority.forgetPassport();
    this.#changed();
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

  #makeTransport(): MeshTransport {
    const context: TransportContext = {
      key: this.#key,
      process: this.#process,
      gate: this.#gate,
      onTrouble: (trouble) => this.#onTrouble(trouble),
      onFarewell: (peer, revocation) => this.#onFarewell(peer, revocation),
    };
    if (this.#options.makeTransport !== undefined) return this.#options.makeTransport(context);
    const { listen, tls = 'native', kademlia = false, mdns = false } = this.#options;
    return new Libp2pTransport({ ...context, listen, tls, kademlia, mdns, clock: this.#clock, random: this.#random, logger: this.#logger });
  }

  async #enter(): Promise<void> {
    const { tokenFile, join = [] } = this.#options;
    await this.#authority.loadPassport();
    if (await this.#authority.hasLeft()) return this.#halt(hasLeft);
    // A token that was used already is of no interest, nor whether its file is still there: the passport made from it is kept.
    if (tokenFile !== undefined) {
      const text = await readTokenFile(tokenFile, this.#logger, { optional: this.#gate.own !== undefined });
      if (text !== undefined) await this.#authority.useToken(readToken(text, tokenFile));
    }
    if (this.#gate.own === undefined) {
      if (join.length > 0)
        throw new InfinitError('bad-argument', 'to join a cluster this host needs a token: --token FILE, from `infinit cluster token create`');
      return;
    }
    await this.#file.load((news) => this.#sync.take(news, this.self));
    await this.#mesh.start();
    this.#startMembership(this.#gate.own.invitation === undefined || this.#table.records().some(({ peer }) => peer !== this.self) ? 'up' : 'joining');
    this.#seeds = join;
    this.#mesh.setSeeds(join);
  }

  #startMembership(state: MemberState): void {
    this.#publish({ state, addresses: this.#addresses() });
    this.#setTargets();
    clearInterval(this.#upkeep);
    this.#upkeep = setInterval(() => this.#keepUp(), upkeepMs);
    this.#upkeep.unref();
  }

  #addresses(): readonly string[] {
    return this.#options.advertise ?? this.#mesh.addresses();
  }

  /** Signs a new record of this host and tells everybody. */
  #publish(change: Partial<Pick<MemberRecord, 'state' | 'capacity' | 'addresses'>>): void {
    this.#own = { ...this.#own, ...change, sequence: this.#own.sequence + 1 };
    const { own } = this.#gate;
    // With a passport that has ended nobody would take it, this host itself included: it is told once there is a good one.
    this.#isUntold = this.isPassportExpired;
    if (own !== undefined && this.#halted === undefined && !this.#isUntold) {
      this.#ownText = this.#authority.signRecord(this.#own);
      const entry = { record: this.#ownText, passport: own.text };
      this.#table.merge(entry);
      this.#sync.tell({ entries: [entry], revocations: [] });
    }
    this.#changed();
  }

  #keepUp(): void {
    const addresses = this.#addresses();
    if (addresses.join() !== this.#own.addresses.join() || (this.#isUntold && !this.isPassportExpired)) this.#publish({ addresses });
    for (const peer of this.#mesh.connected()) if (this.#gate.standing(peer) !== 'member') this.#mesh.drop(peer, 'it is no member any more');
    if (this.isPassportExpired)
      this.#onTrouble({ kind: 'denied', about: this.self, message: "this host's own passport has expired: start it with a new token" });
  }

  #onPeerUp(peer: PeerId): void {
    // From here on members name each other.
    if (this.#suggested.length > 0) this.#mesh.setSeeds(this.#seeds);
    this.#suggested = [];
    const { own } = this.#gate;
    if (own === undefined) return;
    // A newcomer asks at once for all there is to know; between hosts that know much the digests show what is missing.
    const isNew = this.#own.state === 'joining' || this.#table.size <= 2;
    if (this.#own.state === 'joining') this.#publish({ state: 'up' });
    else this.#sync.tellOne(peer, { entries: [{ record: this.#ownText, passport: own.text }], revocations: [] });
    if (isNew) void this.#sync.sync(peer);
  }

  #onNews(revoked: readonly Revocation[]): void {
    for (const { subject, text } of revoked) {
      const peer = subject.replace(/^host:/, '');
      if (subject.startsWith('token:')) continue;
      if (peer === this.self) this.#halt('this host was expelled from the cluster');
      else void this.#dismiss(peer, text);
      this.#detector.forget(peer);
    }
    if (this.#halted === undefined) this.#setTargets();
    this.#changed();
  }

  /** The last word to a host that was expelled is the revocation, so that its own people are told; nothing that it says counts from now on. */
  async #dismiss(peer: PeerId, revocation: string): Promise<void> {
    if (this.#mesh.isConnected(peer)) await this.#sync.tellAndWait(peer, { entries: [], revocations: [revocation] }, farewellMs).catch(() => {}); // it may be gone, or hang up first
    this.#mesh.drop(peer, 'it was revoked');
  }

  /** The last word of a peer that this host dialled. */
  #onFarewell(peer: PeerId, revocation: string): void {
    try {
      this.#gate.checkFarewell(peer, revocation);
    } catch (error) {
      this.#logger.warn('a peer says that this host was expelled, and is not believed', { peer, reason: messageOf(error) });
      return;
    }
    void this.#sync.take({ entries: [], revocations: [revocation] }, peer);
  }

  /** Two records that only two processes can have made, or one of this host from a time that it does not remember. */
  #onConflict(known: MemberRecord, other: MemberRecord): void {
    const message = `two processes run with the identity of host ${known.name} (${known.peer}), at ${known.addresses.join(' ')} and ${other.addresses.join(' ')}: a copied state directory; stop one and give it an identity of its own`;
    this.#onTrouble({ kind: 'duplicate-identity', about: known.peer, message });
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
    if (trouble.kind === 'duplicate-identity' && trouble.about === this.self) this.#halt(trouble.message);
  }

  #setTargets(): void {
    const others = this.#table.records().filter(({ peer, state }) => peer !== this.self && state !== 'left');
    this.#mesh.setTargets(others.map(({ peer, addresses }) => ({ peer, addresses })));
  }

  async #revoke(subjects: readonly Revocation['subject'][]): Promise<void> {
    const revocations = await this.#authority.revoke(subjects);
    await this.#sync.take({ entries: [], revocations: revocations.map(({ text }) => text) }, this.self);
  }

  #changed(): void {
    const mine = this.#table.get(this.self);
    // Somebody holds a record of this host that it has not made: a twin, or this state directory is older than what the cluster saw.
    if (mine !== undefined && mine.nonce !== this.#process.nonce && mine.incarnation >= this.#process.incarnation)
      this.#onConflict(mine, { peer: this.self, ...this.#own });
    if (this.#gate.own !== undefined && !this.#closed) this.#file.saveSoon();
    for (const listener of this.#memberListeners) listener();
  }

  #view(record: MemberRecord): MemberView {
    const health = record.peer === this.self ? undefined : this.#detector.healthOf(record.peer);
    return memberView(record, this.#gate.passportOf(record.peer), health);
  }
}
