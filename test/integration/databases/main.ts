/**
 * Real databases on a volume of real daemons, that lose their processes, daemons and hosts while transactions are committed.
 * `node test/integration/databases/main.ts [--hosts 1|3] [--rounds N] [DATABASE…]` (root; databases.ts names the programs it takes).
 */
import { parseArgs } from 'node:util';

import { databases } from './databases.ts';
import { DatabaseRun } from './run.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { hosts: { type: 'string', default: '3' }, rounds: { type: 'string', default: '1' } },
});
const chosen = positionals.length === 0 ? databases : databases.filter(({ name }) => positionals.includes(name));
if (chosen.length === 0) throw new Error(`there are: ${databases.map(({ name }) => name).join(', ')}`);

await using run = await DatabaseRun.start(Number(values.hosts), (line) => console.log(line));
for (const database of chosen) {
  try {
    await run.try(database, Number(values.rounds));
  } catch (error) {
    console.log(`${database.name}: FAILED: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
