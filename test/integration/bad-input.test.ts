import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';

import { DaemonProcess } from './daemon-process.ts';

/** So many times 64 KiB are sent by each client that knows no end. */
const endlessChunks = 256;

const main = path.resolve(import.meta.dirname, '../../src/cli/main.ts');

interface Answer {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

/** A call with whatever body. */
function raw(daemon: DaemonProcess, method: string, target: string, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: daemon.controlSocket, method, path: target }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode!, ...(JSON.parse(text) as { code: string; message: string }) }));
    });
    call.on('error', reject);
    call.end(body);
  });
}

/** The program with these words: exit code and what it said. */
function infinit(...words: string[]): Promise<{ readonly code: number; readonly said: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...words], { timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), said: stdout + stderr }),
    );
  });
}

/** A second daemon with this state: how it ends. */
function startOn(stateDir: string, directory: string): Promise<{ readonly code: number; readonly said: string }> {
  const at = (name: string): string => path.join(directory, name);
  const places = ['--state-dir', stateDir, '--mount-dir', at('mounts'), '--control-socket', at('control.sock')];
  return infinit('daemon', ...places, '--plugin-socket', 'none', '--docker-socket', 'none', '--listen', 'none');
}

suite('bad input', () => {
  let daemon: DaemonProcess;
  let scratch: string;

  before(async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'infinit-bad-'));
    await chmod(directory, 0o711);
    daemon = await DaemonProcess.start(directory);
    scratch = await mkdtemp(path.join(tmpdir(), 'infinit-bad-scratch-'));
  });
  after(async () => {
    await daemon[Symbol.asyncDispose]();
    await rm(scratch, { recursive: true, force: true });
  });

  const lives = async (): Promise<void> => {
    await daemon.client.createVolume('survivor');
    await daemon.client.removeVolume('survivor');
  };

  test('a control call that makes no sense gets a clear error, and the daemon lives on', async () => {
    for (const body of ['{', 'null', '[]', '"v"', '7', '\0', '{"name":', '{"name":7}', '{}', '']) {
      const { status, code } = await raw(daemon, 'POST', '/v1/volumes', body);
      assert.deepEqual([status, code], [400, 'bad-argument'], body);
    }
    for (const options of [7, 'size=1G', ['size'], { size: 7 }, { size: null }, { size: 'big' }, { sise: '1G' }, { mode: '999' }, { uid: '-1' }]) {
      const { status, message } = await raw(daemon, 'POST', '/v1/volumes', JSON.stringify({ name: 'v', options }));
      assert.equal(status, 400, `${JSON.stringify(options)}: ${message}`);
    }
    assert.equal((await raw(daemon, 'POST', '/v1/volumes', JSON.stringify({ name: 'x'.repeat(9 * 1024 * 1024) }))).code, 'too-large');
    for (const [method, target] of [
      ['GET', '/v1/nothing'],
      ['POST', '/'],
      ['GET', '/v1/volumes/never-made'],
      ['DELETE', '/v1/volumes/never-made'],
      ['POST', '/v1/trash/never-made/restore'],
    ] as const) {
      assert.deepEqual((await raw(daemon, method, target)).code, 'not-found', `${method} ${target}`);
    }
    assert.equal((await raw(daemon, 'PUT', '/v1/volumes')).status, 405);
    assert.equal((await raw(daemon, 'POST', '/v1/volumes/never-made/mount', '{}')).code, 'bad-argument');
    assert.equal((await raw(daemon, 'POST', '/v1/volumes/never-made/mount', '{"holder":"me"}')).code, 'not-found');
    assert.ok((await raw(daemon, 'GET', '/v1/volumes/%ff%00')).status >= 400);
    assert.deepEqual(await daemon.client.listVolumes(), []);
    await lives();
  });

  test('clients that send garbage or no end, or ask and never read, harm nobody', async () => {
    const sockets: Socket[] = [];
    const upgrade = 'GET /v1/frames HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: infinit/1\r\n\r\n';
    const greetings = [
      '',
      'GET / HTTP/1.1\r\nX: ',
      'POST /v1/volumes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n',
      upgrade,
      `${upgrade}\0\0\0\0`,
    ];
    for (const greeting of greetings) {
      for (const filler of [
        randomBytes(65_536),
        Buffer.alloc(65_536, 'x'),
        Buffer.alloc(65_536, '1\r\nx\r\n'),
        Buffer.alloc(65_536, 'GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n'),
      ]) {
        const socket = connect(daemon.controlSocket);
        sockets.push(socket);
        // It is cut off, as it should be.
        socket.on('error', () => {});
        // Nothing that comes back is read.
        socket.pause();
        socket.write(greeting);
        for (let chunk = 0; chunk < endlessChunks; chunk++) socket.write(filler);
      }
    }
    for (let round = 0; round < 5; round++) {
      await lives();
      await daemon.client.status();
    }
    for (const socket of sockets) socket.destroy();
    await lives();
  });

  test('names that could leave the mount directory, are too long or hold odd bytes are refused by every door', async () => {
    for (const name of ['', '.', '..', '../up', 'a/b', '/', 'a b', 'a\0b', 'ä', '-rf', '.hidden', 'x'.repeat(300), 'a\nb']) {
      await assert.rejects(daemon.client.createVolume(name), { code: 'bad-argument' }, JSON.stringify(name));
    }
    await daemon.client.createVolume('fine');
    await daemon.client.removeVolume('fine');
    await daemon.client.createVolume('listed');
    await assert.rejects(daemon.client.restoreVolume('fine', '../up'), { code: 'bad-argument' });
    for (const [words, code] of [
      [['volume', 'create', '../up'], 2],
      [['volume', 'create', 'v', '-o', 'sise=1G'], 2],
      [['volume', 'inspect', 'never-made'], 3],
      [['volume', 'explode'], 2],
      [['volume', 'ls', '--filter', 'colour=blue'], 2],
      [['volume', 'ls', '--format', '{{.Nothing}}'], 2],
      [['volume', 'update', 'fine'], 2],
    ] as const) {
      const ended = await infinit('--control-socket', daemon.controlSocket, ...words);
      assert.equal(ended.code, code, `${words.join(' ')}: ${ended.said}`);
      assert.match(ended.said, /^infinit: /m, words.join(' '));
    }
    await daemon.client.removeVolume('listed');
    await lives();
  });

  test('a state directory that another daemon has, of another version, or of something else, is refused in words', async () => {
    const own = path.join(daemon.directory, 'state');
    const taken = await startOn(own, scratch);
    assert.notEqual(taken.code, 0);
    assert.match(taken.said, /infinit: locked: .*\d+/);
    const foreign = path.join(scratch, 'foreign');
    await mkdir(path.join(foreign, 'store'), { recursive: true });
    await writeFile(path.join(foreign, 'store', 'holiday.jpg'), 'not a store');
    assert.match((await startOn(foreign, scratch)).said, /wrong-version: .*holiday\.jpg.*not a store/);
    const later = path.join(scratch, 'later');
    await mkdir(path.join(later, 'store'), { recursive: true });
    const format = await readFile(path.join(own, 'store', 'format'), 'utf8');
    await writeFile(path.join(later, 'store', 'format'), format.replace(/\d+/, '999'));
    assert.match((await startOn(later, scratch)).said, /wrong-version: .*999/);
    const file = path.join(scratch, 'file');
    await writeFile(file, 'a file');
    assert.match((await startOn(file, scratch)).said, /infinit: [a-z-]+: .*file/);
    assert.match((await infinit('daemon', '--replicas', '2')).said, /bad-argument: --replicas: "2" is not 1, 3, 5, 7 or 9/);
    await lives();
  });
});
