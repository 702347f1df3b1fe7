import { Option } from 'commander';

import { InfinitError } from '../base/index.ts';

/** A kind of `--filter KEY=VALUE`. */
export interface Filter<T> {
  /** All values that there are; absent: any text. */
  readonly values?: readonly string[];
  /** Whether one of a list is shown; of `values` one comes as it stands there. */
  readonly keeps: (one: T, value: string) => boolean;
}

/** What `--filter` of one list takes. */
export class ListFilters<T> {
  readonly #filters: Readonly<Record<string, Filter<T>>>;

  constructor(filters: Readonly<Record<string, Filter<T>>>) {
    this.#filters = filters;
  }

  get option(): Option {
    return new Option('-f, --filter <key=value>', `only these, of all filters given: ${this.#words}`).argParser(
      (given: string, before?: string[]) => [...(before ?? []), given],
    );
  }

  /** What may be given, for shells: with the value where there are not many. */
  get choices(): readonly string[] {
    return Object.entries(this.#filters).flatMap(([key, { values = [''] }]) => values.map((value) => `${key}=${value}`));
  }

  get #words(): string {
    return Object.entries(this.#filters)
      .map(([key, { values }]) => `${key}=${values?.join('|') ?? 'TEXT'}`)
      .join(', ');
  }

  /** The test that all filters make together. @throws InfinitError `bad-argument`. */
  test(given: readonly string[]): (one: T) => boolean {
    const tests = given.map((filter) => this.#read(filter));
    return (one) => tests.every((passes) => passes(one));
  }

  #read(filter: string): (one: T) => boolean {
    const at = filter.indexOf('=');
    const [key, text] = [filter.slice(0, Math.max(0, at)), filter.slice(at + 1)];
    const found = Object.hasOwn(this.#filters, key) ? this.#filters[key] : undefined;
    const value = found?.values === undefined ? text : found.values.find((each) => each.toLowerCase() === text.toLowerCase());
    if (found === undefined || value === undefined) throw new InfinitError('bad-argument', `--filter: "${filter}" is none of ${this.#words}`);
    return (one) => found.keeps(one, value);
  }
}
