/** What `npm run simulate` is asked for, what that means for one seed, and the line that asks for a failed run again. */
import { parseArgs } from 'node:util';

import { type Fault, planFaults } from './faults.ts';
import { type Mutant, mutants, mutantSettings, production } from './mutants.ts';
import { run, type RunResult } from './run.ts';
import { type Scenario, scenarios } from './scenarios.ts';
import { type Settings, settingsOf } from './settings.ts';
import type { Trace } from './trace.ts';

const options = {
  seeds: { type: 'string' },
  from: { type: 'string', default: '1' },
  seed: { type: 'string' },
  scenario: { type: 'string' },
  mutants: { type: 'boolean', default: false },
  mutant: { type: 'string' },
  operations: { type: 'string' },
  faults: { type: 'string' },
  trace: { type: 'boolean', default: false },
} as const;

/** `--faults` where a run fails without any. */
const noFaults = 'none';

export function readCommand(args: readonly string[]) {
  return parseArgs({ args: [...args], options }).values;
}

export type Command = ReturnType<typeof readCommand>;

/** A number of a command, 1 or more. */
export function count(text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${text} is no count`);
  return value;
}

/** What a command means for any seed. */
export class Plan {
  readonly #command: Command;
  readonly #mutant: Mutant;
  readonly #scenario: Scenario | undefined;

  /** @throws Error where there is no such mutant or scenario. */
  constructor(command: Command) {
    this.#command = command;
    const { mutant, scenario } = command;
    this.#mutant = mutant === undefined ? production : named('mutant', mutants, mutant);
    this.#scenario = scenario === undefined ? undefined : named('scenario', scenarios, scenario);
  }

  get story(): string | undefined {
    return this.#scenario?.story;
  }

  /** Runs a seed with the faults that the command chooses. */
  run(seed: number, trace?: Trace): RunResult {
    const settings = this.#settings(seed);
    return this.#run(settings, chosen(this.#faults(settings), this.#command.faults), trace);
  }

  /** Runs it with these faults, which an earlier run of the seed had. */
  again(seed: number, faults: readonly Fault[]): RunResult {
    return this.#run(this.#settings(seed), faults);
  }

  /** The line that runs just what this run was, with a trace. Faults are named by their place in the seed's plan. */
  replayLine(seed: number, { faults }: RunResult): string {
    const { scenario, mutant, operations } = this.#command;
    const all = this.#faults(this.#settings(seed)).map((fault) => JSON.stringify(fault));
    const places = faults.map((fault) => all.indexOf(JSON.stringify(fault)));
    const words = ['npm run simulate -- --seed', String(seed)];
    if (scenario !== undefined) words.push('--scenario', scenario);
    if (mutant !== undefined) words.push('--mutant', `'${mutant}'`);
    if (operations !== undefined) words.push('--operations', operations);
    if (faults.length < all.length) words.push('--faults', places.length === 0 ? noFaults : places.join());
    return [...words, '--trace'].join(' ');
  }

  #settings(seed: number): Settings {
    const { operations } = this.#command;
    if (this.#scenario === undefined)
      return { ...settingsOf(seed, operations === undefined ? undefined : count(operations, 1)), ...mutantSettings(this.#mutant) };
    const settings = this.#scenario.settings(seed);
    return operations === undefined ? settings : { ...settings, operations: count(operations, 1) };
  }

  #faults(settings: Settings): readonly Fault[] {
    return this.#scenario === undefined ? planFaults(settings) : this.#scenario.faults(settings);
  }

  #run(settings: Settings, faults: readonly Fault[], trace?: Trace): RunResult {
    return run(settings.seed, { mutant: this.#mutant, settings, faults, ...(trace === undefined ? {} : { trace }) });
  }
}

function named<T extends { readonly name: string }>(kind: string, all: readonly T[], wanted: string): T {
  const found = all.find(({ name }) => name === wanted);
  if (found === undefined) throw new Error(`there is no ${kind} “${wanted}”: ${all.map(({ name }) => name).join(', ')}`);
  return found;
}

function chosen(all: readonly Fault[], places: string | undefined): readonly Fault[] {
  if (places === undefined) return all;
  if (places === noFaults) return [];
  return places.split(',').map((place) => {
    const fault = /^\d+$/.test(place) ? all[Number(place)] : undefined;
    if (fault === undefined) throw new Error(`there is no fault ${place}: the seed has ${all.length}, from 0`);
    return fault;
  });
}
