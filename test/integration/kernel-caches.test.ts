/** What a host's kernel has cached of a volume while it had it alone, when other hosts come, and when they take it over. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';

import { eventually } from '../docker/process.ts';
import * as sys from '../suites/posix/syscalls.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import { sh } from './programs.ts';
import { startToldProgram, type ToldProgram } from './told-program.ts';

/** Answers each line with what it reads from the start of a file that it keeps open. */
const readerSource = `const fs = require('node:fs');
const fd = fs.openSync(process.argv[1], 'r');
require('node:readline').createInterface({ input: process.stdin }).on('line', () => {
  const buffer = Buffer.alloc(100);
  console.log(buffer.toString('latin1', 0, fs.readSync(fd, buffer, 0, 100, 0)).trim());
});`;

/** A program that keeps a file open. */
class Reader implements Disposable {
  readonly #child: ChildProcess;

  constructor(file: string) {
    this.#child = spawn(process.execPath, ['-e', readerSource, file], { stdio: ['pipe', 'pipe', 'inherit'] });
  }

  async read(): Promise<string> {
    const answer = once(this.#child.stdout!, 'data');
    this.#child.stdin!.write('\n');
    return String(((await answer) as [Buffer])[0]).trim();
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

/** Gives a file other contents that no size and no time of writing show. */
const secretly = (file: string, text: string): Promise<string> =>
  sh(`touch -r ${file} ${file}.time; printf ${text} 1<> ${file}; touch -r ${file}.time ${file}; rm ${file}.time; sync ${file}`);

suite('a volume that one host had alone', () => {
  let cluster: ClusterProcesses;
  let volumes = 0;
  let name = '';
  before(async () => {
    cluster = await ClusterProcesses.start(3);
  });
  after(() => cluster[Symbol.asyncDispose]());

  /** Waits until the first host has it alone for the `time`th time. */
  const alone = (time: number): Promise<boolean> =>
    eventually('it is alone', async () => {
      const lines = cluster.hosts[0]!.log.split('\n').filter((line) => line.includes(name) && line.includes('no other host uses the volume'));
      return lines.length >= time ? true : undefined;
    });
  const mount = (host: number): Promise<string> => cluster.hosts[host]!.mount(name);
  async function mountAlone(): Promise<string> {
    name = `v${++volumes}`;
    const place = await mount(0);
    await sh(`cd ${place}; mkdir d; printf before > d/open; printf before > d/closed; touch d/gone; cat d/*; ls d; ! test -e d/new`);
    return place;
  }

  test('shows nothing of before once another host has changed it, also in files that stayed open', async () => {
    const here = await mountAlone();
    using reader = new Reader(`${here}/d/open`);
    assert.equal(await reader.read(), 'before');
    const there = await mount(1);
    await secretly(`${there}/d/open`, 'behind');
    assert.equal(await reader.read(), 'behind');
    await secretly(`${there}/d/closed`, 'behind');
    await sh(`cd ${there}/d; rm gone; touch new`);
    assert.equal(await sh(`cd ${here}/d; cat closed; ls; stat -c %n new; ! test -e gone`), 'behindclosed\nnew\nopen\nnew\n');
    await secretly(`${there}/d/open`, 'again.');
    assert.equal(await reader.read(), 'again.');
  });

  test('and pages of a large file while others use it: each of their changes is seen, whoever makes it, also where neither size nor time of writing shows it', async () => {
    const here = await mountAlone();
    const [there, elsewhere] = [await mount(1), await mount(2)];
    await sh(`cd ${there}/d; ls; head -c 1000000 /dev/zero | tr '\\0' a >large; sync large`);
    using first = new Reader(`${here}/d/large`);
    using second = new Reader(`${there}/d/large`);
    const seen = async (text: string): Promise<void> => {
      for (const reader of [first, second, first]) assert.ok((await reader.read()).startsWith(text), text);
    };
    await seen('aaaa');
    for (let turn = 0; turn < 3; turn++) {
      for (const [index, place] of [there, elsewhere, here].entries()) {
        await secretly(`${place}/d/large`, `s${turn}${index}.`);
        await seen(`s${turn}${index}.`);
        await sh(`printf w${turn}${index}. 1<> ${place}/d/large`);
        await seen(`w${turn}${index}.`);
      }
    }
    await sh(`cd ${elsewhere}/d; truncate -s 0 large; head -c 1000000 /dev/zero | tr '\\0' z >>large`);
    await seen('zzzz');
  });

  test('and up to the end, wherever another host moved that since', async () => {
    await mountAlone();
    const places = [`${cluster.hosts[0]!.mountDir}/${name}`, await mount(1), await mount(2)];
    const [length, more] = [300_000, 100_000];
    const scratch = sys.must(sys.open(tmpdir(), sys.O.RDWR | sys.O.TMPFILE, 0o600));
    for (const [here, there] of [
      [0, 1],
      [1, 0],
      [1, 2],
    ] as const)
      for (const syncs of [false, true])
        for (const look of ['read', 'seek', 'map'] as const) {
          const file = `end-${here}-${there}-${look}-${syncs}`;
          const writer = openSync(path.join(places[there]!, file), 'w+');
          writeSync(writer, Buffer.alloc(length, 'a'));
          const reader = openSync(path.join(places[here]!, file), 'r');
          const bytes = Buffer.alloc(2 * (length + more));
          assert.equal(readSync(reader, bytes, 0, bytes.length, 0), length);
          // That it is shorter is seen as it is read.
          for (const end of [length + more, length + 2 * more, ...(look === 'seek' ? [] : [length + more, length + 3 * more])]) {
            if (end < sys.stat(writer).size) ftruncateSync(writer, end);
            else writeSync(writer, Buffer.alloc(end - sys.stat(writer).size, 'b'), 0, end - sys.stat(writer).size, sys.stat(writer).size);
            if (syncs) fsyncSync(writer);
            const what = `${file} up to ${end}`;
            if (look === 'read') assert.equal(readSync(reader, bytes, 0, bytes.length, 0), end, what);
            else if (look === 'seek') assert.equal(sys.lseek(reader, 0, sys.SEEK.END), end, what);
            else {
              assert.equal(sys.stat(reader).size, end);
              using mapping = new sys.Mapping(reader, end, false);
              assert.equal(mapping.copyTo(scratch, 1, end - 1), 1, what);
            }
          }
          closeSync(reader);
          closeSync(writer);
        }
    closeSync(scratch);
  });

  test('shows what other hosts wrote when they are gone and it is alone again', async () => {
    const here = await mountAlone();
    using reader = new Reader(`${here}/d/open`);
    assert.equal(await reader.read(), 'before');
    for (const [time, text] of ['behind', 'again.'].entries()) {
      const there = await mount(1);
      for (const file of ['open', 'closed']) await secretly(`${there}/d/${file}`, text);
      await cluster.hosts[1]!.client.unmountVolume(name, 'test');
      await alone(time + 2);
      assert.equal(await reader.read(), text);
      assert.equal(await sh(`cat ${here}/d/closed`), text);
    }
  });

  test('shows nothing old when another host took it over while this one stood still', async () => {
    const here = await mountAlone();
    await sh(`sync -f ${here}/d`);
    const there = await mount(1);
    await cluster.hosts[1]!.client.unmountVolume(name, 'test');
    await alone(2);
    using reader = new Reader(`${here}/d/open`);
    assert.equal(await reader.read(), 'before');
    const holder = cluster.hosts[0]!.pid;
    const daemon = Number(readFileSync(`/proc/${holder}/task/${holder}/children`, 'utf8').trim().split(' ')[0]);
    process.kill(daemon, 'SIGSTOP');
    try {
      await mount(1);
      await secretly(`${there}/d/open`, 'behind');
      await sh(`rm ${there}/d/gone; sync -f ${there}/d`);
      // Asked while it stands still: only the kernel could answer.
      const read = reader.read();
      const gone = sh(`test ! -e ${here}/d/gone`);
      process.kill(daemon, 'SIGCONT');
      assert.equal(await read, 'behind');
      await gone;
    } finally {
      process.kill(daemon, 'SIGCONT');
    }
    assert.equal(await sh(`cat ${here}/d/open`), 'behind');
  });

  test('gives back the room of files that another host removes, also when its daemon was killed meanwhile', async () => {
    const here = await mountAlone();
    const there = await mount(1);
    const used = async (): Promise<number> => (await cluster.hosts[0]!.client.volumeUsage(name)).usedBytes;
    // Durable, which sync -f does not make them on a FUSE mount: where the daemon is killed the other host takes the volume over.
    const make = (): Promise<string> =>
      sh(`cd ${here}; for file in removed replaced; do head -c 2000000 /dev/urandom > $file; cat $file > /dev/null; done; sync removed replaced .`);
    const remove = (): Promise<string> => sh(`cd ${there}; rm removed; echo > other; mv other replaced; sync -f .`);
    const freed = (): Promise<boolean> => eventually('their room is free', async () => (await used()) < 1_000_000 || undefined, 90_000);
    await make();
    assert.ok((await used()) > 4_000_000);
    await remove();
    await freed();
    await make();
    const holder = cluster.hosts[0]!.pid;
    process.kill(Number(readFileSync(`/proc/${holder}/task/${holder}/children`, 'utf8').trim().split(' ')[0]), 'SIGKILL');
    await eventually('it is served again', () =>
      sh(`ls ${here}`).then(
        () => true,
        () => undefined,
      ),
    );
    assert.ok((await used()) > 4_000_000);
    await remove();
    // Whoever took the volume over waits a minute for programs elsewhere that may have the files open.
    await freed();
  });

  test('writes nothing that programs had changed in mapped memory over what another host wrote after its daemon was killed', async () => {
    const here = await mountAlone();
    await sh(`cd ${here}; printf mapped > source; sync source d/open d .`);
    const map = (file: string): ToldProgram => startToldProgram('mapper.ts', file, `${here}/source`);
    const mapper = map(`${here}/d/open`);
    assert.equal(await mapper.said(), 'mapped');
    const holder = cluster.hosts[0]!.pid;
    const [daemon] = readFileSync(`/proc/${holder}/task/${holder}/children`, 'utf8').trim().split(' ');
    // It starts no other daemon for now.
    process.kill(holder, 'SIGSTOP');
    try {
      process.kill(Number(daemon), 'SIGKILL');
      const there = await mount(1);
      assert.equal(await sh(`cat ${there}/d/open`), 'before');
      await secretly(`${there}/d/open`, 'behind');
      process.kill(holder, 'SIGCONT');
      const synced = mapper.said();
      mapper.child.stdin!.end('go');
      assert.equal(await synced, 'EIO');
      assert.equal(await sh(`cat ${there}/d/open ${here}/d/open`), 'behindbehind');
      await sh(`printf before > ${here}/d/later`);
      // What is opened from then on has no page of before.
      for (const file of ['later', 'closed']) {
        const next = map(`${here}/d/${file}`);
        assert.equal(await next.said(), 'mapped');
        const later = next.said();
        next.child.stdin!.end('go');
        assert.equal(await later, '0');
        assert.equal(await sh(`cat ${there}/d/${file}`), 'mapped');
      }
    } finally {
      process.kill(holder, 'SIGCONT');
      mapper.child.kill('SIGKILL');
    }
  });
});
