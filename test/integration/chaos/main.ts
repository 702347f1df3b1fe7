import { parseArgs } from 'node:util';

import { runChaos } from './chaos.ts';
import { type Fault, faultNamed, furtherFaults, usualFaults } from './faults.ts';

const names = (faults: readonly Fault[]): string => faults.map(({ name }) => `'${name}'`).join(', ');
/** Real daemons, real faults, for as long as you like. */
const usage = `npm run chaos -- [--hosts N] [--rounds N] [--faults N] [--at-once N] [--seed S] [--eviction-delay TIME] [--whole] [--also FAULT]… [--only FAULT]… [--logs DIR]     (root)

--seed    which faults strike whom, and for how long
--whole   a fault strikes only when all hosts answer and blocks are where they belong: with --at-once 1 no block is ever short of two replicas
--also    adds to what strikes: ${names(furtherFaults)}; all: all of these
--only    nothing else strikes; these, or: ${names(usualFaults)}
--logs    keeps what the daemons said`;
const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '10' },
    faults: { type: 'string', default: '12' },
    'at-once': { type: 'string', default: '2' },
    'eviction-delay': { type: 'string', default: '10m' },
    also: { type: 'string', multiple: true, default: [] },
    only: { type: 'string', multiple: true },
    whole: { type: 'boolean' },
    help: { type: 'boolean' },
    logs: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
});
if (values.help === true) {
  console.log(usage);
  process.exit();
}
const number = (name: 'hosts' | 'rounds' | 'faults' | 'at-once' | 'seed'): number => {
  const value = Number(values[name]);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} ${values[name]}: a whole number above 0 is wanted`);
  return value;
};
const [hosts, rounds, faults, atOnce, seed] = [number('hosts'), number('rounds'), number('faults'), number('at-once'), number('seed')];
if (atOnce >= hosts) throw new Error(`--at-once ${atOnce}: at least one of ${hosts} hosts must be well`);
const also = values.also.includes('all') ? furtherFaults : values.also.map(faultNamed);
console.log(`seed ${seed}`);
const report = await runChaos({
  hosts,
  rounds,
  faults,
  atOnce,
  seed,
  evictionDelay: values['eviction-delay'],
  kinds: [...(values.only?.map(faultNamed) ?? usualFaults), ...also],
  whole: values.whole === true,
  ...(values.logs === undefined ? {} : { logs: values.logs }),
  say: (line) => console.log(line),
});
console.log(
  `${report.acknowledged} writes acknowledged and none lost, ${report.failures} operations failed, the longest took ${report.longestMs} ms (${report.longestElsewhereMs === 0 ? 'none over 5 s' : `${report.longestElsewhereMs} ms`} on hosts that had no trouble of their own)`,
);
