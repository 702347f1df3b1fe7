import type { Parameters } from 'fast-check';

/** One case on a busy machine takes a few seconds at the most; one that takes longer hangs, and is to be told with its seed. */
const maxCaseMs = 60_000;

/**
 * How a property of asynchronous cases is run: RUNS of them, and SEED and PATH_ of a failure run that one again. A failure ends it, so that it is told at once: a smaller case of one
 * that depends on timing is looked for in vain, for hours. With SHRINK it is looked for.
 */
export function randomRuns(count: number): Pick<Parameters<never>, 'numRuns' | 'timeout' | 'endOnFailure' | 'seed' | 'path'> {
  const { RUNS, SEED, PATH_, SHRINK } = process.env;
  return {
    numRuns: Number(RUNS ?? count),
    timeout: maxCaseMs,
    endOnFailure: SHRINK === undefined,
    ...(SEED === undefined ? {} : { seed: Number(SEED), path: PATH_ ?? '' }),
  };
}
