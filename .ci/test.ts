/**
 * `npm test [name…]`: runs every test file (or those whose path contains one of the names) and closes with the slowest files and a
 * plain line of counts. Two files a processor are under way: those of real daemons and engines mostly wait, and each has its hosts in
 * namespaces, bridges and directories of its own; the others keep the processors at work meanwhile.
 *
 * A file in which something failed is run once more, alone: on shared cores a real process can miss a deadline because a
 * neighbour ran. What passes then is named as unsteady in the closing line, so that it is seen and mended; what fails twice has failed.
 * The simulator's finds stand at once: it draws its seeds anew, so a second try would look elsewhere and find nothing. So does a file that died or did not end.
 */
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';

import { runTestFile } from './test-file.ts';
import { type Batch, closingLine, mayTryAgain, slowest, together, verdictOf } from './verdict.ts';

/** A file takes two minutes at the most where the suite is all that runs. One that does not end is to leave time for the others. */
const fileDeadlineMs = 400_000;

const wanted = process.argv.slice(2);
const files = globSync('test/**/*.test.ts')
  .filter((file) => wanted.length === 0 || wanted.some((name) => file.includes(name)))
  .toSorted();
// By their names, so that those of engines, which take the most, are not all under way at once.
const hosts = files.filter((file) => /^test\/(docker|integration)\//.test(file)).toSorted((a, b) => (path.basename(a) < path.basename(b) ? -1 : 1));
const units = files.filter((file) => !hosts.includes(file));

const processors = availableParallelism();
/** Of these lanes one a unit does files without hosts first, the others do those of hosts: both kinds last for the whole run, more or less. */
const lanes = { units: Math.ceil(processors / 2), hosts: 2 * processors - Math.ceil(processors / 2) };

const late: string[] = [];
const seconds = new Map<string, number>();

/** Runs files one after the other, of the first queue while it lasts. What each prints comes in one piece, when it has ended. */
async function lane(...queues: string[][]): Promise<readonly Batch[]> {
  const next = (): string | undefined => queues.find((queue) => queue.length > 0)?.shift();
  const done: Batch[] = [];
  for (let file = next(); file !== undefined; file = next()) {
    const began = performance.now();
    const ran = await runTestFile(file, AbortSignal.timeout(fileDeadlineMs));
    const took = (performance.now() - began) / 1000;
    seconds.set(file, took);
    console.log(`${ran.printed}▷ ${file}: ${took.toFixed(1)} s`);
    if (ran.late) late.push(file);
    done.push(ran.batch);
  }
  return done;
}

async function runAll(): Promise<readonly Batch[]> {
  const [ofUnits, ofHosts] = [[...units], [...hosts]];
  const all = [
    ...Array.from({ length: lanes.hosts }, () => lane(ofHosts, ofUnits)),
    ...Array.from({ length: lanes.units }, () => lane(ofUnits, ofHosts)),
  ];
  return (await Promise.all(all)).flat();
}

const first = await runAll();
const times = slowest(seconds);
const again = first.flatMap((batch) => batch.files).filter(mayTryAgain);
const verdict = verdictOf(first, again.length > 0 ? together(await lane(again)) : undefined);
console.log(times);
for (const file of late) console.log(`${file} did not end within ${fileDeadlineMs / 1000} s`);
console.log(closingLine(verdict));
process.exitCode = verdict.failed === 0 && verdict.passed > 0 ? 0 : 1;
