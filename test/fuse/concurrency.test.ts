import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Mounted } from './mounted.ts';

describe('many requests at a time', () => {
  let mounted: Mounted;
  before(async () => {
    mounted = await Mounted.start({ requestDeadlineMs: 1500 });
  });
  after(() => mounted[Symbol.asyncDispose]());

  test('files made, read and removed in parallel are each right', async () => {
    await mkdir(mounted.path('parallel'));
    const work = async (worker: number): Promise<void> => {
      for (let round = 0; round < 40; round++) {
        const file = mounted.path('parallel', `${worker}-${round}`);
        const text = `${worker}/${round} `.repeat(1 + ((worker * 97 + round * 31) % 5000));
        await writeFile(file, text);
        assert.equal((await stat(file)).size, text.length);
        assert.equal(await readFile(file, 'utf8'), text);
        if (round % 2 === 0) await unlink(file);
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, worker) => work(worker)));
    await rm(mounted.path('parallel'), { recursive: true });
    const { inFlight, failures } = await mounted.statistics();
    assert.deepEqual({ inFlight, failures }, { inFlight: 0, failures: 0 });
  });

  test('one slow request does not hold up the others', async () => {
    await writeFile(mounted.path('slow'), 'slow');
    await mounted.command({ do: 'hold', operation: 'fsync' });
    const file = await open(mounted.path('slow'), 'r+');
    const syncing = file.sync();
    await mounted.held(1);
    await writeFile(mounted.path('quick'), 'quick');
    assert.equal(await readFile(mounted.path('quick'), 'utf8'), 'quick');
    assert.equal((await mounted.statistics()).inFlight, 1);
    await mounted.command({ do: 'release' });
    await syncing;
    await file.close();
  });

  test('a killed process does not wait for a slow answer, one that merely got a signal does', async () => {
    await mounted.command({ do: 'hold', operation: 'statfs' });
    const program = (how: string): string =>
      `${how}; import('node:fs').then((fs) => { fs.statfsSync(${JSON.stringify(mounted.directory)}); console.log('done'); })`;
    const killed = spawn(process.execPath, ['-e', program('')], { stdio: 'ignore' });
    await mounted.held(1);
    killed.kill('SIGKILL');
    // Its request is still held.
    await once(killed, 'exit');
    const signalled = spawn('sh', ['-c', `trap 'true' USR1; stat -f ${mounted.directory} > /dev/null && echo done`], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const ended = once(signalled, 'exit');
    await mounted.held(2);
    signalled.kill('SIGUSR1');
    await setTimeout(300);
    assert.equal(signalled.exitCode, null, 'a signal that kills nobody changes nothing');
    await mounted.command({ do: 'release' });
    const [status] = (await ended) as [number];
    assert.equal(status, 0);
  });

  test('a request that nobody answers fails after the deadline instead of hanging', async () => {
    await mounted.command({ do: 'hold', operation: 'mkdir' });
    await assert.rejects(mkdir(mounted.path('late')), { code: 'ETIMEDOUT' });
    await mounted.command({ do: 'release' });
    await setTimeout(20);
    await mounted.command({ do: 'invalidate', path: '/late', what: 'entry' });
    assert.ok((await stat(mounted.path('late'))).isDirectory(), 'and what happened nevertheless shows');
  });
});
