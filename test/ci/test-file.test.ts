import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { runTestFile } from '../../.ci/test-file.ts';

/** A process that is a zombie has ended: nobody here collects it. */
function lives(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]![0] !== 'Z';
  } catch {
    return false;
  }
}

test('a file that does not end is killed with what it started, counts as failed, and is named', async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-ci-'));
  t.after(() => rm(directory, { recursive: true }));
  const [file, pids] = [path.join(directory, 'hangs.test.mjs'), path.join(directory, 'pids')];
  await writeFile(
    file,
    `import { spawn } from 'node:child_process';
     import { renameSync, writeFileSync } from 'node:fs';
     const child = spawn('sleep', ['1000'], { stdio: 'inherit' });
     writeFileSync(${JSON.stringify(`${pids}.part`)}, process.pid + ' ' + child.pid);
     renameSync(${JSON.stringify(`${pids}.part`)}, ${JSON.stringify(pids)});`,
  );
  const deadline = new AbortController();
  const running = runTestFile(file, deadline.signal);
  while (!existsSync(pids)) await sleep(10);
  deadline.abort();
  const { batch, printed, late } = await running;
  assert.deepEqual([late, batch.failed, batch.broken], [true, 1, true]);
  assert.ok(printed.includes(`${file} did not end in time`));
  for (const pid of readFileSync(pids, 'utf8').split(' ').map(Number)) while (lives(pid)) await sleep(10);
});

test('of a file that does not end it is told which test is under way, and that it is busy', async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-ci-'));
  t.after(() => rm(directory, { recursive: true }));
  const [file, begun] = [path.join(directory, 'spins.test.mjs'), path.join(directory, 'begun')];
  await writeFile(
    file,
    `import { writeFileSync } from 'node:fs';
     import { suite, test } from 'node:test';
     test('is done', () => {});
     suite('a suite', () => {
       test('goes round', () => new Promise((resolve) => setTimeout(resolve, 200)).then(() => {
         writeFileSync(${JSON.stringify(begun)}, '');
         for (;;);
       }));
     });`,
  );
  const deadline = new AbortController();
  const running = runTestFile(file, deadline.signal);
  while (!existsSync(begun)) await sleep(10);
  deadline.abort();
  const { printed } = await running;
  const said = printed.slice(printed.indexOf('did not end in time'));
  assert.match(said, /^under way: .*goes round/m);
  assert.doesNotMatch(said, /is done/);
  assert.match(said, /state R, \d+ % of a processor/);
});

test('a file that ends is judged by what it printed', async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-ci-'));
  t.after(() => rm(directory, { recursive: true }));
  const file = path.join(directory, 'ends.test.mjs');
  await writeFile(file, `import { test } from 'node:test'; test('one', () => {}); test.skip('two', () => {});`);
  const { batch, late } = await runTestFile(file, new AbortController().signal);
  assert.deepEqual([late, batch], [false, { passed: 1, failed: 0, skipped: 1, files: [], broken: false }]);
});

test('who interrupts a run ends all files that are under way', async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-ci-'));
  t.after(() => rm(directory, { recursive: true }));
  const at = (name: string): string => path.join(directory, name);
  const module = JSON.stringify(path.resolve(import.meta.dirname, '../../.ci/test-file.ts'));
  for (const name of ['a', 'b'])
    await writeFile(
      at(`${name}.mjs`),
      `import { renameSync, writeFileSync } from 'node:fs';
       writeFileSync(${JSON.stringify(at(`${name}.part`))}, String(process.pid));
       renameSync(${JSON.stringify(at(`${name}.part`))}, ${JSON.stringify(at(name))});
       setInterval(() => {}, 1000);`,
    );
  await writeFile(
    at('run.mjs'),
    `import { runTestFile } from ${module};
     for (const name of ['a', 'b']) void runTestFile(${JSON.stringify(directory)} + '/' + name + '.mjs', new AbortController().signal);`,
  );
  const runner = spawn(process.execPath, [at('run.mjs')], { stdio: 'ignore' });
  const ended = once(runner, 'exit');
  while (!existsSync(at('a')) || !existsSync(at('b'))) await sleep(10);
  runner.kill('SIGTERM');
  assert.deepEqual(await ended, [130, null]);
  for (const name of ['a', 'b']) {
    const pid = Number(readFileSync(at(name), 'utf8'));
    while (lives(pid)) await sleep(10);
  }
});

test('a file that ends before its tests have ended has failed, whatever it exits with', async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-ci-'));
  t.after(() => rm(directory, { recursive: true }));
  const file = path.join(directory, 'exits.test.mjs');
  await writeFile(file, `import { test } from 'node:test'; test('one', () => process.exit(0)); test('two', () => {});`);
  const { batch } = await runTestFile(file, new AbortController().signal);
  assert.deepEqual([batch.failed, batch.broken], [1, true]);
});

test('what a file throws once its tests have ended counts as a failure', async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-ci-'));
  t.after(() => rm(directory, { recursive: true }));
  const file = path.join(directory, 'throws.test.mjs');
  await writeFile(file, `import { test } from 'node:test'; test('one', () => void setTimeout(() => { throw new Error('late'); }, 10));`);
  const { batch } = await runTestFile(file, new AbortController().signal);
  assert.deepEqual(batch, { passed: 1, failed: 1, skipped: 0, files: [file], broken: false });
});
