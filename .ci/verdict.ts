/** What one run of test files came to, and what several come to together. */

/** One run of a test file, or several such. */
export interface Batch {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Files with a failure. */
  readonly files: readonly string[];
  /** It failed, and no test says so: it died, say. No second try can clear that. */
  readonly broken: boolean;
}

/** Reads the end of what the spec reporter printed. @param file What was run: its tests may be told as those of a file of cases that it shares with others. @param code The exit code; null: killed by a signal. */
export function batchOf(file: string, output: string, code: number | null): Batch {
  const count = (name: string): number | undefined => {
    const found = new RegExp(`^ℹ ${name} (\\d+)$`, 'm').exec(output);
    return found === null ? undefined : Number(found[1]);
  };
  const ended = count('pass') !== undefined && count('fail') !== undefined;
  const told = (count('fail') ?? 0) + (count('cancelled') ?? 0);
  // What throws once its test has ended is told by the exit code alone.
  const failed = ended && told === 0 && code === 1 ? 1 : told;
  const broken = !ended || (code !== 0 && failed === 0);
  return {
    passed: count('pass') ?? 0,
    failed: broken ? Math.max(failed, 1) : failed,
    skipped: (count('skipped') ?? 0) + (count('todo') ?? 0),
    files: !broken && failed > 0 ? [file] : [],
    broken,
  };
}

/** Several runs as one. */
export function together(batches: readonly Batch[]): Batch {
  const sum = (of: (batch: Batch) => number): number => batches.reduce((total, batch) => total + of(batch), 0);
  return {
    passed: sum(({ passed }) => passed),
    failed: sum(({ failed }) => failed),
    skipped: sum(({ skipped }) => skipped),
    files: batches.flatMap(({ files }) => files),
    broken: batches.some(({ broken }) => broken),
  };
}

export interface Verdict {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Files that failed at first and passed alone. */
  readonly unsteady: readonly string[];
}

/** Whether a neighbour on the machine may be why the file failed. What draws its cases by a seed and measures nothing would only draw others at a second try. */
export function mayTryAgain(file: string): boolean {
  return !file.startsWith('test/simulation/');
}

/** @param again The files with a failure that {@link mayTryAgain}, run once more, alone; undefined: there were none. */
export function verdictOf(first: readonly Batch[], again: Batch | undefined): Verdict {
  const sum = (of: (batch: Batch) => number): number => first.reduce((total, batch) => total + of(batch), 0);
  const failedOnce = sum(({ failed }) => failed);
  // Of a run that broke nothing is cleared, also what its files' second try would.
  const kept = sum(({ broken, failed }) => (broken ? failed : 0));
  const files = new Set(first.flatMap((batch) => batch.files));
  const final = [...files].filter((file) => !mayTryAgain(file)).length;
  const failed = again === undefined ? failedOnce : kept + final + again.failed;
  const cleared = again === undefined || again.broken ? [] : [...files].filter((file) => mayTryAgain(file) && !again.files.includes(file));
  return {
    passed: sum(({ passed }) => passed) + Math.max(0, failedOnce - failed),
    failed,
    skipped: sum(({ skipped }) => skipped),
    unsteady: cleared,
  };
}

/** So many of the slowest files are told. */
const maxSlowest = 12;

/** A table of the files that took the longest. @param seconds that each file took. */
export function slowest(seconds: ReadonlyMap<string, number>): string {
  const rows = [...seconds].toSorted(([, a], [, b]) => b - a).slice(0, maxSlowest);
  return ['the slowest files:', ...rows.map(([file, took]) => `${took.toFixed(1).padStart(7)} s  ${file}`)].join('\n');
}

/** The plain line that everything ends with. */
export function closingLine({ passed, failed, skipped, unsteady }: Verdict): string {
  const named = unsteady.length === 0 ? '' : `, ${unsteady.length} unsteady (passed at the second try): ${unsteady.join(', ')}`;
  return `${passed} passed, ${failed} failed, ${skipped} skipped${named}`;
}
