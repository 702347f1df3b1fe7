import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { type ValueHost, ValueHosts } from '../node/daemon-double.ts';

const run = promisify(execFile);

function environment(host: ValueHost): { env: NodeJS.ProcessEnv } {
  return { env: { ...process.env, INFINIT_CONTROL_SOCKET: host.socketPath, NODE_OPTIONS: '--disable-warning=ExperimentalWarning' } };
}

async function example(host: ValueHost, name: string, ...args: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [`examples/${name}.ts`, ...args], environment(host));
  return stdout.trim();
}

/** One that runs until it is killed, and the lines that it prints. */
class Running implements AsyncDisposable {
  readonly #child: ChildProcess;
  #text = '';

  constructor(host: ValueHost, name: string, ...args: string[]) {
    this.#child = spawn(process.execPath, [`examples/${name}.ts`, ...args], { ...environment(host), stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.#text += text));
  }

  async prints(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#text)) await once(this.#child.stdout!, 'data', { signal: AbortSignal.timeout(20_000) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}

test('the counter: three programs on three hosts lose no count', async () => {
  await using cluster = await ValueHosts.start(3);
  const results = await Promise.all(cluster.hosts.map((host) => example(host, 'counter', 'visits', '20')));
  assert.ok(results.includes('60'), results.join());
});

test('the files: what was put on one host is got on another, and the same file has the same address', async () => {
  await using cluster = await ValueHosts.start(3);
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-example-'));
  const [source, copy] = [path.join(directory, 'a'), path.join(directory, 'b')];
  const content = randomBytes(2_500_000);
  await writeFile(source, content);
  const address = await example(cluster.hosts[0]!, 'files', 'put', source);
  assert.equal(await example(cluster.hosts[1]!, 'files', 'put', source), address);
  await example(cluster.hosts[2]!, 'files', 'get', address, copy);
  assert.ok(content.equals(await readFile(copy)));
  const list = await cluster.hosts[0]!.infinit.blocks.put('no list of parts');
  for (const [words, message] of [
    [['get', 'deadbeef', copy], /deadbeef/],
    [['get', address.replace(/.{8}$/, '00000000'), copy], /there is no|not hash|not found/],
    [['get', list, copy], /no file that was put/],
    [['put', path.join(directory, 'none')], /ENOENT/],
  ] as const) {
    await assert.rejects(example(cluster.hosts[0]!, 'files', ...words), (error: { readonly code: number; readonly stderr: string }) => {
      assert.match(error.stderr, message);
      assert.deepEqual([error.code, error.stderr.trim().split('\n').length], [1, 1], error.stderr);
      return true;
    });
  }
  assert.ok(content.equals(await readFile(copy)), 'what was there stays where there is nothing to put in its place');
  await rm(directory, { recursive: true });
});

test('the leader: one leads, and when it is killed the other takes over', async () => {
  await using cluster = await ValueHosts.start(3);
  await using second = await (async () => {
    await using first = new Running(cluster.hosts[0]!, 'leader', 'job', 'first');
    await first.prints(/first leads, token 2/);
    return new Running(cluster.hosts[1]!, 'leader', 'job', 'second');
  })();
  await second.prints(/second leads, token \d/);
});

test('the configuration: a program follows what others write', async () => {
  await using cluster = await ValueHosts.start(3);
  const { blocks } = cluster.hosts[1]!.infinit;
  await using program = new Running(cluster.hosts[0]!, 'config', 'app');
  await program.prints(/no configuration yet/);
  await blocks.createNamed('app', 'one');
  await program.prints(/version 1: one/);
  await blocks.update(blocks.named('app'), 'two');
  await program.prints(/version 2: two/);
});
