/**
 * `node test/suites/posix/run.ts DIRECTORY [CASES]`: checks that the file system of DIRECTORY behaves as POSIX and Linux say,
 * as the same calls do on ext4. Run as root. The last line of standard output is the outcome as JSON.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { runSuite } from './suite.ts';
import { umask } from './syscalls.ts';

const [directory, wanted] = process.argv.slice(2);
if (directory === undefined || process.getuid?.() !== 0) {
  console.error('usage, as root: run.ts DIRECTORY [GROUP or part of a name]');
  process.exit(2);
}
umask(0);
const place = mkdtempSync(path.join(directory, 'posix-'));
// Other users must get in; those above it must let them.
chmodSync(place, 0o755);
const outcomes = await runSuite(place, wanted);
rmSync(place, { recursive: true, force: true });
const failed = outcomes.filter(({ failure }) => failure !== undefined);
for (const { group, name, failure } of failed) console.error(`FAIL ${group}: ${name}\n     ${failure!.split('\n').slice(0, 6).join(' ')}`);
console.error(`${outcomes.length - failed.length} passed, ${failed.length} failed`);
console.log(JSON.stringify(outcomes));
process.exitCode = failed.length === 0 ? 0 : 1;
