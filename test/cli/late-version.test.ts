import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const program = new URL('../../src/cli/main.ts', import.meta.url).pathname;

function infinit(...words: string[]): { readonly code: number | null; readonly out: string; readonly err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, '--control-socket', '/nowhere/control.sock', ...words], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { code: status, out: stdout, err: stderr };
}

test('--version after a command is refused, and does not pass for a command that was carried out', () => {
  const update = infinit('block', 'update', '@visits', '--version', '7', 'value');
  assert.deepEqual([update.code, update.out], [2, '']);
  assert.match(update.err, /^infinit: bad-argument: --version is no option of `infinit block`: .*--expect VERSION/);
  assert.deepEqual([infinit('volume', 'ls', '-V').code, infinit('volume', 'ls', '--version=1').code], [2, 2]);
});

test('--version before a command tells the version, and behind -- it is what a command is about', () => {
  for (const flag of ['--version', '-V']) assert.match(infinit(flag).out, /^\d+\.\d+\.\d+/);
  // It gets as far as the daemon, which is not there.
  assert.equal(infinit('block', 'update', '@visits', '--', '--version').code, 5);
});
