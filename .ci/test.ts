/**
 * `npm test [name…]`: builds the add-on, runs every test file (or those whose path contains one of the names) and closes
 * with a plain line of counts. Test files run two at a time, also those of real daemons and engines: these mostly wait, and each has its hosts in
 * namespaces, bridges and directories of its own. They come after the others, which keep the processors at work.
 *
 * A file in which something failed is run once more, alone: on two shared cores a real process can miss a deadline because a
 * neighbour ran. What passes then is named as unsteady in the closing line, so that it is seen and mended; what fails twice has failed.
 * The simulator's finds stand at once: it draws its seeds anew, so a second try would look elsewhere and find nothing. So does a file that died or did not end.
 */
import { globSync } from 'node:fs';
import { runTestFile } from './test-file.ts';
import { type Batch, closingLine, mayTryAgain, together, verdictOf } from './verdict.ts';

/** A file takes two minutes at the most where the suite is all that runs. One that does not end is to leave time for the others. */
const fileDeadlineMs = 400_000;

const wanted = process.argv.slice(2);
const files = globSync('test/**/*.test.ts')
  .filter((file) => wanted.length === 0 || wanted.some((name) => file.includes(name)))
  .toSorted();
const hosts = files.filter((file) => /^test\/(docker|integration)\//.test(file));
const units = files.filter((file) => !hosts.includes(file));

const late: string[] = [];

/** What each prints comes in one piece, when it has ended. */
async function run(batch: readonly string[], lanes: number): Promise<readonly Batch[]> {
  const left = [...batch];
  const done: Batch[] = [];
  const lane = async (): Promise<void> => {
    for (let file = left.shift(); file !== undefined; file = left.shift()) {
      const began = performance.now();
      const ran = await runTestFile(file, AbortSignal.timeout(fileDeadlineMs));
      console.log(`${ran.printed}▷ ${file}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
      if (ran.late) late.push(file);
      done.push(ran.batch);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return done;
}

const first = [...(await run(units, 2)), ...(await run(hosts, 2))];
const again = first.flatMap((batch) => batch.files).filter(mayTryAgain);
const verdict = verdictOf(first, again.length > 0 ? together(await run(again, 1)) : undefined);
for (const file of late) console.log(`${file} did not end within ${fileDeadlineMs / 1000} s`);
console.log(closingLine(verdict));
process.exitCode = verdict.failed === 0 && verdict.passed > 0 ? 0 : 1;
