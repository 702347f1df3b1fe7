/** What a clone says and does whose modules are not there yet. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type TestContext, test } from 'node:test';

const source = path.resolve(import.meta.dirname, '../../src/cli');

/** "Installs" once there is a file `go`, and notes that it did. */
const npm = `#!/bin/sh
case "$1" in install)
  echo install >> installed
  until [ -e go ]; do sleep 0.05; done
  mkdir -p node_modules/.bin && ln -s /bin/true node_modules/.bin/node && touch node_modules/.package-lock.json ;;
esac
`;

function cloneWith(t: TestContext, programs: Readonly<Record<string, string>>) {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-modules-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const [scripts, bin] = [path.join(directory, 'src/cli'), path.join(directory, 'bin')];
  for (const made of [scripts, bin]) mkdirSync(made, { recursive: true });
  for (const script of ['modules.sh', 'infinit.sh']) copyFileSync(path.join(source, script), path.join(scripts, script));
  writeFileSync(path.join(directory, 'package-lock.json'), '{}');
  for (const [name, text] of Object.entries(programs)) {
    writeFileSync(path.join(bin, name), text);
    chmodSync(path.join(bin, name), 0o755);
  }
  const run = (script: string) => {
    const child = spawn(path.join(scripts, script), [], { env: { PATH: `${bin}:/usr/bin:/bin` }, stdio: ['ignore', 'pipe', 'pipe'] });
    const said = { out: '', err: '' };
    child.stdout.on('data', (part: Buffer) => (said.out += part.toString()));
    child.stderr.on('data', (part: Buffer) => (said.err += part.toString()));
    const exited = once(child, 'exit').then(([code]) => code as number | null);
    return { said, exited };
  };
  return { directory, run };
}

/** Without a limit of its own: the test runner has one. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(20);
}

test('of two installations in one clone the second waits for the first, and has nothing to install then', async (t) => {
  const { directory, run } = cloneWith(t, { npm });
  const first = run('modules.sh');
  await until(() => existsSync(path.join(directory, 'installed')));
  const second = run('modules.sh');
  await until(() => second.said.err.includes('another installation is under way'));
  writeFileSync(path.join(directory, 'go'), '');
  assert.deepEqual([await first.exited, await second.exited], [0, 0], second.said.err);
  assert.equal(readFileSync(path.join(directory, 'installed'), 'utf8'), 'install\n');
  assert.doesNotMatch(second.said.out, /installing/);
});

test('a command in a clone without modules says how to get them, on a host with another Node.js', async (t) => {
  const { run } = cloneWith(t, { node: '#!/bin/sh\necho v20.20.2\n' });
  const { said, exited } = run('infinit.sh');
  assert.deepEqual([await exited, said.out], [1, '']);
  assert.match(said.err, /^infinit: the Node\.js 24 of \S+ is not there, or not yet: `sudo npm start` in that directory installs it$/m);
});
