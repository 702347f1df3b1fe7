import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';

import { addressOfName } from '../../src/api/index.ts';
import { type ValueHost, ValueHosts } from '../node/daemon-double.ts';

interface Result {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

function start(host: ValueHost, args: readonly string[]): ReturnType<typeof spawn> {
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', 'src/cli/main.ts', '--control-socket', host.socketPath, 'block', ...args]);
}

async function infinit(host: ValueHost, input: string, ...args: string[]): Promise<Result> {
  const child = start(host, args);
  child.stdin!.end(input);
  const [out, error, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'close')]);
  return { code: code as number, out: out.trimEnd(), error };
}

test('of a file or an input without an end no more is read than a block may hold', async () => {
  await using cluster = await ValueHosts.start(1);
  const [host] = cluster.hosts as [ValueHost];
  const { code, error } = await infinit(host, '', 'put', '/dev/zero');
  assert.deepEqual([code, error], [2, 'infinit: too-large: /dev/zero has more than 4194304 bytes\n']);
  const child = start(host, ['put', '-']);
  child.stdin!.on('error', () => {});
  const [said] = await Promise.all([text(child.stderr!), pipeline(createReadStream('/dev/zero'), child.stdin!).catch(() => {})]);
  assert.match(said, /too-large: standard input has more/);
});

test('the exit code says how it ended: 0 done, 2 usage, 3 not found, 4 conflict, 5 no majority', async () => {
  await using cluster = await ValueHosts.start(3);
  const [here, there] = cluster.hosts as [ValueHost, ValueHost, ValueHost];
  const address = (await infinit(here, 'kept', 'put')).out;
  assert.deepEqual(await infinit(there, '', 'get', address), { code: 0, out: 'kept', error: '' });
  const mutable = (await infinit(here, 'one', 'put', '--mutable')).out;
  assert.equal((await infinit(there, '', 'update', mutable, 'two', '--expect', '1')).out, '2');
  assert.equal((await infinit(there, 'three', 'update', mutable, '-', '--expect', '1')).code, 4);
  assert.equal((await infinit(here, 'x', 'put', '--named', 'leader')).code, 0);
  const ended = (code: number, error: string): Result => ({ code, out: '', error: `infinit: ${error}\n` });
  assert.deepEqual(await infinit(there, 'y', 'put', '--named', 'leader'), ended(4, 'conflict: block @leader is at version 1'));
  assert.equal((await infinit(there, '', 'get', '@leader')).out, 'x');
  assert.deepEqual(await infinit(there, '', 'get', '@nobody'), ended(3, 'not-found: there is no block @nobody'));
  assert.deepEqual(await infinit(there, 'y', 'update', '@nobody'), ended(3, 'not-found: there is no block @nobody'));
  assert.equal((await infinit(there, '', 'rm', '@leader')).code, 0);
  assert.deepEqual(await infinit(there, '', 'rm', '@leader'), ended(3, 'not-found: there is no block @leader'));
  assert.equal((await infinit(here, '', 'get', 'no address')).code, 2);
  assert.equal((await infinit(here, '', 'update', mutable, 'x', '--expect', 'soon')).code, 2);
  cluster.network.partition(['host-0'], ['host-1', 'host-2']);
  assert.equal((await infinit(here, '', 'get', mutable, '--timeout', '0.5')).code, 5);
  // Nobody knows its address by heart.
  for (const words of [
    ['put', '--named', 'cut-off'],
    ['update', '@cut-off', 'value'],
    ['get', '@cut-off'],
  ]) {
    const { code, error } = await infinit(here, 'value', ...words, '--timeout', '0.5');
    assert.equal(code, 5, error);
    assert.ok(error.includes('@cut-off') && !error.includes(addressOfName('cut-off')), error);
  }
});

test('a version is had from put; a text given for a file, or a file’s name for its content, comes with what to say instead', async () => {
  await using cluster = await ValueHosts.start(1);
  const host = cluster.hosts[0]!;
  const { address, version } = JSON.parse((await infinit(host, 'one', 'put', '--named', 'app', '--format', 'json')).out) as Record<string, unknown>;
  assert.deepEqual([address, version], [addressOfName('app'), 1]);
  assert.equal((await infinit(host, 'one', 'put', '--mutable', '--format', '{{.Version}}')).out, '1');
  const missing = await infinit(host, '', 'put', 'hello');
  assert.equal(missing.code, 2);
  assert.match(missing.error, /^infinit: bad-argument: hello: .*: a text comes on standard input: `echo hello \| infinit block put -`\n$/);
  const { code, out, error } = await infinit(host, '', 'update', '@app', 'package.json');
  assert.deepEqual([code, out], [0, '2']);
  assert.match(error, /the text "package\.json", not what is in the file .*: infinit block update @app --file package\.json\n$/);
  assert.deepEqual(await infinit(host, '', 'update', '@app', '--file', 'package.json'), { code: 0, out: '3', error: '' });
  assert.equal((await infinit(host, '', 'get', '@app')).out, (await readFile('package.json', 'utf8')).trimEnd());
  assert.equal((await infinit(host, '', 'update', '@app', 'x', '--file', 'package.json')).code, 2);
  assert.deepEqual(await infinit(host, '', 'update', '@app', 'no such file'), { code: 0, out: '4', error: '' });
});

test('inspect shows each host, and watch each change until it is interrupted', async () => {
  await using cluster = await ValueHosts.start(3);
  const [here, there] = cluster.hosts as [ValueHost, ValueHost, ValueHost];
  const { address } = await here.infinit.blocks.create('one');
  const { out } = await infinit(there, '', 'inspect', address);
  const nothing = await infinit(there, '', 'inspect', '@nothing');
  assert.deepEqual([nothing.code, nothing.error], [3, 'infinit: not-found: no host has a block @nothing\n']);
  assert.match(out, /mutable, owner program, 3 of 3 copies are up to date/);
  for (const { name } of cluster.hosts) assert.match(out, new RegExp(`^${name} +ok +1 `, 'm'));
  const watch = start(there, ['watch', address]);
  const lines = createInterface({ input: watch.stdout! })[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, '1\tone');
  await here.infinit.blocks.update(address, 'two');
  assert.equal((await lines.next()).value, '2\ttwo');
  watch.kill('SIGINT');
  await once(watch, 'close');
});
