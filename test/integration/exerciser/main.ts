/**
 * The file system exerciser on real daemons, for as long as you like: `node test/integration/exerciser/main.ts [--hosts 1|3] [--seconds N] [--operations N] [--seed N] [--events crash,remount,lose]` (root).
 * A seed that failed is tried again with `--seed`; with several hosts, what depends on who comes first may differ.
 */
import { parseArgs } from 'node:util';

import { exercise } from '../../suites/exerciser/exercise.ts';
import type { Event } from '../../suites/exerciser/exerciser.ts';
import { oneHost, threeHosts } from './worlds.ts';

const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '60' },
    operations: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    events: { type: 'string', default: 'crash,remount,lose' },
    share: { type: 'string', default: '0.01' },
  },
});
const events = values.events.split(',').filter(Boolean) as Event[];
await using world = await (values.hosts === '1' ? oneHost() : threeHosts());
const until = performance.now() + Number(values.seconds) * 1000;
for (let seed = Number(values.seed); performance.now() < until && process.exitCode === undefined; seed++) {
  const began = performance.now();
  const wanted = { seed, operations: Number(values.operations), events, share: Number(values.share), happen: world.happen, timeoutMs: 300_000 };
  const problem = await exercise(world.places, wanted);
  console.log(problem ?? `seed ${seed}: held, ${((performance.now() - began) / 1000).toFixed(1)} s`);
  if (problem === undefined) continue;
  for (const [place] of world.places.entries()) console.log(`--- host ${place}\n${world.log(place).slice(-6000)}`);
  process.exitCode = 1;
}
const problems = await world.problems();
if (problems.length > 0) {
  console.log(problems);
  process.exitCode = 1;
}
