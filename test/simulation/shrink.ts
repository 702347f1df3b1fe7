import type { Fault } from './faults.ts';
import type { RunResult } from './run.ts';

/** Runs that a shrinking may take. */
const maxRuns = 200;

/** Leaves out faults, halves first and then one by one, as long as the run still fails by the same judge. */
export function shrinkFaults(failed: RunResult, again: (faults: readonly Fault[]) => RunResult): RunResult {
  let best = failed;
  let runs = 0;
  for (let size = Math.max(1, best.faults.length >> 1); size > 0 && best.faults.length > 0; size >>= 1) {
    for (let at = 0; at < best.faults.length && runs < maxRuns;) {
      const result = again([...best.faults.slice(0, at), ...best.faults.slice(at + size)]);
      runs++;
      if (result.violation?.judge === failed.violation?.judge) best = result;
      else at += size;
    }
  }
  return best;
}
