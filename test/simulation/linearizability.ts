/**
 * The judge of histories: is there an order of a register's operations, each taking effect at one moment between its start
 * and its end, that explains every answer? (Herlihy & Wing 1990; the search is that of Wing & Gong 1993 with Lowe's 2017
 * memoisation.) Registers are independent, so each is judged alone.
 *
 * The register is the one of src/store/block-store.ts: `version` counts its effective writes from 1, removals included;
 * a write takes effect only where its expectation holds. Versions that answers report make the order nearly unique,
 * and so the check nearly linear.
 */
import { search, type SearchOptions } from './linearizability-search.ts';

/** What must hold for a write to take effect: this version is current; nothing is there (never was, or was removed); nothing at all. */
export type Expectation = number | 'absent' | 'any';

/** What a client asked for. A write of null removes. Give each write its own value: it makes a violation plain. */
export type Action = { readonly kind: 'read' } | { readonly kind: 'write'; readonly expect: Expectation; readonly value: string | null };

/** What an answer says that the register held; null: nothing. The version is checked where it is told. */
export interface Observation {
  readonly version?: number;
  readonly value: string | null;
}

/** What a client was told. */
export type Outcome =
  | ({ readonly status: 'value' } & Observation)
  | { readonly status: 'committed'; readonly version?: number }
  | { readonly status: 'conflict'; readonly current?: Observation }
  /** Nothing was changed, for certain. */
  | { readonly status: 'failed' }
  /** It may or may not take effect, at any time from its start on: its end counts as Infinity. */
  | { readonly status: 'unknown' };

/**
 * One operation of one client. `start` and `end` come from one clock that all clients share (or are event numbers):
 * an operation precedes another only if it ends strictly before the other starts.
 */
export interface Operation {
  readonly id: number;
  readonly register: string;
  readonly start: number;
  readonly end: number;
  readonly action: Action;
  readonly outcome: Outcome;
}

export type Verdict =
  | { readonly status: 'linearizable' }
  /** `operations` cannot all be true, whatever the others did; `reason` says it for a person. */
  | { readonly status: 'violation'; readonly register: string; readonly operations: readonly Operation[]; readonly reason: string }
  /** The search met its bound: no verdict. */
  | { readonly status: 'undecided'; readonly register: string };

/** Judges a history: all registers, each alone. */
export function checkLinearizable(history: Iterable<Operation>, options: SearchOptions = {}): Verdict {
  const registers = Map.groupBy(history, (operation) => operation.register);
  for (const [register, operations] of registers) {
    const result = search(operations, options);
    if (result.status === 'undecided') return { status: 'undecided', register };
    if (result.status === 'impossible') return explain(register, operations, options);
  }
  return { status: 'linearizable' };
}

/** One operation in a line. */
export function describeOperation({ id, start, end, action, outcome }: Operation): string {
  const asked = action.kind === 'read' ? 'read' : `${action.value === null ? 'remove' : `write ${action.value}`} if ${expectation(action.expect)}`;
  return `#${id} [${start}, ${end}] ${asked} → ${answer(outcome)}`;
}

function expectation(expect: Expectation): string {
  return typeof expect === 'number' ? `at version ${expect}` : expect === 'any' ? 'anything' : 'absent';
}

function answer(outcome: Outcome): string {
  if (outcome.status === 'value') return observed(outcome);
  if (outcome.status === 'committed') return outcome.version === undefined ? 'committed' : `committed as version ${outcome.version}`;
  if (outcome.status === 'conflict') return outcome.current === undefined ? 'conflict' : `conflict with ${observed(outcome.current)}`;
  return outcome.status;
}

function observed({ value, version }: Observation): string {
  return `${value === null ? 'nothing' : value}${version === undefined ? '' : ` at version ${version}`}`;
}

/** Branches that one step of an explanation may take: a shorter story is not worth a long search. */
const maxExplainBranches = 200;

/**
 * Reduces an impossible history to the answers that contradict each other. Only weakenings are used (an observation is left
 * out, a known outcome becomes unknown): what is impossible when weakened was impossible before.
 */
function explain(register: string, operations: readonly Operation[], options: SearchOptions): Verdict {
  const bounded = { ...options, maxBranches: maxExplainBranches };
  const impossible = (candidate: readonly Operation[]): boolean => search(candidate, bounded).status === 'impossible';
  const history = shrink(shortestPrefix(operations, impossible), impossible);
  const known = new Map(operations.map((operation) => [operation.id, operation]));
  const named = history.filter(({ outcome }) => outcome.status !== 'unknown' && outcome.status !== 'failed').map(({ id }) => known.get(id)!);
  const result = search(history, options);
  const reached = result.status === 'impossible' ? `; at best the register comes to ${observed(result.reached)} and no further` : '';
  const reason = `register ${register}: no order explains ${named.map(describeOperation).join(', ')}${reached}`;
  return { status: 'violation', register, operations: named, reason };
}

/** Weakens halves, quarters, … and in the end single operations, as long as the history stays impossible. */
function shrink(operations: readonly Operation[], impossible: (history: readonly Operation[]) => boolean): readonly Operation[] {
  let history = operations;
  for (let size = Math.max(1, history.length >> 1); size > 0; size >>= 1) {
    for (let at = 0; at < history.length;) {
      const weak = weakened(history.slice(at, at + size));
      const candidate = [...history.slice(0, at), ...weak, ...history.slice(at + size)];
      const shrunk = impossible(candidate);
      if (shrunk) history = candidate;
      at += shrunk ? weak.length : size;
    }
  }
  return history;
}

/** What is left of the operations when nothing is known of their answers. */
function weakened(operations: readonly Operation[]): Operation[] {
  return operations
    .filter(({ action, outcome }) => action.kind === 'write' && (outcome.status === 'committed' || outcome.status === 'unknown'))
    .map((operation) => ({ ...operation, end: Infinity, outcome: { status: 'unknown' } }));
}

/** The history as it was known at the earliest time at which it was already impossible. */
function shortestPrefix(operations: readonly Operation[], impossible: (history: readonly Operation[]) => boolean): readonly Operation[] {
  const until = (time: number): Operation[] =>
    operations.flatMap((operation) => (operation.start > time ? [] : operation.end > time ? weakened([operation]) : [operation]));
  const ends = operations
    .map(({ end }) => end)
    .filter(Number.isFinite)
    .toSorted((a, b) => a - b);
  let [low, high] = [0, ends.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (impossible(until(ends[middle]!))) high = middle;
    else low = middle + 1;
  }
  const prefix = ends.length === 0 ? operations : until(ends[low]!);
  // A conflict whose end lies behind the prefix counted as no operation there, which is weaker still.
  return impossible(prefix) ? prefix : operations;
}
