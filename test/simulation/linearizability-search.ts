/**
 * The search behind linearizability.ts, for one register. Three facts keep it small:
 *
 * - an observation that may come next and matches the state can always come now: it changes nothing (no branching);
 * - where the writer of the next version is known, no other write can come next (no branching);
 * - unknown writes of the same effect are interchangeable, the earliest started first (one branch for each effect).
 *
 * What is left branches only where an unknown write must fill a gap. Of two states that differ in how many unknown writes took effect only the one with fewer
 * is looked at: those that are left over need not take effect at all. Likewise, where what is absent may be forgotten, of two in which nothing is there the one with the
 * lower version.
 */
import { Dominance } from './dominance.ts';
import type { Expectation, Observation, Operation } from './linearizability.ts';

export interface SearchOptions {
  /** True where what is absent may be forgotten altogether, so that the write which brings it back may skip versions. */
  readonly forgets?: boolean;
  /** Branches looked at before the search gives up; {@link defaultMaxBranches} where absent. */
  readonly maxBranches?: number;
}

export const defaultMaxBranches = 1_000_000;

export type SearchResult =
  | { readonly status: 'possible' }
  | { readonly status: 'undecided' }
  /** `reached`: the state after the longest explainable beginning. */
  | { readonly status: 'impossible'; readonly reached: Observation };

/** An operation that must be explained. `seen` is what it observed; a write has `expect` and `value` too. */
interface Step {
  readonly start: number;
  readonly end: number;
  readonly kind: 'observe' | 'conflict' | 'write';
  readonly expect: Expectation;
  readonly value: string | null;
  /** Of an observation what it saw, of a write the version that it made; −1: not told. */
  readonly version: number;
  /** False for a conflict that does not tell with what. */
  readonly valueTold: boolean;
}

/** Unknown writes of one effect, by start. How many of them took effect is the state. */
interface Effect {
  readonly expect: Expectation;
  readonly value: string | null;
  readonly starts: number[];
  used: number;
}

interface Choice {
  /** A step (≥ 0), or −1 − index of an effect. */
  readonly what: number;
  readonly version: number;
}

interface Frame {
  readonly choices: readonly Choice[];
  next: number;
  readonly trail: number;
  readonly version: number;
  readonly value: string | null;
  readonly endAt: number;
}

/** Whether an order of one register's operations explains all its answers. */
export function search(operations: readonly Operation[], options: SearchOptions = {}): SearchResult {
  return new Search(operations, options.forgets ?? false).run(options.maxBranches ?? defaultMaxBranches);
}

class Search {
  readonly #forgets: boolean;
  readonly #steps: Step[] = [];
  readonly #effects: Effect[] = [];
  /** Steps not yet explained, linked in the order of their starts; the last index is the list's head and end. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #done: Uint8Array;
  readonly #byEnd: Int32Array;
  readonly #writerOf = new Map<number, number>();
  readonly #seenAt = new Map<number, string | null>();
  readonly #trail: number[] = [];
  /** Values that somebody saw; all others are alike. */
  readonly #observed = new Set<string>();
  readonly #met = new Dominance();
  /** Versions that a write expects. */
  readonly #expected = new Set<number>();
  /** Versions told, ascending; those and the ones expected; how many writes there are without a version. */
  readonly #told: number[] = [];
  readonly #anchors: number[] = [];
  #untold = 0;
  #contradiction = false;
  #endAt = 0;
  #left: number;
  #version = 0;
  #value: string | null = null;

  constructor(operations: readonly Operation[], forgets: boolean) {
    this.#forgets = forgets;
    this.#compile(operations);
    const count = this.#steps.length;
    this.#left = count;
    this.#next = Int32Array.from({ length: count + 1 }, (_, index) => (index === count ? 0 : index + 1));
    this.#previous = Int32Array.from({ length: count + 1 }, (_, index) => (index === 0 ? count : index - 1));
    this.#done = new Uint8Array(count);
    this.#byEnd = Int32Array.from(this.#steps.keys()).sort((a, b) => this.#steps[a]!.end - this.#steps[b]!.end);
  }

  run(maxBranches: number): SearchResult {
    const frames: Frame[] = [];
    let [best, branches] = [-1, 0];
    let reached: Observation = { value: null, version: 0 };
    for (;;) {
      this.#settle();
      if (this.#left === 0) return { status: 'possible' };
      if (this.#trail.length > best) {
        best = this.#trail.length;
        reached = { value: this.#value, version: this.#version };
      }
      const choices = this.#contradiction ? [] : this.#choices();
      if (choices.length === 1) {
        this.#take(choices[0]!);
        continue;
      }
      if (choices.length > 1 && this.#isNew()) {
        frames.push({ choices, next: 0, trail: this.#trail.length, version: this.#version, value: this.#value, endAt: this.#endAt });
      }
      while (frames.length > 0 && frames.at(-1)!.next === frames.at(-1)!.choices.length) frames.pop();
      const frame = frames.at(-1);
      if (frame === undefined) return { status: 'impossible', reached };
      if (++branches > maxBranches) return { status: 'undecided' };
      this.#backTo(frame);
      this.#take(frame.choices[frame.next++]!);
    }
  }

  #compile(operations: readonly Operation[]): void {
    const sorted = operations.toSorted((a, b) => a.start - b.start);
    for (const operation of sorted) {
      const step = stepOf(operation);
      if (step !== undefined) this.#steps.push(step);
    }
    for (const [index, { kind, value, version, valueTold }] of this.#steps.entries()) {
      if (kind !== 'write' && value !== null) this.#observed.add(value);
      if (kind === 'write' && version < 0) this.#untold++;
      if (version < 0 || !valueTold || (this.#forgets && value === null && kind !== 'write')) continue;
      if (kind === 'write') this.#writerOf.set(version, index);
      const seen = this.#seenAt.get(version);
      if (seen !== undefined && seen !== value) this.#contradiction = true;
      this.#seenAt.set(version, value);
    }
    this.#told.push(...[...this.#seenAt.keys()].sort((a, b) => a - b));
    for (const { action } of sorted) if (action.kind === 'write' && typeof action.expect === 'number') this.#expected.add(action.expect);
    this.#anchors.push(...new Set([...this.#told, ...this.#expected]));
    this.#collectEffects(sorted);
  }

  #collectEffects(sorted: readonly Operation[]): void {
    const effects = new Map<string, Effect>();
    for (const { action, outcome, start } of sorted) {
      if (action.kind !== 'write' || outcome.status !== 'unknown') continue;
      this.#untold++;
      const name = `${action.expect}${this.#shown(action.value)}`;
      const known = effects.get(name);
      if (known === undefined) effects.set(name, { expect: action.expect, value: action.value, starts: [start], used: 0 });
      else known.starts.push(start);
    }
    this.#effects.push(...effects.values());
  }

  /** Explains every observation that may come now and matches the state, until none is left. */
  #settle(): void {
    const { length } = this.#steps;
    for (let changed = true; changed && this.#left > 0;) {
      changed = false;
      const limit = this.#limit();
      for (let at = this.#next[length]!; at !== length && this.#steps[at]!.start <= limit; at = this.#next[at]!) {
        if (!this.#matches(this.#steps[at]!)) continue;
        this.#explain(at);
        changed = true;
      }
    }
  }

  /** The latest moment at which the next step may take effect: the earliest end of all that is left. */
  #limit(): number {
    while (this.#done[this.#byEnd[this.#endAt]!] === 1) this.#endAt++;
    return this.#steps[this.#byEnd[this.#endAt]!]!.end;
  }

  #matches({ kind, expect, value, version, valueTold }: Step): boolean {
    if (kind === 'write') return false;
    if (valueTold && value !== this.#value) return false;
    if (version >= 0 && version !== this.#version && !(this.#forgets && value === null)) return false;
    if (kind === 'observe') return true;
    if (expect === 'any') return false;
    // Whether a removed register still has a version to expect is left to the implementation.
    return expect === 'absent' ? this.#value !== null : this.#value === null || expect !== this.#version;
  }

  #holds(expect: Expectation): boolean {
    return expect === 'any' || (expect === 'absent' ? this.#value === null : expect === this.#version);
  }

  /** The writes that may come next, given that every observation which could come has. */
  #choices(): Choice[] {
    const limit = this.#limit();
    const next = this.#version + 1;
    const blocker = this.#steps[this.#byEnd[this.#endAt]!]!;
    const isVersionLoose = this.#forgets && blocker.value === null && blocker.kind !== 'write';
    if (!isVersionLoose && blocker.version >= 0 && blocker.version < (blocker.kind === 'write' ? next : this.#version)) return [];
    if (!this.#forgets || this.#value !== null) return this.#choicesAt(next, limit);
    return this.#jumps(next).flatMap((version) => this.#choicesAt(version, limit));
  }

  /**
   * The versions that a founding write may have got: each from which the writes without a version could lead up to one that is
   * told or expected, or just beyond an expected one. All others are like the lowest. First the one that is told: mostly it was the founding.
   */
  #jumps(next: number): number[] {
    const last = this.#told.find((told) => told >= next) ?? Infinity;
    const jumps = new Set(last === Infinity ? [next] : [last, next]);
    for (const anchor of this.#anchors) {
      for (let version = Math.max(next, anchor - this.#untold); version <= Math.min(anchor + 1, last); version++) jumps.add(version);
    }
    return [...jumps];
  }

  #choicesAt(version: number, limit: number): Choice[] {
    const writer = this.#writerOf.get(version);
    if (writer !== undefined) {
      const { start, expect } = this.#steps[writer]!;
      return this.#done[writer] === 0 && start <= limit && this.#holds(expect) ? [{ what: writer, version }] : [];
    }
    const choices: Choice[] = [];
    const shown = this.#seenAt.get(version);
    const { length } = this.#steps;
    for (let at = this.#next[length]!; at !== length && this.#steps[at]!.start <= limit; at = this.#next[at]!) {
      const step = this.#steps[at]!;
      if (step.kind !== 'write' || !this.#holds(step.expect) || (shown !== undefined && shown !== step.value)) continue;
      if (step.version < 0 || step.version === version) choices.push({ what: at, version });
    }
    for (const [index, { expect, value, starts, used }] of this.#effects.entries()) {
      if (used === starts.length || starts[used]! > limit || !this.#holds(expect) || (shown !== undefined && shown !== value)) continue;
      choices.push({ what: -1 - index, version });
    }
    return choices;
  }

  #take({ what, version }: Choice): void {
    this.#version = version;
    if (what >= 0) {
      this.#value = this.#steps[what]!.value;
      this.#explain(what);
      return;
    }
    const effect = this.#effects[-1 - what]!;
    this.#value = effect.value;
    effect.used++;
    this.#trail.push(what);
  }

  #explain(at: number): void {
    const [before, after] = [this.#previous[at]!, this.#next[at]!];
    this.#next[before] = after;
    this.#previous[after] = before;
    this.#done[at] = 1;
    this.#left--;
    this.#trail.push(at);
  }

  /** Undoes everything since the frame. Links are put back in reverse order, each between the neighbours it had. */
  #backTo({ trail, version, value, endAt }: Frame): void {
    while (this.#trail.length > trail) {
      const at = this.#trail.pop()!;
      if (at < 0) {
        this.#effects[-1 - at]!.used--;
        continue;
      }
      this.#next[this.#previous[at]!] = at;
      this.#previous[this.#next[at]!] = at;
      this.#done[at] = 0;
      this.#left++;
    }
    this.#version = version;
    this.#value = value;
    this.#endAt = endAt;
  }

  /** What matters of a value: who saw it, or whether something is there. */
  #shown(value: string | null): string {
    return value === null ? '-' : this.#observed.has(value) ? `=${value}` : '+';
  }

  /** False where a state was met from which all can be done that can be done from this one: what is explained is the same. */
  #isNew(): boolean {
    // A version that is forgotten matters to who expects it alone.
    const forgotten = this.#forgets && this.#value === null && !this.#expected.has(this.#version);
    const first = this.#next[this.#steps.length]!;
    const limit = this.#limit();
    let key = `${forgotten ? '' : this.#version} ${this.#shown(this.#value)} ${first}`;
    for (let at = first + 1, open = this.#next[first]!; at < this.#steps.length; at++) {
      if (at === open) open = this.#next[open]!;
      else key += `,${at}`;
      if (this.#steps[at]!.start > limit) break;
    }
    const used = this.#effects.map((effect) => effect.used);
    return this.#met.isNew(key, forgotten ? [this.#version, ...used] : used);
  }
}

/** What must be explained of an operation; undefined where its answer says nothing. */
function stepOf({ start, end, action, outcome }: Operation): Step | undefined {
  const expect = action.kind === 'write' ? action.expect : 'any';
  if (outcome.status === 'value')
    return { start, end, kind: 'observe', expect, value: outcome.value, version: outcome.version ?? -1, valueTold: true };
  if (outcome.status === 'committed' && action.kind === 'write') {
    return { start, end, kind: 'write', expect, value: action.value, version: outcome.version ?? -1, valueTold: true };
  }
  if (outcome.status !== 'conflict') return undefined;
  const { current } = outcome;
  return { start, end, kind: 'conflict', expect, value: current?.value ?? null, version: current?.version ?? -1, valueTold: current !== undefined };
}
