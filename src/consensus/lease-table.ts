import type { PeerId } from './ballot.ts';
import type { Forgot, ForgotReply, Heartbeat, HeartbeatReply, Release } from './lease-messages.ts';
import { maxHolders, maxLeases, maxRoundMs } from './limits.ts';
import type { Accept, LeaseMode, LeaseRequest } from './messages.ts';
import type { BlockId } from './record.ts';
import { productionRules, type Rules } from './rules.ts';

/** A holder of earlier days, as the host remembers it durably: its leases may still be trusted after this acceptor restarted. */
export interface EarlierHolder {
  readonly peer: PeerId;
  readonly incarnation: number;
}

export interface LeaseTableOptions {
  readonly self: PeerId;
  /** Which life of this process: sessions of an earlier one are never taken for its own. */
  readonly incarnation: number;
  /** How long a lease lives after its holder was last heard, by this host's clock. The same on all hosts. */
  readonly termMs: number;
  /** The clock when this process started. */
  readonly startedAt: number;
  /** Who may hold leases granted in an earlier life of this process. */
  readonly earlierHolders: readonly EarlierHolder[];
  /** No exclusive lease is granted, nor was one ever: others may read whatever was forgotten, and nobody acknowledged anything from memory. */
  readonly sharedOnly?: boolean;
  readonly rules?: Rules;
}

interface Session {
  id: number;
  incarnation: number;
  expiresAt: number;
  /** Its holder does not answer recalls: it is not renewed. */
  lax: boolean;
}

interface Grant {
  readonly peer: PeerId;
  mode: LeaseMode;
  sequence: number;
  session: number;
  recalledAt: number;
  /** When it was recalled first; undefined: it was not. */
  wantedSince: number | undefined;
}

interface Entry {
  grants: Grant[];
  /** Somebody waits: nothing new is granted until all is released. */
  contested: boolean;
}

/** Sessions that one life of a process can open: one every second for half a year is far below it. */
const sessionsPerLife = 2 ** 24;
/** A holder is reminded of a recall this often in a term. */
const recallsPerTerm = 20;
/** Terms for which a holder that left a recall unanswered for one is given no lease. */
const laxTerms = 20;

/**
 * The acceptor's side of quorum leases (Moraru, Andersen, Kaminsky 2014): which host was promised that nobody else reads or writes a block.
 * All of it is volatile. What a restart forgets is covered by abstaining: until whoever may hold leases of before says that it relies on them no longer, and for one term at the most.
 */
export class LeaseTable {
  readonly termMs: number;
  readonly #self: PeerId;
  readonly #rules: Rules;
  readonly #startedAt: number;
  readonly #sharedOnly: boolean;
  #earlier: readonly EarlierHolder[];
  /** Whose leases ended with an earlier life of this process. */
  readonly #forgotten: readonly PeerId[];
  readonly #firstSession: number;
  #nextSession: number;
  readonly #sessions = new Map<PeerId, Session>();
  readonly #blocks = new Map<BlockId, Entry>();
  /** Blocks whose exclusive lease ended lately, and whose it was; undefined: of several. */
  readonly #ended = new Map<BlockId, { readonly peer: PeerId | undefined; readonly at: number }>();

  constructor({ self, incarnation, termMs, startedAt, earlierHolders, sharedOnly = false, rules = productionRules }: LeaseTableOptions) {
    this.#self = self;
    this.termMs = termMs;
    this.#startedAt = startedAt;
    this.#rules = rules;
    this.#firstSession = this.#nextSession = incarnation * sessionsPerLife + 1;
    // Leases of this very process died with it: nothing stands for them, but what was written under them may have been forgotten here.
    this.#earlier = earlierHolders.filter(({ peer }) => peer !== self);
    this.#forgotten = sharedOnly ? [] : earlierHolders.map(({ peer }) => peer);
    this.#sharedOnly = sharedOnly;
  }

  /**
   * Whether the peer may read or write the block now. Whoever stands against it is added to `recalls`. A peer's own lease stands against those
   * of its accepts that were sent before it asked for the lease.
   */
  allows(peer: PeerId, block: BlockId, access: 'read' | 'write', now: number, recalls: PeerId[], accept?: Accept): boolean {
    if (this.#earlier.length > 0 && (access === 'write' || !this.#sharedOnly) && !this.#remembers(peer, now)) return false;
    const entry = this.#blocks.size === 0 ? undefined : this.#liveEntry(block, now);
    if (entry === undefined) return true;
    let shared = 0;
    let exclusive = 0;
    for (const grant of entry.grants) {
      if (grant.peer === peer) {
        if (accept !== undefined && this.#isStraggler(accept, grant)) return false;
        continue;
      }
      if (grant.mode === 'shared') shared++;
      else exclusive++;
    }
    const allowed = this.#rules.leaseAllows(access, shared, exclusive);
    if (allowed) return true;
    entry.contested = true;
    for (const grant of entry.grants) {
      if (grant.peer === peer || (access === 'read' && grant.mode === 'shared')) continue;
      grant.wantedSince ??= now;
      const session = this.#sessions.get(grant.peer);
      if (session?.id === grant.session && now - grant.wantedSince > this.termMs) session.lax = true;
      if (now - grant.recalledAt < this.termMs / recallsPerTerm) continue;
      grant.recalledAt = now;
      recalls.push(grant.peer);
    }
    return false;
  }

  /**
   * Whether an answer about the block may be of another time than other answers of the same round, with writes of another host between them that it
   * acknowledged from memory, under an exclusive lease that ended since: then only an accept proves that a record is the newest.
   */
  isUnsure(peer: PeerId, block: BlockId, now: number): boolean {
    if (now - this.#startedAt < this.termMs + maxRoundMs && this.#forgotten.some((holder) => holder !== peer)) return true;
    if (this.#ended.size === 0) return false;
    const ended = this.#ended.get(block);
    return ended !== undefined && ended.peer !== peer && now - ended.at < maxRoundMs;
  }

  /** Grants a lease where nothing stands against it. Returns the session that it hangs on; 0: not granted. */
  grant(peer: PeerId, block: BlockId, request: LeaseRequest, now: number): number {
    const session = this.#sessions.get(peer);
    if (this.#sharedOnly && request.mode !== 'shared') return 0;
    if (session === undefined || session.expiresAt <= now || session.incarnation !== request.incarnation) return 0;
    if (this.#earlier.length > 0 && !this.#remembers(peer, now)) return 0;
    const entry = this.#liveEntry(block, now) ?? { grants: [], contested: false };
    const own = entry.grants.find((grant) => grant.peer === peer);
    if (entry.contested) return 0;
    if (own === undefined && this.#blocks.size >= maxLeases) return 0;
    if (!this.#compatible(entry, peer, request.mode)) return 0;
    if (own === undefined) {
      entry.grants.push({ peer, mode: request.mode, sequence: request.sequence, session: session.id, recalledAt: -Infinity, wantedSince: undefined });
    } else {
      // The stronger of both: an older request that arrives late must not weaken what was granted since.
      if (request.mode === 'exclusive') own.mode = 'exclusive';
      own.sequence = Math.max(own.sequence, request.sequence);
      own.wantedSince = undefined;
    }
    this.#blocks.set(block, entry);
    return session.id;
  }

  /**
   * Renews the pair's session or opens a new one. `remember`: these holders must be durable before the reply leaves,
   * or a restart would not know for whom to abstain; undefined where nothing new is to be kept.
   */
  heartbeat(
    { from, incarnation, sentAt }: Heartbeat,
    now: number,
  ): { reply: HeartbeatReply | undefined; remember: readonly EarlierHolder[] | undefined } {
    const known = this.#sessions.get(from);
    if (known !== undefined && known.incarnation > incarnation) return { reply: undefined, remember: undefined };
    // It would hold up all writers for as long as it is heard. Whoever loses this answer trusts its leases no longer, so that is always safe.
    const isLax = known?.lax === true && known.incarnation === incarnation && now < known.expiresAt + laxTerms * this.termMs;
    if (!this.#rules.mayRenew(isLax)) return { reply: undefined, remember: undefined };
    this.#earlier = this.#earlier.filter((holder) => holder.peer !== from || holder.incarnation >= incarnation);
    let remember: readonly EarlierHolder[] | undefined;
    let session = known;
    if (session === undefined || session.incarnation !== incarnation || session.expiresAt <= now) {
      if (session === undefined && this.#sessions.size >= maxHolders && !this.#dropDeadSession(now)) return { reply: undefined, remember: undefined };
      const isNew = session === undefined || session.incarnation !== incarnation;
      session = { id: this.#nextSession++, incarnation, expiresAt: now, lax: false };
      this.#sessions.set(from, session);
      if (isNew) remember = this.holders();
    }
    session.expiresAt = now + this.termMs;
    return { reply: { type: 'heartbeat-reply', from: this.#self, incarnation, sentAt, session: session.id }, remember };
  }

  /** Whom this acceptor abstains for, and what to tell each of them until it answers. */
  forgot(): { readonly to: readonly PeerId[]; readonly message: Forgot } {
    return { to: this.#earlier.map(({ peer }) => peer), message: { type: 'forgot', from: this.#self, session: this.#firstSession } };
  }

  /** What was granted in the name of an earlier life counts for that host no longer. */
  onForgotReply({ from, session }: ForgotReply): void {
    // It may be the answer to an earlier life, which granted more after that.
    if (session === this.#firstSession) this.#earlier = this.#earlier.filter(({ peer }) => peer !== from);
  }

  /** Drops what the holder gave back. */
  release({ from, incarnation, block, sequence }: Release, now: number): void {
    const entry = this.#blocks.get(block);
    if (entry === undefined || this.#sessions.get(from)?.incarnation !== incarnation) return;
    this.#keep(entry, block, now, (grant) => grant.peer !== from || grant.sequence > sequence);
    if (entry.grants.length === 0) this.#blocks.delete(block);
  }

  /** Forgets what has expired; call it now and then to bound memory. */
  sweep(now: number): void {
    for (const block of this.#blocks.keys()) this.#liveEntry(block, now);
    for (const [block, { at }] of this.#ended) if (now - at >= maxRoundMs) this.#ended.delete(block);
  }

  /** Who may hold leases: what must be durable so that a restart knows for whom to abstain. */
  holders(): readonly EarlierHolder[] {
    const all = new Map(this.#earlier.map((holder) => [holder.peer, holder]));
    for (const [peer, { incarnation }] of this.#sessions) all.set(peer, { peer, incarnation });
    return [...all.values()];
  }

  /** Holders of leases on the block, for inspection. */
  leasesOf(block: BlockId, now: number): readonly { readonly peer: PeerId; readonly mode: LeaseMode }[] {
    return this.#liveEntry(block, now)?.grants.map(({ peer, mode }) => ({ peer, mode })) ?? [];
  }

  #isStraggler({ from, ballot, leaseClock }: Accept, { sequence }: Grant): boolean {
    const { incarnation } = this.#sessions.get(from)!;
    return this.#rules.leaseOutlives(incarnation, sequence, ballot.incarnation, leaseClock);
  }

  #remembers(peer: PeerId, now: number): boolean {
    if (this.#rules.remembersLeases(this.#startedAt, this.termMs, now)) {
      this.#earlier = [];
      return true;
    }
    // A peer's own forgotten leases do not stand against it.
    return this.#earlier.every((holder) => holder.peer === peer);
  }

  #compatible(entry: Entry, peer: PeerId, mode: LeaseMode): boolean {
    for (const grant of entry.grants) {
      if (grant.peer !== peer && (mode === 'exclusive' || grant.mode === 'exclusive')) return false;
    }
    return true;
  }

  #liveEntry(block: BlockId, now: number): Entry | undefined {
    const entry = this.#blocks.get(block);
    if (entry === undefined) return undefined;
    const alive = (grant: Grant): boolean => {
      const session = this.#sessions.get(grant.peer);
      return session !== undefined && session.id === grant.session && session.expiresAt > now;
    };
    if (entry.grants.every(alive)) return entry;
    this.#keep(entry, block, now, alive);
    if (entry.grants.length > 0) return entry;
    this.#blocks.delete(block);
    return undefined;
  }

  #keep(entry: Entry, block: BlockId, now: number, wanted: (grant: Grant) => boolean): void {
    const gone = entry.grants.find((grant) => grant.mode === 'exclusive' && !wanted(grant));
    if (gone !== undefined) {
      const before = this.#ended.get(block);
      // Of two that ended lately each concerns the other's host.
      const several = before !== undefined && before.peer !== gone.peer && now - before.at < maxRoundMs;
      this.#ended.set(block, { peer: several ? undefined : gone.peer, at: now });
    }
    entry.grants = entry.grants.filter(wanted);
  }

  #dropDeadSession(now: number): boolean {
    for (const [peer, session] of this.#sessions) {
      if (session.expiresAt > now) continue;
      this.#sessions.delete(peer);
      return true;
    }
    return false;
  }
}
