/**
 * One proposing host of the exhaustive search, as a deterministic automaton: its state is what the events so far made of the real Proposer.
 * Proposers cannot be copied, so a state is reached by replaying its events; each pair of state and event is replayed once and remembered.
 *
 * States are told apart by what the proposer can still know:
 * - of the current phase, its request, and which acceptor gave which answer (in any order: the proposer keeps a map, a set and maxima);
 * - of earlier phases of the operation, {@link Past} (each phase starts with its answers emptied);
 * - of earlier operations, the hint and the counter of ballots.
 */
import assert from 'node:assert/strict';

import {
  BallotSource,
  formatBallot,
  type Hint,
  type Operation,
  type PeerId,
  type ProposalOutcome,
  Proposer,
  type ProposerEvent,
  type Reply,
  type Request,
  type Rules,
  type View,
} from '../../src/consensus/index.ts';

export const block = '12-exhaustive';

/** What a host does in its life. */
export interface HostPlan {
  readonly peer: PeerId;
  readonly operations: readonly Operation[];
  readonly views: readonly View[];
  /** The round that its ballots begin above: what came before the search used some. */
  readonly floor: number;
}

export type HostEvent = { readonly type: 'start' } | { readonly type: 'crash' } | Exclude<ProposerEvent, { type: 'reply' }> | ReplyEvent;

interface ReplyEvent {
  readonly type: 'reply';
  readonly reply: Reply;
  /** The reply as text, without its sender. */
  readonly content: string;
}

/** A message as the last event sent it. */
export interface Sent {
  readonly to: readonly PeerId[];
  readonly message: Request;
}

/** What a proposer may remember of earlier phases: a little more than it does, so that no two different states are taken for one. */
interface Past {
  /** The highest round that anybody had promised. */
  readonly round: number;
  /** What the last finished survey told, whoever told it, and whether its answers prove something together; or which proposal of its own was chosen since. */
  readonly survey: string;
  /** Proposals given up that may live on somewhere. */
  readonly doubts: readonly string[];
  /** 0, 1, or 2 for more phases given up. */
  readonly losses: number;
}

const nothingPast: Past = { round: 0, survey: '', doubts: [], losses: 0 };

export interface HostState {
  readonly sent: readonly Sent[];
  /** Outcomes of the operations that are over. */
  readonly outcomes: readonly ProposalOutcome[];
  readonly isRunning: boolean;
  /** The phase whose answers count, and how many the operation has had. */
  readonly tag: number;
  readonly attempt: number;
  /** Timers that fired since the operation began. */
  readonly wakes: number;
  /** A timer fired since the current phase began: its answers may be of too different times to prove anything together. */
  readonly isLate: boolean;
  /** It waits for nothing but its timer. */
  readonly isPausing: boolean;
  /** The request of the current phase, and who was asked. */
  readonly message: Request | undefined;
  readonly targets: readonly PeerId[];
  readonly past: Past;
  /** The same in short: a number for each different answer. */
  readonly shortAnswers: ReadonlyMap<PeerId, number>;
  /** Stands for all about the state but the current phase's answers. */
  readonly number: number;
  /** Each acceptor's answers in the current phase. */
  readonly answers: ReadonlyMap<PeerId, string>;
  readonly path: readonly HostEvent[];
  /** Other events that led to the same state, a few of them: what follows must not depend on which it was. */
  readonly otherPaths: (readonly HostEvent[])[];
  readonly next: Map<string, { readonly event: HostEvent; readonly state: HostState }>;
}

/** What a replay ends with. */
interface Life {
  ballots: BallotSource;
  proposer: Proposer | null;
  hint: Hint | null;
  outcomes: ProposalOutcome[];
  sent: Sent[];
  pauses: boolean;
}

export class Host {
  readonly plan: HostPlan;
  readonly initial: HostState;
  readonly #rules: Rules;
  /** Incarnations are not raised at a restart: a mutant. */
  readonly #reusesIncarnation: boolean;
  readonly #known = new Map<string, HostState>();
  readonly #numbers = new Map<string, number>();

  constructor(plan: HostPlan, rules: Rules, reusesIncarnation = false) {
    this.plan = plan;
    this.#rules = rules;
    this.#reusesIncarnation = reusesIncarnation;
    this.initial = {
      sent: [],
      outcomes: [],
      isRunning: false,
      tag: 0,
      attempt: 0,
      wakes: 0,
      isLate: false,
      isPausing: false,
      message: undefined,
      targets: [],
      past: nothingPast,
      number: 0,
      answers: new Map(),
      shortAnswers: new Map(),
      path: [],
      otherPaths: [],
      next: new Map(),
    };
  }

  /** True for a reply that the proposer ignores: it is of a phase that is over. */
  isStale(state: HostState, reply: Reply): boolean {
    return !state.isRunning || state.isPausing || reply.tag !== state.tag || reply.attempt !== state.attempt;
  }

  step(state: HostState, event: HostEvent): HostState {
    const name = event.type === 'reply' ? `${event.reply.from}${this.#numberOf(event.content)}` : event.type;
    const known = state.next.get(name);
    if (known !== undefined) return known.state;
    const fresh = this.#follow(state, state.path, event);
    const merged = this.#known.get(keyOf(fresh)) ?? fresh;
    if (merged === fresh) this.#known.set(keyOf(fresh), fresh);
    else this.#merge(merged, fresh.path);
    state.next.set(name, { event, state: merged });
    for (const path of state.otherPaths) this.#check(state, path, event, fresh);
    return merged;
  }

  /** Holds that what was taken for one state behaves as one. */
  #merge(state: HostState, path: readonly HostEvent[]): void {
    if (state.otherPaths.length >= maxOtherPaths) return;
    state.otherPaths.push(path);
    for (const { event, state: after } of state.next.values()) this.#check(state, path, event, after);
  }

  #check(state: HostState, path: readonly HostEvent[], event: HostEvent, expected: HostState): void {
    const actual = this.#follow(state, path, event);
    assert.equal(
      `${keyOf(actual)} ${JSON.stringify(actual.sent)}`,
      `${keyOf(expected)} ${JSON.stringify(expected.sent)}`,
      'states of a proposer that differ were merged',
    );
  }

  #follow(state: HostState, before: readonly HostEvent[], event: HostEvent): HostState {
    const path = [...before, event];
    const life = this.#replay(path);
    const isRunning = life.proposer !== null;
    const sent = life.sent.at(-1);
    const message = sent?.message ?? state.message;
    const began = event.type === 'start' || !isRunning;
    const turned = began || life.pauses || message!.tag !== state.tag || message!.attempt !== state.attempt;
    const answers = new Map(turned ? [] : state.answers);
    if (event.type === 'reply' && !turned) answers.set(event.reply.from, event.content);
    const base = {
      sent: life.sent,
      outcomes: life.outcomes,
      isRunning,
      message,
      tag: message?.tag ?? 0,
      attempt: message?.attempt ?? 0,
      wakes: began ? 0 : state.wakes + (event.type === 'wake' ? 1 : 0),
      isLate: !turned && (state.isLate || event.type === 'wake'),
      isPausing: life.pauses,
      targets: [...new Set([...(turned ? [] : state.targets), ...life.sent.flatMap(({ to }) => to)])].sort((a, b) => (a < b ? -1 : 1)),
      past: began ? nothingPast : turned ? pastOf(state, event, sent?.message) : state.past,
      answers,
      shortAnswers: new Map([...answers].map(([peer, content]) => [peer, this.#numberOf(content)])),
      path,
      otherPaths: [],
      next: new Map(),
    };
    return { ...base, number: this.#numberOf(commonOf(base, life)) };
  }

  #numberOf(common: string): number {
    const number = this.#numbers.get(common) ?? this.#numbers.size + 1;
    this.#numbers.set(common, number);
    return number;
  }

  #replay(path: readonly HostEvent[]): Life {
    const { peer, operations, views, floor } = this.plan;
    let incarnation = 1;
    const life: Life = { ballots: new BallotSource(peer, incarnation, 0, floor), proposer: null, hint: null, outcomes: [], sent: [], pauses: false };
    for (const event of path) {
      life.sent = [];
      const wasPausing = life.pauses;
      if (event.type === 'crash') {
        if (life.proposer !== null) life.outcomes.push({ status: 'unknown' });
        if (!this.#reusesIncarnation) incarnation++;
        Object.assign(life, { ballots: new BallotSource(peer, incarnation, 0, floor), proposer: null, hint: null, pauses: false });
        continue;
      }
      const index = life.outcomes.length;
      if (event.type === 'start') {
        const options = { block, tag: incarnation * 100 + index, operation: operations[index]!, views, ballots: life.ballots };
        life.proposer = new Proposer({ ...options, random: () => 0.5, hint: life.hint ?? undefined, rules: this.#rules });
      }
      const effects = event.type === 'start' ? life.proposer!.start() : life.proposer!.step(event);
      for (const effect of effects) {
        if (effect.type === 'send') life.sent.push({ to: effect.to, message: effect.message });
        if (effect.type !== 'done') continue;
        life.outcomes.push(effect.outcome);
        life.proposer = null;
        life.hint = effect.hint;
      }
      // A sleep without a message is the pause of one that lost to a rival.
      const pauses = life.sent.length === 0 && effects.some(({ type }) => type === 'sleep');
      life.pauses = life.proposer !== null && (pauses || (wasPausing && life.sent.length === 0));
    }
    return life;
  }
}

/** Two of a kind suffice to notice what a description leaves out. */
const maxOtherPaths = 3;

function keyOf({ number, shortAnswers, sent }: HostState): string {
  const answers = [...shortAnswers].map(([peer, answer]) => `${peer}${answer}`).sort((a, b) => (a < b ? -1 : 1));
  return `${number}|${answers.join()}|${sent.length}`;
}

function commonOf({ outcomes, message, isRunning, isPausing, isLate, targets, past, wakes }: Omit<HostState, 'number'>, life: Life): string {
  const rest = [outcomes, life.ballots.clone().next(0), life.hint];
  // Between operations there is nothing else.
  return JSON.stringify(isRunning ? [...rest, isPausing ? null : message, isLate, targets, past, wakes] : rest);
}

/** What is left of a phase when another begins. */
function pastOf({ message, targets, answers, isLate, past }: HostState, event: HostEvent, next: Request | undefined): Past {
  const all = [...answers.values(), ...(event.type === 'reply' ? [event.content] : [])].sort();
  const round = Math.max(past.round, ...all.map((content) => roundIn(content)));
  const isAccept = message?.type === 'accept';
  const isGivenUp = next === undefined || (next.type === 'prepare' && message?.type !== 'read');
  if (!isGivenUp) return { ...past, round, survey: isAccept ? JSON.stringify(message) : `${isLate ? 'late ' : ''}${all.join()}` };
  const losses = Math.min(2, past.losses + 1);
  const isRefused = all.filter((content) => content.startsWith('rejected')).length === targets.length;
  if (!isAccept || isRefused) return { ...past, round, losses };
  return { ...past, round, losses, doubts: [...past.doubts, JSON.stringify([message.ballot, message.record.version, message.record.epoch])] };
}

/**
 * A reply as the proposer takes it: what it is, the round that was promised, and what was accepted, with its record: in another
 * order of events the same ballot may have carried another.
 */
export function contentOf({ type, promised, accepted, same, floor, views, unsure, grant }: Reply): string {
  const record =
    accepted === null ? '' : `${formatBallot(accepted.ballot)}${accepted.pointer ? '→' : ''}${same ? '=' : ''}${JSON.stringify(accepted.record)}`;
  return `${type} ${promised?.round ?? 0} ${record}${floor > 0 || views.length > 0 || unsure || grant > 0 ? JSON.stringify([floor, views, unsure, grant]) : ''}`;
}

function roundIn(content: string): number {
  return Number(content.split(' ')[1]);
}
