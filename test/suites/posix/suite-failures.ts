import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Outcome } from './suite.ts';

/** Runs the suite below a directory in a process of its own, which switches users, and returns what failed. */
export async function suiteFailures(directory: string): Promise<readonly string[]> {
  const args = [path.join(import.meta.dirname, 'run.ts'), directory];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 100_000_000, timeout: 120_000 }).catch(
    // It also tells the outcome where some cases failed.
    (error: Error & { stdout: string }) => {
      if (!error.stdout.startsWith('[')) throw error;
      return error;
    },
  );
  const outcomes = JSON.parse(stdout) as readonly Outcome[];
  assert.ok(outcomes.length > 100);
  return outcomes.filter(({ failure }) => failure !== undefined).map(({ group, name, failure }) => `${group}: ${name}: ${failure}`);
}
