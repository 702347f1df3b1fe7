import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Mounted } from '../../fuse/mounted.ts';
import { suiteFailures } from './suite-failures.ts';

/** Runs a command; returns what went wrong. */
function run(command: string, ...args: string[]): string | undefined {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  return status === 0 ? undefined : `${command}: ${error?.message ?? stderr}`;
}

/** An ext4 of our own in memory, so that the oracle depends neither on the machine's disk nor on its load. */
class Ext4 implements Disposable {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'infinit-ext4-'));
  readonly #memory = mkdtempSync('/dev/shm/infinit-ext4-');
  readonly problem: string | undefined;

  constructor() {
    const image = path.join(this.#memory, 'image');
    this.problem =
      run('truncate', '-s', '512M', image) ??
      run('mkfs.ext4', '-q', '-b', '4096', '-E', 'lazy_itable_init=1,lazy_journal_init=1', image) ??
      run('mount', '-o', 'loop', image, this.directory);
  }

  [Symbol.dispose](): void {
    if (this.problem === undefined) execFileSync('umount', [this.directory]);
    rmSync(this.directory, { recursive: true });
    rmSync(this.#memory, { recursive: true });
  }
}

test('the suite is right: ext4 passes it', { timeout: 300_000 }, async (t) => {
  using ext4 = new Ext4();
  if (ext4.problem !== undefined) return t.skip(`no ext4 can be mounted here: ${ext4.problem}`);
  assert.deepEqual(await suiteFailures(ext4.directory), []);
});

// The ways that the daemon serves volumes in; test/integration/posix.test.ts does it with real daemons.
for (const [whose, leased] of [
  ['of one host', false],
  ['that others may have mounted as well', true],
] as const) {
  test(`a volume ${whose} behaves as ext4 does`, { timeout: 300_000 }, async () => {
    await using mounted = await Mounted.start({ leased }, 'volume');
    assert.deepEqual(await suiteFailures(mounted.directory), [], mounted.log);
    const { inFlight, failures } = await mounted.statistics();
    assert.deepEqual({ inFlight, failures }, { inFlight: 0, failures: 0 });
  });
}
