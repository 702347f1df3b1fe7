/**
 * The state space of the exhaustive search: real acceptors, real proposers, and every order of what may happen between them.
 *
 * Three reductions keep it small; none loses a violation.
 *
 * - **Answers are not in flight.** An answer either counts in its phase or comes too late to. If it counts, it may as well arrive at the moment
 *   it was given: until the phase ends, the proposer only collects; ending it sooner merely puts the next requests in flight sooner,
 *   and they can still take as long as they like, while an operation that returns sooner makes for *stricter* judgement.
 *   If it comes too late, the proposer ignores it. So a delivery has two results: answered at once, or answered too late.
 * - **Operations start at the beginning or right after another one ended.** Starting only puts requests in flight; when it happened matters
 *   to nothing but which operations ended before.
 * - **Acceptors that play the same part are interchangeable** (no code compares their names), so states are counted once for all permutations.
 *
 * A request that would change nothing and whose answer would be ignored is taken out of flight at once: promises only grow, so it
 * stays without effect. (That is tried on the acceptor itself, so a mutant is not helped by it.)
 */
import {
  Acceptor,
  type AcceptorState,
  LeaseTable,
  type PeerId,
  type ProposalOutcome,
  type Reply,
  type Request,
  type Rules,
  type View,
} from '../../src/consensus/index.ts';
import { Fingerprint } from './fingerprint.ts';
import { contentOf, type Host, type HostEvent, type HostState } from './exhaustive-host.ts';

/** Answers of a phase that may come too late without a fault: of three acceptors, or of each three in a change, two are enough. */
const slowAnswers = 1;

/** Faults that may still happen. */
export interface Budget {
  /** Requests lost. */
  readonly losses: number;
  /** Requests delivered twice, the second time whenever. */
  readonly copies: number;
  /** Hosts that crash: a proposer restarts with an unknown outcome, an acceptor stays away. */
  readonly crashes: number;
  /** Timers that fire although answers are still under way. */
  readonly earlyWakes: number;
  /** Callers that give up although answers are still under way. */
  readonly deadlines: number;
}

export interface WorldState {
  /** Numbers of the acceptors' states; −1: the host is down. */
  readonly acceptors: readonly number[];
  /** Numbers of the requests under way to each acceptor, ascending. */
  readonly inFlight: readonly (readonly number[])[];
  readonly hosts: readonly HostState[];
  readonly budget: Budget;
  /** For each host's each operation: which operations had ended when it started, as a set of bits. */
  readonly before: readonly (readonly number[])[];
  /** For each host, the answers of its current phase that came too late. */
  readonly late: readonly number[];
  /** Nothing but starts happened since an operation ended. */
  readonly mayStart: boolean;
}

export interface Transition {
  readonly label: () => string;
  readonly state: WorldState;
}

interface Interned {
  readonly state: AcceptorState | undefined;
  /** What each request, by number, leads to. */
  readonly steps: Map<number, { readonly next: number; readonly reply: Reply; readonly content: string }>;
}

export interface WorldOptions {
  readonly acceptors: readonly PeerId[];
  /** Acceptors of the same part have the same letter, in the order of `acceptors`. */
  readonly parts: string;
  readonly views: readonly View[];
  readonly hosts: readonly Host[];
  readonly rules: Rules;
  /** Phases that an operation of each host may have before its caller's patience is over. */
  readonly maxAttempts: readonly number[];
  /** Timers of an operation that may fire before that. */
  readonly maxWakes: number;
}

export class World {
  readonly options: WorldOptions;
  readonly acceptors: readonly Acceptor[];
  readonly #states: Interned[] = [];
  readonly #stateNumbers = new Map<string, number>();
  readonly #requests: Request[] = [];
  readonly #requestNumbers = new Map<string, number>();
  readonly #numbered = new WeakMap<Request, number>();
  readonly #all = new Fingerprint();
  readonly #each = new Fingerprint();

  constructor(options: WorldOptions) {
    this.options = options;
    const { rules, views } = options;
    this.acceptors = options.acceptors.map((self) => {
      const leases = new LeaseTable({ self, incarnation: 1, termMs: 10_000, startedAt: -1e9, earlierHolders: [], rules });
      return new Acceptor({ self, leases, views: () => views, rules });
    });
  }

  initial(states: readonly (AcceptorState | undefined)[], budget: Budget): WorldState {
    return {
      acceptors: states.map((state) => this.#internState(state)),
      inFlight: states.map(() => []),
      hosts: this.options.hosts.map(({ initial }) => initial),
      budget,
      before: this.options.hosts.map(() => []),
      late: this.options.hosts.map(() => 0),
      mayStart: true,
    };
  }

  acceptorState(number: number): AcceptorState | undefined {
    return this.#states[number]?.state;
  }

  /** True once every operation has an outcome. */
  isOver(state: WorldState): boolean {
    return state.hosts.every(({ outcomes }, index) => outcomes.length === this.options.hosts[index]!.plan.operations.length);
  }

  /** The same for states that differ only in which of several like acceptors is which. */
  fingerprint({ acceptors, inFlight, hosts, budget, before, late, mayStart }: WorldState): number {
    const all = this.#all;
    const each = this.#each;
    all.reset();
    for (let index = 0; index < acceptors.length; index++) {
      const name = this.options.acceptors[index]!;
      each.reset();
      each.add(this.options.parts.charCodeAt(index));
      each.add(acceptors[index]!);
      for (const host of hosts) each.add(host.shortAnswers.get(name) ?? 0);
      for (const number of inFlight[index]!) each.add(number);
      all.addUnordered(each);
    }
    for (let index = 0; index < hosts.length; index++) {
      all.add(hosts[index]!.number);
      all.add(late[index]!);
      for (const bits of before[index]!) all.add(bits);
      all.add(-1);
    }
    all.add(budget.losses);
    all.add(budget.copies);
    all.add(budget.crashes);
    all.add(budget.earlyWakes);
    all.add(budget.deadlines);
    all.add(mayStart ? 1 : 0);
    return all.value();
  }

  transitions(state: WorldState): Transition[] {
    const all: Transition[] = [];
    for (const [index, host] of this.options.hosts.entries()) this.#hostTransitions(state, host, index, all);
    for (const [acceptor, numbers] of state.inFlight.entries()) {
      for (const number of numbers) this.#deliveries(state, acceptor, number, all);
    }
    const { budget } = state;
    if (budget.crashes > 0) {
      for (const [acceptor, number] of state.acceptors.entries()) {
        if (number < 0) continue;
        const crashed = { ...state, budget: { ...budget, crashes: budget.crashes - 1 }, mayStart: false };
        const after = { ...crashed, acceptors: state.acceptors.with(acceptor, -1), inFlight: state.inFlight.with(acceptor, []) };
        all.push({ label: () => `${this.options.acceptors[acceptor]} goes down`, state: after });
      }
    }
    return all;
  }

  #hostTransitions(state: WorldState, host: Host, index: number, all: Transition[]): void {
    const own = state.hosts[index]!;
    const { peer, operations } = host.plan;
    const { budget } = state;
    if (!own.isRunning) {
      if (own.outcomes.length === operations.length || !state.mayStart) return;
      const before = state.before.with(index, [...state.before[index]!, this.#ended(state)]);
      all.push({
        label: () => `${peer} starts operation ${own.outcomes.length}`,
        state: { ...this.#hostStep(state, index, { type: 'start' }), before, mayStart: true },
      });
      return;
    }
    const waits = !own.isPausing && this.#isUnderWay(state, own, index);
    if (!waits && !own.isPausing && own.wakes >= this.options.maxWakes) {
      all.push({ label: () => `${peer} gives up`, state: this.#hostStep(state, index, { type: 'deadline' }) });
      return;
    }
    if (!waits || budget.earlyWakes > 0) {
      const spent = waits ? { ...state, budget: { ...budget, earlyWakes: budget.earlyWakes - 1 } } : state;
      all.push({ label: () => `${peer} wakes`, state: this.#hostStep(spent, index, { type: 'wake' }) });
    }
    if (budget.deadlines > 0) {
      const spent = { ...state, budget: { ...budget, deadlines: budget.deadlines - 1 } };
      all.push({ label: () => `${peer} gives up early`, state: this.#hostStep(spent, index, { type: 'deadline' }) });
    }
    if (budget.crashes > 0) {
      const spent = { ...state, budget: { ...budget, crashes: budget.crashes - 1 } };
      all.push({ label: () => `${peer} crashes and restarts`, state: this.#hostStep(spent, index, { type: 'crash' }) });
    }
  }

  #deliveries(state: WorldState, acceptor: number, number: number, all: Transition[]): void {
    const { budget } = state;
    const request = this.#requests[number]!;
    const name = this.options.acceptors[acceptor]!;
    const flight = state.inFlight[acceptor]!;
    const without = {
      ...state,
      inFlight: state.inFlight.with(
        acceptor,
        flight.filter((other) => other !== number),
      ),
      mayStart: false,
    };
    if (budget.losses > 0) {
      all.push({ label: () => `${describe(request)} to ${name} is lost`, state: { ...without, budget: { ...budget, losses: budget.losses - 1 } } });
    }
    const { next, reply, content } = this.#answer(acceptor, state.acceptors[acceptor]!, number);
    const accepted = { acceptors: state.acceptors.with(acceptor, next) };
    const index = this.options.hosts.findIndex(({ plan }) => plan.peer === request.from);
    const event: HostEvent = { type: 'reply', reply, content };
    const isStale = this.options.hosts[index]!.isStale(state.hosts[index]!, reply);
    const outcomes: readonly [WorldState, string][] = [
      [{ ...without, ...accepted }, ''],
      ...(budget.copies > 0
        ? [[{ ...state, ...accepted, mayStart: false, budget: { ...budget, copies: budget.copies - 1 } }, 'a copy of '] as [WorldState, string]]
        : []),
    ];
    for (const [after, text] of outcomes) {
      const label = (): string => `${text}${describe(request)} reaches ${name}: ${reply.type}`;
      if (!isStale) all.push({ label, state: this.#hostStep(after, index, event) });
      if (isStale) all.push({ label: () => `${label()}, too late`, state: this.#pruned(after) });
      else this.#tooLate(after, index, label, all);
    }
  }

  /** An answer that its phase does not wait for. The first of a phase is merely slow, others count as lost. */
  #tooLate(state: WorldState, index: number, label: () => string, all: Transition[]): void {
    const { budget, late } = state;
    const isSlow = late[index]! < slowAnswers;
    if (!isSlow && budget.losses === 0) return;
    const spent = isSlow ? budget : { ...budget, losses: budget.losses - 1 };
    all.push({ label: () => `${label()}, too late`, state: this.#pruned({ ...state, budget: spent, late: late.with(index, late[index]! + 1) }) });
  }

  #hostStep(state: WorldState, index: number, event: HostEvent): WorldState {
    const own = state.hosts[index]!;
    const host = this.options.hosts[index]!;
    let after = host.step(own, event);
    if (after.isRunning && after.attempt > this.options.maxAttempts[index]!) after = host.step(after, { type: 'deadline' });
    const inFlight = state.inFlight.map((numbers) => [...numbers]);
    for (const { to, message } of after.sent) {
      const number = this.#internRequest(message);
      for (const peer of to) {
        const acceptor = this.options.acceptors.indexOf(peer);
        const flight = inFlight[acceptor]!;
        if (state.acceptors[acceptor]! >= 0 && !flight.includes(number)) flight.push(number);
      }
    }
    for (const numbers of inFlight) numbers.sort((a, b) => a - b);
    const ended = after.outcomes.length > own.outcomes.length;
    const turned = !after.isRunning || after.attempt !== own.attempt || after.tag !== own.tag || after.isPausing;
    const late = turned ? state.late.with(index, 0) : state.late;
    return this.#pruned({ ...state, inFlight, late, hosts: state.hosts.with(index, after), mayStart: ended });
  }

  /** Takes out of flight what is without effect, now and later. */
  #pruned(state: WorldState): WorldState {
    const inFlight = state.inFlight.map((numbers, acceptor) => {
      const at = state.acceptors[acceptor]!;
      const isIdle = (number: number): boolean => {
        const { next, reply } = this.#answer(acceptor, at, number);
        const index = this.options.hosts.findIndex(({ plan }) => plan.peer === this.#requests[number]!.from);
        return next === at && reply.type === 'rejected' && this.options.hosts[index]!.isStale(state.hosts[index]!, reply);
      };
      return numbers.some(isIdle) ? numbers.filter((number) => !isIdle(number)) : numbers;
    });
    return { ...state, inFlight };
  }

  /** True where a request of the host's current phase is still to be delivered. */
  #isUnderWay(state: WorldState, own: HostState, index: number): boolean {
    const { peer } = this.options.hosts[index]!.plan;
    return state.inFlight.some((numbers) =>
      numbers.some((number) => {
        const { from, tag, attempt } = this.#requests[number]!;
        return from === peer && tag === own.tag && attempt === own.attempt;
      }),
    );
  }

  /** Which operations are over, as bits: eight for each host. */
  #ended(state: WorldState): number {
    return state.hosts.reduce((bits, { outcomes }, index) => bits | (((1 << outcomes.length) - 1) << (8 * index)), 0);
  }

  #answer(acceptor: number, at: number, number: number): { readonly next: number; readonly reply: Reply; readonly content: string } {
    const { state, steps } = this.#states[at]!;
    const memo = number * this.acceptors.length + acceptor;
    const known = steps.get(memo);
    if (known !== undefined) return known;
    const step = this.acceptors[acceptor]!.step(state, this.#requests[number]!, 0);
    const content = contentOf(step.reply);
    const result = { next: this.#internState(step.state), reply: step.reply, content };
    steps.set(memo, result);
    return result;
  }

  #internState(state: AcceptorState | undefined): number {
    const text = JSON.stringify(state ?? null);
    const known = this.#stateNumbers.get(text);
    if (known !== undefined) return known;
    this.#stateNumbers.set(text, this.#states.length);
    return this.#states.push({ state, steps: new Map() }) - 1;
  }

  #internRequest(request: Request): number {
    const numbered = this.#numbered.get(request);
    if (numbered !== undefined) return numbered;
    const number = this.#internNewRequest(request);
    this.#numbered.set(request, number);
    return number;
  }

  #internNewRequest(request: Request): number {
    const text = JSON.stringify(request);
    const known = this.#requestNumbers.get(text);
    if (known !== undefined) return known;
    this.#requestNumbers.set(text, this.#requests.length);
    return this.#requests.push(request) - 1;
  }
}

/** A request in a few words. */
function describe(request: Request): string {
  const { type, from, attempt } = request;
  const ballot = 'ballot' in request ? ` ${request.ballot.round}.${request.ballot.peer}#${request.ballot.incarnation}.${request.ballot.serial}` : '';
  const value = request.type === 'accept' ? ` v${request.record.version} ${textOf(request.record.value)}` : '';
  return `${from}’s ${type}${ballot}${value} (phase ${attempt})`;
}

/** A value of the search as text. */
export function textOf(value: Uint8Array | null): string | null {
  return value === null ? null : Buffer.from(value).toString();
}

/** What an operation was told, in a few words. */
export function describeOutcome(outcome: ProposalOutcome): string {
  if (outcome.status === 'no-quorum' || outcome.status === 'unknown') return outcome.status;
  const record = outcome.accepted?.record ?? null;
  return `${outcome.status} ${record === null ? 'nothing' : `${textOf(record.value)} at version ${record.version}`}`;
}
