import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';

import type { Command } from 'commander';

import { changeableOptions, defaultControlSocket, version, volumeOptions } from '../../src/api/index.ts';
import { createProgram } from '../../src/cli/program.ts';

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
  assert.equal(infinit('volume', 'help', 'create').out, out);
  assert.match(out, /^Usage: infinit volume create /);
  // Nothing after the verb is done.
  assert.match(infinit('help', 'volume', 'rm', 'precious').out, /^Usage: infinit volume rm/);
});

test('help of what there is not is refused; what is called "help" is an argument like another', () => {
  for (const words of [
    ['help', 'volume', 'nope'],
    ['volume', 'help', 'nope'],
  ])
    assert.deepEqual(infinit(...words), { code: 2, out: '', error: "infinit: unknown command 'nope'\nSee `infinit volume --help`.\n" });
  assert.match(infinit('help', 'nope').error, /^infinit: unknown command 'nope'/);
  const { code, error } = infinit('--control-socket', '/nowhere/socket', 'volume', 'create', 'help');
  assert.deepEqual([code, error.startsWith('infinit: unavailable: no daemon')], [5, true], error);
});

test('an empty token file and an empty name are called so, before any daemon is asked', () => {
  const nobody = ['--control-socket', '/nowhere/socket'];
  assert.deepEqual(infinit(...nobody, 'cluster', 'join', '/dev/null', 'a'), {
    code: 2,
    out: '',
    error: 'infinit: bad-argument: the token file /dev/null is empty: make one on a member (`infinit cluster token create FILE`), and copy it here\n',
  });
  assert.equal(infinit(...nobody, 'volume', 'trash', 'restore', 'data', '--as', '').error, 'infinit: bad-argument: a volume needs a name\n');
});

function commandsOf(command: Command, path: readonly string[] = []): (readonly string[])[] {
  return [path, ...command.commands.filter((child) => !child.name().startsWith('_')).flatMap((child) => commandsOf(child, [...path, child.name()]))];
}

test('help fits into 80 columns', () => {
  const commands = commandsOf(createProgram());
  assert.ok(commands.length > 30);
  for (const path of commands) {
    const program = createProgram().configureOutput({ getOutHelpWidth: () => 80 });
    const command = path.reduce((above, name) => above.commands.find((child) => child.name() === name)!, program);
    command.configureOutput({ getOutHelpWidth: () => 80 });
    const wide = command
      .helpInformation()
      .split('\n')
      .filter((line) => line.length > 80);
    assert.deepEqual(wide, [], path.join(' '));
  }
  for (const verb of ['create', 'update'])
    assert.deepEqual(
      infinit('volume', verb, '--help')
        .out.split('\n')
        .filter((line) => line.length > 80),
      [],
    );
});

test('the help of `volume create` tells every option of a volume, that of `volume update` those that can change', () => {
  const optionsIn = (verb: string): readonly string[] =>
    [
      ...infinit('volume', verb, '--help')
        .out.split('Volume options')[1]!
        .matchAll(/^ {2}(?<name>[a-z-]+) /gm),
    ].map(({ groups }) => groups!['name']!);
  assert.deepEqual(
    optionsIn('create'),
    volumeOptions.map(({ name }) => name),
  );
  assert.deepEqual(optionsIn('update').toSorted(), [...changeableOptions].toSorted());
  assert.doesNotMatch(infinit('volume', 'ls', '--help').out, /default: \[\]/);
});

test('version says its own also where no daemon answers', () => {
  const nowhere = ['--control-socket', '/nowhere/socket', 'version'];
  const { code, out, error } = infinit(...nowhere);
  assert.deepEqual([code, out], [5, `Client:  ${version}\n`]);
  assert.match(error, /^infinit: unavailable: no daemon answers .* with --control-socket or INFINIT_CONTROL_SOCKET$/m);
  assert.deepEqual(infinit(...nowhere, '--format', '{{.Client.Version}}'), { code: 0, out: `${version}\n`, error: '' });
});

test('a filter with a value that there is not is refused', () => {
  for (const [wrong, known] of [
    ['mounted=maybe', 'mounted=true|false'],
    ['health=fine', 'health=HEALTHY|DEGRADED|READ-ONLY|UNAVAILABLE'],
    ['dangling=true', 'name=TEXT'],
    ['name', 'name=TEXT'],
  ] as const) {
    const { code, error } = infinit('volume', 'ls', '--filter', wrong);
    assert.equal(code, 2, wrong);
    assert.ok(error.includes(`"${wrong}" is none of`) && error.includes(known), error);
  }
});

/** What the script of bash offers for words as bash itself takes them apart, the last being the one at the cursor. */
function bashOffers(...words: readonly string[]): readonly string[] {
  const script = [
    'infinit() { "$node" --disable-warning=ExperimentalWarning src/cli/main.ts "$@"; }; source <(infinit completion bash); compopt() { :; }',
    'COMP_WORDS=(infinit "$@"); COMP_CWORD=$#; _infinit; printf "%s\\n" "${COMPREPLY[@]}"',
  ].join('\n');
  const { stdout } = spawnSync('bash', ['-c', script, 'bash', ...words], { encoding: 'utf8', env: { ...process.env, node: process.execPath } });
  return stdout.split('\n').filter((line) => line !== '');
}

test('completion knows the values of options and filters, in bash too, which takes "=" for a word', () => {
  assert.equal(infinit('__complete', '--', 'volume', 'create', '-o', 'encryption=').out, 'encryption=aes-256-gcm\nencryption=none\n');
  assert.equal(infinit('__complete', '--', 'volume', 'update', 'x', '-o', 'sticky=').out, 'sticky=false\nsticky=true\n');
  assert.equal(infinit('__complete', '--', 'volume', 'ls', '--filter', 'm').out, 'mounted=false\nmounted=true\n');
  assert.equal(infinit('__complete', '--', 'node', 'ls', '--filter', '').out, 'name=\nstate=\nzone=\n');
  assert.deepEqual(bashOffers('volume', 'create', '-o', 'encryption', '='), ['aes-256-gcm', 'none']);
  assert.deepEqual(bashOffers('volume', 'create', '-o', 'on-remove', '=', 'd'), ['delete']);
  assert.deepEqual(bashOffers('volume', 'create', '-o', 'enc'), ['encryption=']);
  assert.deepEqual(bashOffers('volume', 'create', '-o', 'size', '=', '1G', '--o'), ['--opt']);
});

test('an empty name or directory, as an unset variable leaves it, is refused before anything is asked of a daemon', () => {
  for (const words of [
    ['volume', 'create', ''],
    ['volume', 'mount', 'data', ''],
    ['volume', 'unmount', ''],
    ['volume', 'unmount', 'data', ''],
    ['volume', 'inspect', ''],
    ['cluster', 'token', 'create', '/nowhere/token', '--uses', 'many'],
  ]) {
    const { code, out, error } = infinit('--control-socket', '/nowhere/socket', ...words);
    assert.deepEqual([code, out, error.startsWith('infinit: bad-argument: ')], [2, '', true], `${words.join(' ')}: ${error}`);
  }
});

test('--force to what only asks is answered with what to say', () => {
  for (const words of [
    ['node', 'rm', '-f', 'x'],
    ['volume', 'trash', 'empty', '--force'],
  ]) {
    const hint = 'infinit: bad-argument: --force overrules nothing here: say --yes (-y) for not being asked\n';
    assert.deepEqual(infinit('--control-socket', '/nowhere/socket', ...words), { code: 2, out: '', error: hint });
    assert.doesNotMatch(infinit(...words.slice(0, -1), '--help').out, /--force/);
  }
});

test('an empty INFINIT_CONTROL_SOCKET is none', () => {
  const { stdout } = spawnSync(process.execPath, ['src/cli/main.ts', 'doctor', '--docker-socket', 'none', '--format', 'json'], {
    encoding: 'utf8',
    env: { ...process.env, INFINIT_CONTROL_SOCKET: '' },
  });
  const daemon = (JSON.parse(stdout) as { topic: string; finding: string }[]).find(({ topic }) => topic === 'daemon')!;
  assert.ok(daemon.finding.includes(defaultControlSocket), daemon.finding);
});

test('output that nobody reads, or that nobody keeps, ends without a trace of the program', () => {
  const shell = (line: string): { readonly status: number | null; readonly stderr: string } =>
    spawnSync('bash', ['-c', line], { encoding: 'utf8', env: { ...process.env, node: process.execPath } });
  const completion = '"$node" --disable-warning=ExperimentalWarning src/cli/main.ts completion bash';
  const unread = shell(`set -o pipefail; (sleep 0.1; ${completion}) | true`);
  assert.deepEqual([unread.status, unread.stderr], [0, '']);
  const full = shell(`${completion} > /dev/full`);
  assert.deepEqual([full.status, full.stderr], [1, 'infinit: the output cannot be written: there is no room left on the device (ENOSPC)\n']);
});

test('a verb without its object is told where it is', () => {
  assert.match(infinit('token', 'create', 'file').error, /^infinit: unknown command 'token'; there is `infinit cluster token`\nSee /);
  assert.match(infinit('ls').error, /there is `infinit volume ls`, `infinit node ls`\n/);
});

test('in a directory that was removed a relative path is refused in plain words', () => {
  const main = path.resolve('src/cli/main.ts');
  const script = `cd "$(mktemp -d)" && rmdir "$PWD" && exec "${process.execPath}" --disable-warning=ExperimentalWarning "${main}" daemon --state-dir state`;
  const { status, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
  assert.deepEqual(
    [status, stderr],
    [2, 'infinit: bad-argument: the directory that this was said in was removed: go to another one, or give whole paths\n'],
  );
});
