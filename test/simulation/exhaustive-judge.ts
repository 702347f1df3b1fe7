/**
 * Judges states of the exhaustive search. Whenever operations ended, the history so far must be linearizable; once all have, so must it be with
 * one more read, whichever acceptor that read cannot reach.
 */
import {
  type AcceptorState,
  BallotSource,
  type Operation,
  type PeerId,
  type ProposalOutcome,
  Proposer,
  read,
  type Request,
  type Rules,
} from '../../src/consensus/index.ts';
import { block } from './exhaustive-host.ts';
import { type Scenario, type Task } from './exhaustive-scenarios.ts';
import { describeOutcome, textOf, type World, type WorldState } from './exhaustive-world.ts';
import { checkLinearizable, type Operation as Judged, type Outcome } from './linearizability.ts';

type States = readonly (AcceptorState | undefined)[];

/** Timers after which an operation that runs alone counts as stuck. */
const maxLonelyWakes = 20;

/** Runs one operation by itself to its end; requests reach only the acceptors that are `up`. */
export function runAlone(
  world: World,
  operation: Operation,
  states: States,
  up: readonly PeerId[],
  rules: Rules,
): { readonly outcome: ProposalOutcome; readonly states: States } {
  const { acceptors, views } = world.options;
  const now = [...states];
  const proposer = new Proposer({ block, tag: 1, operation, views, ballots: new BallotSource('O', 1), random: () => 0.5, rules });
  let effects = proposer.start();
  for (let wakes = 0; ;) {
    const requests: [PeerId, Request][] = [];
    for (const effect of effects) {
      if (effect.type === 'done') return { outcome: effect.outcome, states: now };
      if (effect.type === 'send')
        requests.push(...effect.to.filter((peer) => up.includes(peer)).map((peer): [PeerId, Request] => [peer, effect.message]));
    }
    effects = [];
    for (const [peer, request] of requests) {
      const index = acceptors.indexOf(peer);
      const step = world.acceptors[index]!.step(now[index], request, 0);
      now[index] = step.state;
      // The others get the request too; their answers are too late.
      const more = proposer.step({ type: 'reply', reply: step.reply });
      if (more.length > 0) effects = [...effects, ...more];
    }
    if (effects.length > 0) continue;
    effects = proposer.step({ type: wakes++ < maxLonelyWakes ? 'wake' : 'deadline' });
  }
}

export class Judge {
  readonly #scenario: Scenario;
  readonly #world: World;
  readonly #rules: Rules;
  readonly #tasks: readonly (readonly Task[])[];
  readonly #verdicts = new Map<string, string | undefined>();
  readonly #endings = new Set<string>();

  constructor(scenario: Scenario, world: World, rules: Rules) {
    this.#scenario = scenario;
    this.#world = world;
    this.#rules = rules;
    this.#tasks = Object.values(scenario.proposers);
  }

  /** How many different histories of finished operations there were. */
  get endings(): number {
    return this.#endings.size;
  }

  /** What is wrong with a state; undefined: nothing. */
  violation(state: WorldState): string | undefined {
    const told = state.hosts.map(({ outcomes }) => outcomes.map(describeOutcome));
    if (told.every((outcomes) => outcomes.length === 0)) return undefined;
    const name = JSON.stringify([told, state.before]);
    const isOver = this.#world.isOver(state);
    if (isOver) this.#endings.add(name);
    const key = isOver ? `${name}${state.acceptors.join()}` : name;
    if (!this.#verdicts.has(key)) {
      const history = this.#history(state);
      const reason = verdictOf(history) ?? (isOver ? this.#readAfterwards(state, history) : undefined);
      this.#verdicts.set(key, reason === undefined ? undefined : `${reason} (told: ${JSON.stringify(told)})`);
    }
    return this.#verdicts.get(key);
  }

  /** Reads through all acceptors, and through all but one. */
  #readAfterwards(state: WorldState, history: readonly Judged[]): string | undefined {
    const { acceptors } = this.#scenario;
    const alive = acceptors.filter((_, index) => state.acceptors[index]! >= 0);
    const states = state.acceptors.map((number) => this.#world.acceptorState(number));
    for (const missing of [undefined, ...alive]) {
      const up = alive.filter((peer) => peer !== missing);
      const { outcome } = runAlone(this.#world, read, states, up, this.#rules);
      const last: Judged = {
        id: 999,
        register: block,
        start: 1e6,
        end: 1e6 + 1,
        action: { kind: 'read' },
        outcome: judged({ kind: 'read' }, outcome),
      };
      const reason = verdictOf([...history, last]);
      if (reason !== undefined) return reason;
      if (outcome.status !== 'committed' && alive.length === acceptors.length && missing === undefined)
        return `a read of all acceptors comes to ${outcome.status}`;
    }
    return undefined;
  }

  /** Intervals that precede each other exactly where operations did. */
  #history(state: WorldState): Judged[] {
    const history: Judged[] = [];
    for (const [index, task] of this.#scenario.prelude.entries()) {
      if (task.kind === 'change') continue;
      const outcome: Outcome = task.kind === 'read' ? { status: 'unknown' } : { status: 'committed', version: index + 1 };
      history.push({ id: 900 + index, register: block, start: 2 * index - 100, end: 2 * index - 99, action: task, outcome });
    }
    const starts = state.before.flat().map((bits) => ({ bits, at: 2 * countBits(bits) }));
    for (const [host, { outcomes }] of state.hosts.entries()) {
      for (const [index, bits] of state.before[host]!.entries()) {
        const task = this.#tasks[host]![index]!;
        if (task.kind === 'change') continue;
        const outcome = index < outcomes.length ? judged(task, outcomes[index]!) : ({ status: 'unknown' } as const);
        const mine = 1 << (8 * host + index);
        const followers = starts.filter(({ bits: ended }) => (ended & mine) !== 0).map(({ at }) => at);
        const end = outcome.status === 'unknown' ? Infinity : Math.min(1e5, ...followers) - 1;
        history.push({ id: 10 * host + index, register: block, start: 2 * countBits(bits), end, action: task, outcome });
      }
    }
    return history;
  }
}

function verdictOf(history: readonly Judged[]): string | undefined {
  const verdict = checkLinearizable(history);
  if (verdict.status === 'linearizable') return undefined;
  return verdict.status === 'violation' ? verdict.reason : 'the history could not be judged';
}

/** What the client of a task was told, as the judge takes it. */
function judged(task: Exclude<Task, { kind: 'change' }>, outcome: ProposalOutcome): Outcome {
  if (outcome.status === 'unknown') return outcome;
  if (outcome.status === 'no-quorum') return { status: 'failed' };
  const record = outcome.accepted?.record;
  const seen = record === undefined ? { value: null } : { value: textOf(record.value), version: record.version };
  if (task.kind === 'read') return { status: 'value', ...seen };
  if (outcome.status === 'conflict') return { status: 'conflict', current: seen };
  return record === undefined ? { status: 'committed' } : { status: 'committed', version: record.version };
}

function countBits(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}
