/**
 * `node test/suites/exerciser/run.ts [--seed N] [--operations N] [--bytes N] [--events crash,remount,lose --share 0.01] DIRECTORY…`: the file system exerciser in directories, each of which shows
 * the same file system. With events it says which is to happen to which of them, a line of JSON each, and waits for a line: test/integration/exerciser/main.ts does that with real daemons.
 */
import { readSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { type Event, Exerciser } from './exerciser.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    operations: { type: 'string', default: '1000' },
    bytes: { type: 'string' },
    events: { type: 'string', default: '' },
    share: { type: 'string', default: '0.01' },
  },
});

function happen(event: Event, place: number): void {
  console.log(JSON.stringify({ event, place }));
  const answer = Buffer.alloc(1);
  do if (readSync(0, answer) === 0) throw new Error('nobody does what is to happen');
  while (answer.toString() !== '\n');
}

try {
  using exerciser = new Exerciser({
    seed: Number(values.seed),
    places: positionals,
    events: values.events.split(',').filter(Boolean) as Event[],
    eventShare: Number(values.share),
    happen,
    ...(values.bytes === undefined ? {} : { maxBytes: Number(values.bytes) }),
  });
  exerciser.run(Number(values.operations));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
