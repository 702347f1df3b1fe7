/**
 * `npm test [name…]`: builds the add-on, runs every test file (or those whose path contains one of the names) and closes
 * with a plain line of counts. Test files run two at a time, also those of real daemons and engines: these mostly wait, and each has its hosts in
 * namespaces, bridges and directories of its own. They come after the others, which keep the processors at work.
 *
 * A file in which something failed is run once more, alone: on two shared cores a real process can miss a deadline because a
 * neighbour ran. What passes then is named as unsteady in the closing line, so that it is seen and mended; what fails twice has failed.
 * The simulator's finds stand at once: it draws its seeds anew, so a second try would look elsewhere and find nothing.
 */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { type Batch, batchOf, closingLine, mayTryAgain, noBatch, verdictOf } from './verdict.ts';

const wanted = process.argv.slice(2);
const files = globSync('test/**/*.test.ts')
  .filter((file) => wanted.length === 0 || wanted.some((name) => file.includes(name)))
  .toSorted();
const hosts = files.filter((file) => /^test\/(docker|integration)\//.test(file));
const units = files.filter((file) => !hosts.includes(file));

function run(batch: readonly string[], concurrency: number): Promise<Batch> {
  if (batch.length === 0) return Promise.resolve(noBatch);
  const args = ['--test', '--test-reporter=spec', `--test-concurrency=${concurrency}`, ...batch];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let tail = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    process.stdout.write(text);
    tail = (tail + text).slice(-4_000_000);
  });
  return new Promise((resolve) => child.on('close', (code) => resolve(batchOf(tail, code))));
}

const first = [await run(units, 2), await run(hosts, 2)];
const again = first.flatMap((batch) => batch.files).filter(mayTryAgain);
const verdict = verdictOf(first, again.length > 0 ? await run(again, 1) : undefined);
console.log(closingLine(verdict));
process.exitCode = verdict.failed === 0 && verdict.passed > 0 ? 0 : 1;
