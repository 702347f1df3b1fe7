import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

function infinit(...args: readonly string[]): { readonly code: number | null; readonly out: string; readonly error: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', 'src/cli/main.ts', ...args], {
    encoding: 'utf8',
  });
  return { code: status, out: stdout, error: stderr };
}

test('wrong usage names the command whose help tells more', () => {
  assert.deepEqual(infinit('volume', 'create'), {
    code: 2,
    out: '',
    error: "infinit: missing required argument 'name'\nSee `infinit volume create --help`.\n",
  });
  assert.match(infinit('volum', 'ls').error, /unknown command 'volum'\n\(Did you mean volume\?\)\nSee `infinit --help`\.\n$/);
});

test('help of a verb is the verb’s own', () => {
  const { code, out } = infinit('help', 'volume', 'create');
  assert.deepEqual([code, out], [0, infinit('volume', 'create', '--help').out]);
  assert.match(out, /^Usage: infinit volume create /);
});
