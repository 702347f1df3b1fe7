import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { execFileSync } from 'node:child_process';
import { existsSync, fstatSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { Worker } from 'node:worker_threads';

import { parseVolumeOptions } from '../../src/api/index.ts';
import { createLogger, type Logger, silentLogger } from '../../src/base/index.ts';
import type { FuseMount, HolderClient } from '../../src/fuse/index.ts';
import type { CatalogueEntry } from '../../src/node/volumes/catalogue-entry.ts';
import { NotWrittenOut, ServedVolume } from '../../src/node/volumes/served-volume.ts';

const entry: CatalogueEntry = {
  name: 'data',
  id: '00112233445566778899aabbccddeeff',
  options: parseVolumeOptions({}),
  createdAt: '2026-01-01T00:00:00.000Z',
};

/** A volume whose thread the test plays. */
async function serve(
  directory: string,
  logger: Logger = silentLogger,
  released: number[] = [],
): Promise<{ served: ServedVolume; worker: EventEmitter }> {
  const mount = { fd: openSync('/dev/null', 'r'), mountPoint: path.join(directory, 'data') } as FuseMount;
  const holder = { register: () => {}, release: (fd: number) => released.push(fd) } as unknown as HolderClient;
  const worker = new EventEmitter();
  const served = new ServedVolume(entry, mount, worker as unknown as Worker, holder, undefined, logger.with({ volume: entry.name }));
  worker.emit('message', { type: 'ready', init: {} });
  await served.started();
  return { served, worker };
}

test('a thread that dies of an error says so with the volume’s name, and the volume ends', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-served-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const lines: string[] = [];
  const logger = createLogger('info', (level, line) => lines.push(`${level}: ${line}`));
  const released: number[] = [];
  const { served, worker } = await serve(directory, logger, released);
  worker.emit('error', new Error('a bug'));
  worker.emit('exit', 1);
  assert.equal(await served.closed, 'worker exited with 1');
  assert.equal(released.length, 1);
  const said = lines.find((line) => line.startsWith('error: '));
  assert.match(said ?? '', /volume=data/);
  assert.match(said ?? '', /a bug/);
});

test('a mount that outlived its daemon is kept, with what is in memory, whatever its opening ends with', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-served-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const [mountPoint, released] = [path.join(directory, 'data'), [] as number[]];
  mkdirSync(mountPoint);
  const holder = { register: () => {}, release: (fd: number) => released.push(fd) } as unknown as HolderClient;
  const mount = { fd: openSync('/dev/null', 'r'), memory: openSync('/dev/null', 'r'), mountPoint } as FuseMount;
  const attempt = async (end: (worker: EventEmitter) => void): Promise<{ code: string; kept: boolean }> => {
    const worker = Object.assign(new EventEmitter(), { terminate: () => Promise.resolve(worker.emit('exit', 1)) });
    const served = new ServedVolume(entry, mount, worker as unknown as Worker, holder, undefined, silentLogger, { adopted: true });
    const started = served.started();
    end(worker);
    const code = await started.then(
      () => 'none',
      (error: Error & { code?: string }) => error.code ?? error.message,
    );
    if (code === 'none') worker.emit('message', { type: 'closed', reason: 'failed', error: { code: 'disk-full', message: 'no room' } });
    const { kept } = served;
    await served.closed;
    return { code, kept };
  };
  const failed = { type: 'closed', reason: 'failed', error: { code: 'disk-full', message: 'no room' } };
  assert.deepEqual(await attempt((worker) => worker.emit('message', failed)), { code: 'disk-full', kept: true });
  assert.deepEqual(await attempt((worker) => worker.emit('error', new Error('a bug'))), { code: 'a bug', kept: true });
  assert.deepEqual(await attempt((worker) => worker.emit('exit', 1)), { code: 'closed', kept: true });
  assert.deepEqual(released, []);
  assert.ok(existsSync(mountPoint) && fstatSync(mount.fd).isCharacterDevice() && fstatSync(mount.memory!).isCharacterDevice());
  // Once it was served it ends as any other.
  assert.deepEqual(await attempt((worker) => worker.emit('message', { type: 'ready', init: {} })), { code: 'none', kept: false });
  assert.deepEqual(released, [mount.fd]);
});

for (const isKept of [true, false])
  test(`a volume that stops with its daemon stays mounted only where the holder has it: ${isKept ? 'it has' : 'it was too late to take it'}`, async (t) => {
    const directory = mkdtempSync(path.join(tmpdir(), 'infinit-served-'));
    t.after(() => {
      if (isKept) execFileSync('umount', [path.join(directory, 'data')]);
      rmSync(directory, { recursive: true, force: true });
    });
    const mount = { fd: openSync('/dev/null', 'r'), mountPoint: path.join(directory, 'data') } as FuseMount;
    const asked: boolean[] = [];
    const keeps = (one: FuseMount): Promise<boolean> => {
      asked.push(one === mount && fstatSync(mount.fd).isCharacterDevice());
      return Promise.resolve(isKept);
    };
    const holder = { register: () => {}, release: () => {}, keeps } as unknown as HolderClient;
    const worker = Object.assign(new EventEmitter(), { postMessage: () => {} });
    const served = new ServedVolume(entry, mount, worker as unknown as Worker, holder, undefined, silentLogger);
    worker.emit('message', { type: 'ready', init: {} });
    await served.started();
    mkdirSync(served.mountpoint);
    execFileSync('mount', ['-i', '-t', 'tmpfs', 'none', served.mountpoint]);
    const stopped = served.stop();
    worker.emit('message', { type: 'closed', reason: 'stopped' });
    await stopped;
    assert.deepEqual(asked, [true], 'the holder takes the descriptor while it is open');
    assert.equal(await served.closed, isKept ? 'stopped' : 'unmounted');
    assert.equal(existsSync(served.mountpoint), isKept);
  });

test('an unmount is refused while the last writes cannot be written out, and fails where they were given up', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-served-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const { served, worker } = await serve(directory);
  // Stands for the volume's mount.
  mkdirSync(served.mountpoint);
  execFileSync('mount', ['-i', '-t', 'tmpfs', 'none', served.mountpoint]);
  const answers: object[] = [{ code: 'disk-full', message: 'no room' }, { answer: undefined }];
  const asked: string[] = [];
  const postMessage = ({ id, question }: { id: number; question: { kind: string } }): void => {
    asked.push(question.kind);
    queueMicrotask(() => worker.emit('message', { type: 'told', id, ...answers.shift() }));
  };
  Object.assign(worker, { postMessage });
  await assert.rejects(served.unmount(), (error) => error instanceof NotWrittenOut && error.code === 'disk-full' && /no room/.test(error.message));
  assert.equal(served.detached, false);
  const unmounted = served.unmount();
  while (!served.detached) await new Promise((resolve) => setImmediate(resolve));
  // What the kernel gave with the unmount found no room after all.
  worker.emit('message', { type: 'closed', reason: 'failed', error: { code: 'disk-full', message: 'no room' } });
  await assert.rejects(unmounted, (error) => error instanceof NotWrittenOut && error.code === 'disk-full');
  assert.deepEqual(asked, ['sync', 'sync']);
  assert.ok(!existsSync(served.mountpoint));
});

test('an unmount that may discard what is not written out asks for nothing, and does not mind', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-served-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const { served, worker } = await serve(directory);
  mkdirSync(served.mountpoint);
  execFileSync('mount', ['-i', '-t', 'tmpfs', 'none', served.mountpoint]);
  const unmounted = served.unmount({ discard: true });
  while (!served.detached) await new Promise((resolve) => setImmediate(resolve));
  worker.emit('message', { type: 'closed', reason: 'failed', error: { code: 'disk-full', message: 'no room' } });
  await unmounted;
});

test('an unmount ends, or says why not, before Docker gives up on it', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-served-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const { served, worker } = await serve(directory);
  mkdirSync(served.mountpoint);
  execFileSync('mount', ['-i', '-t', 'tmpfs', 'none', served.mountpoint]);
  const asked = Promise.withResolvers<number>();
  Object.assign(worker, { postMessage: ({ id }: { id: number }) => asked.resolve(id) });
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const unmounted = served.unmount();
  const id = await asked.promise;
  // Nearly all the time that a flush may take, and then one that does not end.
  t.mock.timers.tick(29_000);
  worker.emit('message', { type: 'told', id, answer: undefined });
  while (!served.detached) await new Promise((resolve) => setImmediate(resolve));
  t.mock.timers.tick(25_000);
  await assert.rejects(unmounted, { code: 'in-use', message: /was unmounted, but has not ended/ });
  worker.emit('message', { type: 'closed', reason: 'unmounted' });
  assert.equal(await served.closed, 'unmounted');
});

test('the mount of a volume that was deleted ends, and that it outlived its daemon does not keep it', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-served-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  for (const adopted of [false, true]) {
    const mount = { fd: openSync('/dev/null', 'r'), mountPoint: path.join(directory, 'data') } as FuseMount;
    mkdirSync(mount.mountPoint);
    execFileSync('mount', ['-i', '-t', 'tmpfs', 'none', mount.mountPoint]);
    const released: number[] = [];
    const holder = { register: () => {}, release: (fd: number) => released.push(fd) } as unknown as HolderClient;
    const worker = Object.assign(new EventEmitter(), { terminate: () => Promise.resolve(worker.emit('exit', 1)) });
    const served = new ServedVolume(entry, mount, worker as unknown as Worker, holder, undefined, silentLogger, { adopted });
    const started = served.started();
    if (!adopted) {
      worker.emit('message', { type: 'ready', init: {} });
      await started;
    }
    await served.abandon();
    if (adopted) await assert.rejects(started, { code: 'not-found', message: /deleted on another host/ });
    await served.closed;
    assert.deepEqual([served.kept, released, existsSync(mount.mountPoint)], [false, [mount.fd], false]);
  }
});

test('a volume whose thread dies while it is being unmounted is unmounted, and said to have lost what was not written out', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-served-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const { served, worker } = await serve(directory);
  mkdirSync(served.mountpoint);
  execFileSync('mount', ['-i', '-t', 'tmpfs', 'none', served.mountpoint]);
  Object.assign(worker, { postMessage: () => queueMicrotask(() => worker.emit('exit', 1)) });
  await assert.rejects(served.unmount(), (error) => error instanceof NotWrittenOut && /worker exited with 1/.test(error.message));
  assert.ok(!existsSync(served.mountpoint));
});
