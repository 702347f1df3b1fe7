import type { PeerId } from './ballot.ts';
import type { Forgot, ForgotReply, Heartbeat, HeartbeatReply, Release } from './lease-messages.ts';
import { maxGrantors, maxHeldLeases } from './limits.ts';
import type { LeaseMode, LeaseRequest } from './messages.ts';
import type { LeaseGrants } from './operation.ts';
import type { Accepted, BlockId } from './record.ts';
import { isQuorum, productionRules, type Rules } from './rules.ts';

export interface LeaseHolderOptions {
  readonly self: PeerId;
  readonly incarnation: number;
  /** The term of all acceptors. */
  readonly termMs: number;
  /** By how much the rate of any host's clock may differ from true time: 0.02 for 2 %. */
  readonly drift: number;
  readonly rules?: Rules;
}

/** The greatest difference of a clock's rate from true time that leases allow for: 2 %, a hundred times what NTP calls a broken clock. */
export const maxClockDrift = 0.02;

interface Session {
  id: number;
  trustedUntil: number;
  /** Until then it must be remembered that older sessions count no longer. */
  readonly keptUntil: number;
}

interface Held {
  mode: LeaseMode;
  accepted: Accepted;
  sessions: ReadonlyMap<PeerId, number>;
}

/**
 * The holder's side of quorum leases: which blocks this host may answer for from its own memory. A lease holds while a majority of the block's
 * acceptors is under obligation, which each of them is until its term ends by *its* clock; this side stops earlier, by the bound on the clocks' rates.
 */
export class LeaseHolder {
  readonly #options: LeaseHolderOptions;
  readonly #rules: Rules;
  readonly #trustMs: number;
  readonly #sessions = new Map<PeerId, Session>();
  readonly #held = new Map<BlockId, Held>();
  /** Own writes under way, a block: nothing may be read locally meanwhile. */
  readonly #writing = new Map<BlockId, { count: number; overlapped: boolean }>();
  /** Counts requests; `#voidUpTo` says up to which number grants of a block no longer count, `#allVoidUpTo` those of any block. */
  #sequence = 0;
  #allVoidUpTo = 0;
  readonly #voidUpTo = new Map<BlockId, number>();

  constructor(options: LeaseHolderOptions) {
    this.#options = options;
    this.#rules = options.rules ?? productionRules;
    this.#trustMs = this.#rules.trustMs(options.termMs, options.drift);
  }

  /** How many leases were asked for: what accepts of this host must carry. */
  get clock(): number {
    return this.#sequence;
  }

  /** What to put into an operation so that it brings a lease; undefined where none can be had now. */
  request(block: BlockId, mode: LeaseMode): LeaseRequest | undefined {
    if (this.#held.size >= maxHeldLeases || this.#writing.has(block)) return undefined;
    return { mode, incarnation: this.#options.incarnation, sequence: ++this.#sequence };
  }

  /** To be sent to every host whose acceptor may grant something, at least three times a term. */
  heartbeat(now: number): Heartbeat {
    return { type: 'heartbeat', from: this.#options.self, incarnation: this.#options.incarnation, sentAt: now };
  }

  onHeartbeatReply({ from, incarnation, sentAt, session }: HeartbeatReply): void {
    if (incarnation !== this.#options.incarnation) return;
    const known = this.#sessions.get(from);
    // The term began no earlier than the heartbeat was sent.
    const trustedUntil = sentAt + this.#trustMs;
    if (known === undefined && this.#sessions.size >= maxGrantors) return;
    if (known === undefined || session > known.id)
      this.#sessions.set(from, { id: session, trustedUntil, keptUntil: known?.keptUntil ?? trustedUntil });
    else if (session === known.id && trustedUntil > known.trustedUntil) known.trustedUntil = trustedUntil;
  }

  /** An acceptor restarted: what it granted before counts no longer, nor what is still on its way. Returns the answer; undefined: this host cannot keep that in mind. */
  onForgot({ from, session }: Forgot, now: number): ForgotReply | undefined {
    const known = this.#sessions.get(from);
    if (known === undefined && this.#sessions.size >= maxGrantors) return undefined;
    if (known === undefined || session > known.id) this.#sessions.set(from, { id: session, trustedUntil: -Infinity, keptUntil: now + this.#trustMs });
    return { type: 'forgot-reply', from: this.#options.self, session };
  }

  /** Takes what a read brought. Returns whether the lease holds now. */
  granted(block: BlockId, grants: LeaseGrants, now: number): boolean {
    return this.#counts(block, grants) && !this.#writing.has(block) && this.#install(block, grants, now);
  }

  /** The record that the block holds for certain at this moment; undefined where no lease says so. */
  read(block: BlockId, now: number): Accepted | undefined {
    const held = this.#held.get(block);
    return held !== undefined && !this.#writing.has(block) && this.#isLive(held, now) ? held.accepted : undefined;
  }

  /** Whether this host alone may write the block now, and so may answer for writes that it has not sent yet. */
  holdsExclusive(block: BlockId, now: number): boolean {
    const held = this.#held.get(block);
    return held !== undefined && held.mode === 'exclusive' && this.#isLive(held, now);
  }

  /**
   * Before the first accept of an own operation is sent, also of a read that writes back: others may see what it brings before we do, so nothing
   * is read locally until it ended.
   */
  beginWrite(block: BlockId): void {
    const writes = this.#writing.get(block);
    if (writes === undefined) this.#writing.set(block, { count: 1, overlapped: false });
    else {
      writes.count++;
      writes.overlapped = true;
    }
  }

  /**
   * After an own write: the record that it committed (undefined: it did not, or nobody knows; then the lease must be asked for again) and the lease that it
   * brought, if any. Returns whether a lease holds now.
   */
  endWrite(block: BlockId, committed: Accepted | undefined, grants: LeaseGrants | null, now: number): boolean {
    const writes = this.#writing.get(block);
    if (writes !== undefined && --writes.count === 0) this.#writing.delete(block);
    // Of writes that overlapped, nobody here knows which came last.
    const last = committed !== undefined && writes !== undefined && !writes.overlapped;
    const held = this.#held.get(block);
    // A change of replicas leaves the grants with hosts that no longer decide.
    const holds = held !== undefined && last && committed.record.epoch === held.accepted.record.epoch && this.#rules.mayLease(committed.record);
    if (holds) this.#held.set(block, { ...held, accepted: committed });
    else this.#held.delete(block);
    const brought = last && grants !== null && this.#counts(block, grants) && this.#install(block, grants, now);
    // Reads that ran beside the write may have seen what was before it.
    this.#void(block);
    return brought || (holds && this.read(block, now) !== undefined);
  }

  /** Stops using the block's lease. What it returns, sent to the block's acceptors, lets others go on. */
  drop(block: BlockId): Release {
    this.#held.delete(block);
    this.#void(block);
    return { type: 'release', from: this.#options.self, incarnation: this.#options.incarnation, block, sequence: this.#sequence };
  }

  /** Blocks with a lease, live or not, in the order in which they were granted. */
  held(): Iterable<BlockId> {
    return this.#held.keys();
  }

  /** Forgets what has expired and returns its blocks; call it now and then to bound memory. */
  sweep(now: number): BlockId[] {
    const dead = [...this.#held].filter(([, held]) => !this.#isLive(held, now)).map(([block]) => block);
    for (const block of dead) this.#held.delete(block);
    // A reply to an older heartbeat that comes now brings back nothing: what it would be trusted for is over too.
    for (const [peer, { trustedUntil, keptUntil }] of this.#sessions) if (now >= Math.max(trustedUntil, keptUntil)) this.#sessions.delete(peer);
    return dead;
  }

  #counts(block: BlockId, { request }: LeaseGrants): boolean {
    return request.sequence > Math.max(this.#allVoidUpTo, this.#voidUpTo.get(block) ?? 0);
  }

  #install(block: BlockId, { request, accepted, sessions }: LeaseGrants, now: number): boolean {
    const fresh: Held = { mode: request.mode, accepted, sessions };
    if (!this.#rules.mayLease(accepted.record) || !this.#isLive(fresh, now)) return false;
    const held = this.#held.get(block);
    const stronger = held !== undefined && held.mode === 'exclusive' && request.mode === 'shared' && this.#isLive(held, now);
    if (!stronger) this.#held.set(block, fresh);
    return true;
  }

  /** No grant asked for until now counts for the block any longer. */
  #void(block: BlockId): void {
    if (this.#sequence === 0) return;
    if (this.#voidUpTo.size >= maxHeldLeases) {
      this.#voidUpTo.clear();
      this.#allVoidUpTo = this.#sequence;
    }
    this.#voidUpTo.set(block, this.#sequence);
  }

  #isLive(held: Held, now: number): boolean {
    return isQuorum(this.#rules, this.#rules.setsOf(held.accepted.record), (peer) => {
      const session = this.#sessions.get(peer);
      return session !== undefined && session.id === held.sessions.get(peer) && now < session.trustedUntil;
    });
  }
}
