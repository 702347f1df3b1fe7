/** A program that commits to an SQLite database in WAL mode, one transaction after another: `node committer.ts DATABASE`. Says the number of each that is committed, until its input ends. */
import { DatabaseSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';

const database = new DatabaseSync(process.argv[2]!, { timeout: 60_000 });
database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, text)');
const insert = database.prepare('INSERT INTO t VALUES(?, ?)');
let isOver = false;
process.stdin.on('end', () => (isOver = true)).resume();
for (let n = 1; !isOver; n++) {
  insert.run(n, 'x'.repeat(n % 3000));
  process.stdout.write(`${n}\n`);
  await setImmediate();
}
database.close();
