import type { HealthState, Volume } from '../api/index.ts';
import { InfinitError } from '../base/index.ts';

/** A kind of `--filter KEY=VALUE`. */
interface Filter {
  /** All values that there are; absent: any text. */
  readonly values?: readonly string[];
  readonly keeps: (volume: Volume, value: string) => boolean;
}

const states: readonly HealthState[] = ['HEALTHY', 'DEGRADED', 'READ-ONLY', 'UNAVAILABLE'];

const filters: Readonly<Record<string, Filter>> = {
  name: { keeps: ({ name }, value) => name.includes(value) },
  health: { values: states, keeps: ({ health }, value) => health.state === value.toUpperCase() },
  mounted: { values: ['true', 'false'], keeps: ({ hosts }, value) => String(hosts.length > 0) === value.toLowerCase() },
};

/** What may be given, for people. */
export const filterWords = Object.entries(filters)
  .map(([key, { values }]) => `${key}=${values?.join('|') ?? 'TEXT'}`)
  .join(', ');

/** What may be given, for shells: with the value where there are not many. */
export const filterChoices: readonly string[] = Object.entries(filters).flatMap(([key, { values = [''] }]) =>
  values.map((value) => `${key}=${value}`),
);

/** The test that all filters make together. @throws InfinitError `bad-argument`. */
export function filterOf(given: readonly string[]): (volume: Volume) => boolean {
  const tests = given.map((filter) => {
    const at = filter.indexOf('=');
    const [key, value] = [filter.slice(0, Math.max(0, at)), filter.slice(at + 1)];
    const found = Object.hasOwn(filters, key) ? filters[key] : undefined;
    if (found === undefined || (found.values !== undefined && !found.values.some((each) => each.toLowerCase() === value.toLowerCase())))
      throw new InfinitError('bad-argument', `--filter: "${filter}" is none of ${filterWords}`);
    return (volume: Volume): boolean => found.keeps(volume, value);
  });
  return (volume) => tests.every((passes) => passes(volume));
}
