import { Backoff } from './backoff.ts';
import { type Ballot, type BallotSource, lowestRound, type PeerId } from './ballot.ts';
import { beginningOf } from './beginning.ts';
import { decide, isDoubtOver, type Purpose, type Standing, unknown } from './decision.ts';
import { Doubt } from './doubt.ts';
import { acknowledged, whoForgets } from './forgetting.ts';
import { foundingRecord, highestFloor } from './founding.ts';
import { KnownViews } from './known-views.ts';
import { grantsOf } from './lease-grants.ts';
import type { LeaseRequest, Reply, Request } from './messages.ts';
import type { Effect, Hint, LeaseGrants, Operation, ProposalOutcome } from './operation.ts';
import { givenUpRounds } from './limits.ts';
import { type Accepted, type BlockId, type BlockRecord, type Origin } from './record.ts';
import type { ProposerEvent, ProposerOptions } from './proposer-options.ts';
import { RequestMaker } from './request-maker.ts';
import { Round } from './round.ts';
import { isQuorum, isSole, productionRules, type Rules } from './rules.ts';
import { type Survey, survey } from './survey.ts';

/** What is awaited: answers to a message of that type, or time. */
type Phase = 'idle' | Request['type'] | 'backoff' | 'done';

const none: readonly Effect[] = [];

/** What is accepted for one of these ends the operation. */
const endingPurposes: ReadonlySet<Purpose> = new Set(['value', 'settled', 'salvaged', 'given-up']);

/**
 * One operation on one block as a state machine without I/O (Rystsov 2018, with replica sets in the record): events in, effects out.
 * The caller sends what it is told to send, brings replies back, and counts time. Nothing here waits, so everything replays.
 */
export class Proposer {
  readonly block: BlockId;
  readonly tag: number;
  readonly operation: Operation;
  readonly #rules: Rules;
  readonly #ballots: BallotSource;
  readonly #random: () => number;
  readonly #lease: LeaseRequest | null;
  readonly #leaseClock: () => number;
  readonly #origin: Origin;
  readonly #hint: Hint | null;
  readonly #retiredFloor: number;
  readonly #mayBeLost: () => boolean;
  readonly #views: KnownViews;
  #phase: Phase = 'idle';
  readonly #requests: RequestMaker;
  readonly #round = new Round();
  readonly #backoff = new Backoff();
  #seenRound = 0;
  /** What we build on, whether it is known to be chosen, and the ballot that its quorum promised us, if any. */
  #base: Accepted | null = null;
  #chosen = false;
  #ballot: Ballot | null = null;
  /** What is being accepted. */
  #proposal: BlockRecord | null = null;
  #purpose: Purpose = 'repair';
  #next: Ballot | null = null;
  readonly #doubt = new Doubt();
  /** The record was accepted again at the ballot that we hold. */
  #reproposed = false;
  /** Of a block whose majority is lost: the highest pointer. */
  #pointer: Accepted | null = null;
  /** The round above which all ballots of a giving-up are. */
  #leastRound = 0;
  #grants: LeaseGrants | null = null;

  constructor(options: ProposerOptions) {
    const { block, tag, operation, ballots, floor = 0 } = options;
    this.block = block;
    this.tag = tag;
    this.operation = operation;
    this.#views = new KnownViews(options.views);
    this.#ballots = ballots;
    this.#requests = new RequestMaker(ballots.peer, block, tag);
    this.#random = options.random;
    this.#hint = options.hint ?? null;
    this.#seenRound = options.promised ?? 0;
    this.#lease = options.lease ?? null;
    this.#leaseClock = options.leaseClock ?? (() => 0);
    this.#rules = options.rules ?? productionRules;
    this.#retiredFloor = floor;
    this.#mayBeLost = options.mayBeLost ?? (() => false);
    ballots.raiseFloor(floor);
    const { peer, incarnation, serial } = ballots.next(0);
    this.#origin = { peer, incarnation, serial };
  }

  /** The number of the oldest view of the roster that it began with; −1: of none. */
  get oldestView(): number {
    return this.#views.all[0]?.number ?? -1;
  }

  /** The first effects. */
  start(): readonly Effect[] {
    const beginning = beginningOf(this.operation, this.#hint, this.#mustAccept);
    switch (beginning) {
      case 'fresh':
      case 'promised':
        this.#base = beginning === 'fresh' ? null : this.#hint!.accepted;
        this.#chosen = true;
        this.#ballot = beginning === 'fresh' ? this.#ballots.of(this.#rules.freshRound(this.#ballots.nextRound)) : this.#hint!.next;
        return this.#decide();
      case 'read':
      case 'conflict':
        return this.#startRead();
      case 'prepare':
        return this.#startPrepare();
      case 'unknown':
        // Where one acceptor is the quorum a read is all that a write needs before it.
        return isSole(this.#firstSets()) ? this.#startRead() : this.#startPrepare();
    }
  }

  step(event: ProposerEvent): readonly Effect[] {
    if (this.#phase === 'done') return none;
    switch (event.type) {
      case 'reply':
        return this.#onReply(event.reply);
      case 'wake':
        return this.#onWake();
      case 'deadline':
        return this.#giveUp();
    }
  }

  /** A wake would have it go on at once: further answers may only spare it to write the record back. */
  get isOptional(): boolean {
    return this.#round.isOptional;
  }

  /** Hosts that were asked and have not answered, for whoever runs the operation. */
  unanswered(): readonly PeerId[] {
    return this.#phase === 'backoff' || this.#phase === 'done' ? [] : this.#round.unanswered();
  }

  #onReply(reply: Reply): readonly Effect[] {
    if (reply.attempt !== this.#requests.attempt || reply.tag !== this.tag || !this.#round.targets.includes(reply.from)) return none;
    this.#ballots.raiseFloor(reply.floor);
    if (reply.promised !== null && reply.promised.round > this.#seenRound) this.#seenRound = reply.promised.round;
    // Asked again on the next wake: the holder may have let go, the acceptor may have been repaired.
    if (reply.type === 'leased' || reply.type === 'lost') return none;
    if (reply.views.length > 0) this.#views.add(reply.views);
    if (reply.type === 'rejected') {
      this.#round.reject(reply.from);
      return this.#onRejected();
    }
    this.#round.answer(reply);
    switch (this.#phase) {
      case 'read':
      case 'prepare':
        return this.#onSurvey(false);
      case 'accept':
        return this.#onAccepted();
      case 'learn':
        return this.#onLearned();
      case 'forget':
        return this.#onForgotten();
      default:
        return none;
    }
  }

  #onWake(): readonly Effect[] {
    this.#round.wakes++;
    switch (this.#phase) {
      case 'backoff':
        return this.#startPrepare();
      case 'read': {
        const effects = this.#onSurvey(true);
        if (this.#phaseNow() !== 'read') return effects;
        return this.#rules.mayCombine() ? this.#resend() : this.#readAgain();
      }
      case 'forget':
        // A tombstone that stays somewhere does no harm; a pointer must be gone before the record may forget the host.
        return this.operation.kind === 'forget' ? this.#finish({ status: 'committed', accepted: null }) : this.#resend();
      default:
        // The hosts that answer may be a majority if only our ballot were higher.
        if (this.#round.rejected.size > 0) return this.#retry();
    }
    if (this.#phase === 'prepare') this.#round.extend(this.#rules.foundingSets(this.#views.all));
    return this.#resend();
  }

  // --- phase 1: read or prepare ---------------------------------------------------------------------------------------------

  #startRead(): readonly Effect[] {
    const known = this.#hint?.accepted.ballot ?? null;
    this.#ballot = null;
    return this.#begin(this.#firstSets(), this.#requests.read(this.#views.newest, known, this.#lease));
  }

  /** Answers of one round must be of about one time (see `Reply.unsure`), so all are asked afresh, and where the roster says too. */
  #readAgain(): readonly Effect[] {
    const wakes = this.#round.wakes;
    const [send] = this.#startRead();
    this.#round.wakes = wakes;
    const more = this.#round.extend(this.#rules.foundingSets(this.#views.all));
    const message = this.#round.message;
    return more.length === 0 ? [send!, this.#sleep()] : [send!, { type: 'send', to: more, message }, this.#sleep()];
  }

  #startPrepare(): readonly Effect[] {
    const known = this.#hint?.accepted.ballot ?? null;
    const above = Math.max(this.#seenRound, this.#base?.ballot.round ?? 0, known?.round ?? 0);
    if (this.operation.kind === 'give-up' && this.#leastRound === 0) this.#leastRound = Math.max(above, this.#ballots.nextRound) + givenUpRounds;
    const ballot = this.#ballots.tryNext(Math.max(above, this.#leastRound));
    if (ballot === undefined) return this.#outOfRounds();
    this.#ballot = ballot;
    this.#reproposed = false;
    return this.#begin(this.#firstSets(), this.#requests.prepare(ballot, this.#views.newest, known));
  }

  get #mustAccept(): boolean {
    return this.#lease !== null && !this.#rules.mayGrant(this.#lease.mode, 'read');
  }

  get #asksOwn(): boolean {
    return this.operation.kind === 'read' && this.operation.own === true;
  }

  /** Who is asked first: the sets of the newest record we know, else those that the roster names. */
  #firstSets(): readonly (readonly PeerId[])[] {
    if (this.#survivors !== undefined) return this.#survivors;
    const known = this.#base ?? this.#hint?.accepted ?? null;
    const sets = known === null ? this.#rules.foundingSets(this.#views.all) : this.#rules.setsOf(known.record);
    return this.#asksOwn ? [...sets, [this.#requests.from]] : sets;
  }

  /** Of a salvage or a giving-up: each is a set of its own, so that all must answer. */
  get #survivors(): readonly (readonly PeerId[])[] | undefined {
    if (this.operation.kind === 'salvage') return this.operation.survivors.map((peer) => [peer]);
    return this.operation.kind === 'give-up' ? this.operation.asked.map((peer) => [peer]) : undefined;
  }

  #onSurvey(impatient: boolean): readonly Effect[] {
    const found: Survey = survey(this.#rules, this.#round.answers, this.#hint?.accepted ?? null, this.#views.all, this.#survivors);
    const more = this.#round.extend(found.sets);
    const heard = !this.#asksOwn || this.#round.answers.has(this.#requests.from);
    if (!found.complete || !heard || more.length > 0) return more.length > 0 ? [{ type: 'send', to: more, message: this.#round.message }] : none;
    this.#base = found.best;
    this.#pointer = found.pointer;
    // Promises that came over several rounds may be of too different times as well.
    this.#chosen = found.held && (this.#phase === 'read' || this.#round.wakes === 0 || this.#rules.mayCombine());
    if (this.#phase === 'prepare') return this.#decide();
    // Another answer may show the record at a quorum after all, which is cheaper than writing it back, unless that is out of the question.
    const enough = impatient || found.unsure || this.#round.targets.every((peer) => this.#round.answers.has(peer));
    if (found.forgotten) return this.#startPrepare();
    if (!this.#rules.mayAnswer(found.held)) {
      this.#round.isOptional = !enough;
      return enough ? this.#startPrepare() : none;
    }
    this.#collectGrants();
    return this.#decide();
  }

  // --- what to do next ------------------------------------------------------------------------------------------------------

  #decide(): readonly Effect[] {
    const standing = this.#standing();
    if (isDoubtOver(standing)) this.#doubt.end();
    const decision = decide(this.#rules, standing);
    switch (decision.type) {
      case 'finish':
        return this.#finish(decision.outcome);
      case 'propose':
        return this.#propose(decision.record, decision.purpose);
      case 'tell':
        return this.#begin(decision.sets, this.#requests.learn(decision.base.ballot, decision.base.record));
    }
  }

  #standing(): Standing {
    return {
      operation: this.operation,
      origin: this.#origin,
      base: this.#base,
      chosen: this.#chosen,
      pointer: this.#pointer,
      round: this.#ballot?.round ?? 0,
      doubt: this.#doubt,
      reproposed: this.#reproposed,
      mustAccept: this.#mustAccept,
      floor: this.#floor,
      firstVersion: this.#firstVersion,
      founding: this.#founding,
      mayBeLost: this.#mayBeLost,
    };
  }

  readonly #floor = (): number => highestFloor(this.#round.answers);

  /**
   * Versions never go back, not even where a removed block was forgotten: no version is above its ballot's round, and so none that is forgotten above the
   * floors of those who forgot. Where nobody was asked it is the round that is promised along with it, which acceptors compare with their floors.
   */
  readonly #firstVersion = (): number => (this.#isLowest ? this.#ballots.nextRound : Math.max(this.#floor(), this.#retiredFloor) + 1);

  /** It begins as if nothing were there. */
  get #isLowest(): boolean {
    return this.#ballot?.round === lowestRound;
  }

  readonly #founding = (value: Uint8Array | null): BlockRecord =>
    foundingRecord(this.#rules, this.#views.all, this.#firstVersion(), this.#origin, value);

  // --- phase 2: accept ------------------------------------------------------------------------------------------------------

  #propose(record: BlockRecord, purpose: Purpose): readonly Effect[] {
    const base = this.#base;
    let ballot = this.#ballot;
    let condition: { readonly ballot: Ballot | null } | null = null;
    if (ballot === null) {
      // Where one acceptor is the whole quorum it can compare and accept in one step: no promise is needed.
      const sets = base === null ? this.#rules.foundingSets(this.#views.all) : this.#rules.setsOf(base.record);
      if (!isSole(sets) || !isSole(this.#rules.setsOf(record))) return this.#startPrepare();
      ballot = this.#ballots.tryNext(Math.max(this.#seenRound, base?.ballot.round ?? 0)) ?? null;
      if (ballot === null) return this.#outOfRounds();
      condition = { ballot: base?.ballot ?? null };
    }
    // A floor that rose while we asked: the version must not be above the round.
    if (base === null && !this.#isLowest && record.version > ballot.round) return this.#startPrepare();
    const next = this.#ballots.tryNext(ballot.round);
    if (next === undefined) return this.#outOfRounds();
    this.#proposal = record;
    this.#purpose = purpose;
    this.#next = next;
    const founding = base === null ? this.#views.newest : -1;
    this.#ballot = ballot;
    const lease = this.#lease;
    const accept = this.#requests.accept({ ballot, record, next, condition, founding, leaseClock: this.#leaseClock(), lease });
    return this.#begin(this.#rules.setsOf(record), accept);
  }

  #onAccepted(): readonly Effect[] {
    const record = this.#proposal!;
    if (!isQuorum(this.#rules, this.#rules.setsOf(record), (peer) => this.#round.answers.has(peer))) return none;
    this.#base = { ballot: this.#ballot!, record, pointer: false };
    this.#chosen = true;
    this.#collectGrants();
    // Along with it the same quorum promised the next ballot: phase 1 of whatever follows is done.
    this.#ballot = this.#next;
    if (this.#purpose === 'reproposal') this.#reproposed = true;
    if (endingPurposes.has(this.#purpose)) return this.#finish({ status: 'committed', accepted: this.#base });
    return this.#decide();
  }

  #onRejected(): readonly Effect[] {
    if (this.#phase === 'learn' || this.#phase === 'forget') return this.#phase === 'learn' ? none : this.#onForgotten();
    const sets = this.#phase === 'accept' ? this.#rules.setsOf(this.#proposal!) : this.#firstSets();
    return isQuorum(this.#rules, sets, (peer) => !this.#round.rejected.has(peer)) ? none : this.#retry();
  }

  /** Starts over with a higher ballot: at once for the first time, then after a growing pause so that rivals do not chase each other. */
  #retry(): readonly Effect[] {
    this.#recordDoubt();
    const ms = this.#backoff.lost(this.#random);
    if (this.#backoff.isFirst) return this.#startPrepare();
    this.#phase = 'backoff';
    this.#requests.pass();
    return [{ type: 'sleep', ms }];
  }

  #outOfRounds(): readonly Effect[] {
    return this.#giveUp();
  }

  #giveUp(): readonly Effect[] {
    return this.#finish(this.#mayHaveActed() ? unknown(this.#doubt) : { status: 'no-quorum' });
  }

  #recordDoubt(): void {
    if (this.#phase !== 'accept' || !this.#rules.leavesDoubt(this.#round.rejected.size === this.#round.targets.length)) return;
    const upon = this.#base?.record.version ?? 0;
    this.#doubt.note(this.#purpose, this.#proposal!.version, upon, this.#isLowest ? this.#next! : this.#ballot!);
  }

  #mayHaveActed(): boolean {
    this.#recordDoubt();
    return this.#doubt.mayHaveActed(this.operation);
  }

  // --- housekeeping: settle and forget --------------------------------------------------------------------------------------

  #onLearned(): readonly Effect[] {
    const base = this.#base!;
    const { count, promised } = acknowledged(this.#round.answers, base);
    if (!this.#rules.mayForget(count, this.#round.targets.length)) return none;
    const floor = this.#rules.floorToForget(promised);
    const who = whoForgets(this.operation, base);
    if (who.length === 0) return this.#propose({ ...base.record, unsettled: [] }, 'settled');
    return this.#begin([who], this.#requests.forget(base.ballot, floor));
  }

  #onForgotten(): readonly Effect[] {
    if (this.#round.answers.size + this.#round.rejected.size < this.#round.targets.length) return none;
    if (this.operation.kind === 'forget') return this.#finish({ status: 'committed', accepted: null });
    if (this.#round.rejected.size > 0) return this.#finish({ status: 'conflict', accepted: this.#base });
    return this.#propose({ ...this.#base!.record, unsettled: [] }, 'settled');
  }

  // --- the machinery --------------------------------------------------------------------------------------------------------

  /** Begins a phase: one message to all of the sets, whose answers are awaited. */
  #begin(sets: readonly (readonly PeerId[])[], message: Request): readonly Effect[] {
    this.#phase = message.type;
    this.#grants = null;
    this.#round.begin(sets, message);
    return [{ type: 'send', to: this.#round.targets.slice(), message }, this.#sleep()];
  }

  #resend(): readonly Effect[] {
    return [{ type: 'send', to: this.#round.unanswered(), message: this.#round.message }, this.#sleep()];
  }

  #sleep(): Effect {
    return { type: 'sleep', ms: this.#round.waitMs(this.#random()) };
  }

  #phaseNow(): Phase {
    return this.#phase;
  }

  #collectGrants(): void {
    if (this.#lease !== null && this.#base !== null) this.#grants = grantsOf(this.#lease, this.#base, this.#round.answers);
  }

  #finish(outcome: ProposalOutcome): readonly Effect[] {
    const known = outcome.status === 'committed' || outcome.status === 'conflict';
    const base = this.#base;
    // What survivors alone promised and told is no quorum's word: only what they accepted as their own record is.
    const isQuorums = this.#survivors === undefined || outcome.status === 'committed';
    const keep = base !== null && !base.pointer && isQuorums && this.#rules.mayKeepHint(known) && this.operation.kind !== 'forget';
    const next = known ? this.#ballot : this.#next;
    const hint = keep ? { accepted: base, next: this.#chosen ? next : null } : null;
    this.#phase = 'done';
    return [{ type: 'done', outcome, hint, lease: known ? this.#grants : null }];
  }
}
