/**
 * Real databases on a volume of real daemons, that lose their processes, daemons and hosts while transactions are committed.
 * `node test/integration/databases/main.ts [--hosts 1|3] [--rounds N] [DATABASE…]` (root; docs/databases.md says which packages it takes).
 * With `--rates SECONDS` nothing is killed: how many transactions a second there are, beside ext4.
 */
import { parseArgs } from 'node:util';

import { databases } from './databases.ts';
import { compareRates } from './rates.ts';
import { DatabaseRun } from './run.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { hosts: { type: 'string', default: '3' }, rounds: { type: 'string', default: '1' }, rates: { type: 'string' } },
});
const chosen = positionals.length === 0 ? databases : databases.filter(({ name }) => positionals.includes(name));
if (chosen.length === 0) throw new Error(`there are: ${databases.map(({ name }) => name).join(', ')}`);
const say = (line: string): void => console.log(line);
if (values.rates === undefined) await strike();
else await compareRates(chosen, Number(values.rates), say);

async function strike(): Promise<void> {
  await using run = await DatabaseRun.start(Number(values.hosts), say);
  for (const database of chosen) {
    try {
      await run.try(database, Number(values.rounds));
    } catch (error) {
      say(`${database.name}: FAILED: ${error instanceof Error ? error.message : String(error)}`);
      process.exitCode = 1;
    }
  }
}
