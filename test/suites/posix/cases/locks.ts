import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as sys from '../syscalls.ts';
import { type Cases, gives } from '../scene.ts';

const [shared, exclusive, nonBlocking, unlock] = [1, 2, 4, 8];
const syscalls = JSON.stringify(new URL('../syscalls.ts', import.meta.url).pathname);

/** Another process that runs `body` with `s` the system calls, `fd` the file opened, and prints what it returns. */
function other(path: string, body: string): ReturnType<typeof spawn> {
  const program = `import(${syscalls}).then((s) => {
    const fd = s.must(s.open(${JSON.stringify(path)}, s.O.RDWR));
    console.log('ready');
    console.log(JSON.stringify((() => { ${body} })()));
  })`;
  return spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** What it prints after "ready". */
async function outcome(child: ReturnType<typeof spawn>): Promise<unknown> {
  let said = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (said += text));
  await once(child, 'close');
  return JSON.parse(said.split('\n')[1]!) as unknown;
}

const write = (start: number, length: number): sys.Lock => ({ type: 'write', start, length });
const read = (start: number, length: number): sys.Lock => ({ type: 'read', start, length });

const take = (fd: number, lock: sys.Lock): sys.Result => sys.lock(fd, sys.F.OFD_SETLK, lock).result;

export const locks: Cases = {
  'flock: many may share, one excludes all': (scene) => {
    const file = scene.file('file');
    const fds = [1, 2, 3].map(() => sys.must(sys.open(file, sys.O.RDONLY)));
    const [one, two, three] = fds as [number, number, number];
    gives(sys.flock(one, shared), 0);
    gives(sys.flock(two, shared | nonBlocking), 0);
    gives(sys.flock(three, exclusive | nonBlocking), 'EAGAIN');
    gives(sys.flock(one, unlock), 0);
    gives(sys.flock(two, exclusive | nonBlocking), 0, 'an upgrade');
    gives(sys.flock(one, shared | nonBlocking), 'EAGAIN');
    for (const fd of fds) sys.must(sys.close(fd));
  },
  'locks of an open file conflict by range and type, and end with its last close': (scene) => {
    const file = scene.file('file');
    const [one, two] = [sys.must(sys.open(file, sys.O.RDWR)), sys.must(sys.open(file, sys.O.RDWR))];
    gives(take(one, write(100, 100)), 0);
    gives(take(two, write(0, 100)), 0);
    gives(take(two, read(199, 1)), 'EAGAIN');
    gives(take(two, read(200, 0)), 0);
    gives(take(one, read(300, 10)), 0, 'two readers');
    gives(take(one, write(300, 10)), 'EAGAIN');
    gives(take(one, { type: 'unlock', start: 120, length: 10 }), 0);
    gives(take(two, write(120, 10)), 0, 'in the gap');
    gives(take(two, write(119, 1)), 'EAGAIN');
    sys.must(sys.close(one));
    gives(take(two, write(0, 0)), 0);
    sys.must(sys.close(two));
    const three = sys.must(sys.open(file, sys.O.RDWR));
    gives(take(three, write(0, 0)), 0);
    sys.must(sys.close(three));
  },
  'record locks of a process: seen from another, gone with any close': async (scene) => {
    const file = scene.file('file');
    const [one, two] = [sys.must(sys.open(file, sys.O.RDWR)), sys.must(sys.open(file, sys.O.RDWR))];
    gives(sys.lock(one, sys.F.SETLK, write(10, 10)).result, 0);
    gives(sys.lock(two, sys.F.SETLK, write(15, 1)).result, 0, 'one process does not hinder itself');
    const probe = `return [s.lock(fd, s.F.GETLK, { type: 'read', start: 0, length: 0 }), s.lock(fd, s.F.SETLK, { type: 'write', start: 10, length: 1 }).result,
      s.lock(fd, s.F.SETLK, { type: 'write', start: 20, length: 0 }).result]`;
    assert.deepEqual(await outcome(other(file, probe)), [{ result: 0, type: 'write', pid: process.pid }, 'EAGAIN', 0]);
    sys.must(sys.close(two));
    assert.deepEqual(await outcome(other(file, probe)), [{ result: 0, type: 'unlock', pid: 0 }, 0, 0]);
    sys.must(sys.close(one));
  },
  'who waits for a lock gets it when it is free, a killed one never': async (scene) => {
    const file = scene.file('file');
    const fd = sys.must(sys.open(file, sys.O.RDWR));
    gives(sys.lock(fd, sys.F.SETLK, write(0, 0)).result, 0);
    const waiting = other(file, `return s.lock(fd, s.F.SETLKW, { type: 'write', start: 5, length: 5 }).result`);
    const doomed = other(file, `return s.lock(fd, s.F.SETLKW, { type: 'write', start: 5, length: 5 }).result`);
    await Promise.all([once(waiting.stdout!, 'readable'), once(doomed.stdout!, 'readable')]);
    const ended = once(doomed, 'exit');
    await new Promise((resolve) => setTimeout(resolve, 50));
    doomed.kill('SIGKILL');
    await ended;
    const result = outcome(waiting);
    gives(sys.lock(fd, sys.F.SETLK, { type: 'unlock', start: 0, length: 0 }).result, 0);
    assert.equal(await result, 0);
    gives(sys.lock(fd, sys.F.SETLK, write(0, 0)).result, 0, 'what it took went with it');
    sys.must(sys.close(fd));
  },
  'a process that dies takes its locks along': async (scene) => {
    const file = scene.file('file');
    const holder = other(
      file,
      `const a = s.lock(fd, s.F.SETLK, { type: 'write', start: 0, length: 0 }).result; const b = s.flock(fd, 2); return [a, b]`,
    );
    assert.deepEqual(await outcome(holder), [0, 0]);
    const fd = sys.must(sys.open(file, sys.O.RDWR));
    gives(sys.lock(fd, sys.F.SETLK, write(0, 0)).result, 0);
    gives(sys.flock(fd, exclusive | nonBlocking), 0);
    sys.must(sys.close(fd));
  },
};
