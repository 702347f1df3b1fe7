import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { existsSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Worker } from 'node:worker_threads';

import { parseVolumeOptions } from '../../src/api/index.ts';
import { silentLogger, systemClock } from '../../src/base/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { type AdoptedMount, type HolderClient, listMounts } from '../../src/fuse/index.ts';
import type { CatalogueEntry } from '../../src/node/volumes/catalogue-entry.ts';
import { VolumeServer, type VolumeServerContext } from '../../src/node/volumes/volume-server.ts';
import type { VolumeWorkerData } from '../../src/node/volumes/volume-worker-protocol.ts';
import { Store } from '../../src/store/index.ts';

const entry = (name: string, digit: string): CatalogueEntry => ({
  name,
  id: digit.repeat(32),
  options: parseVolumeOptions({}),
  createdAt: '2026-01-01T00:00:00.000Z',
});

interface Scene extends AsyncDisposable {
  readonly directory: string;
  readonly released: number[];
  server(startThread: VolumeServerContext['startThread'], inherited?: readonly AdoptedMount[]): VolumeServer;
}

async function scene(t: TestContext): Promise<Scene> {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-server-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const disk = new MemoryDisk();
  const store = await Store.open({ self: 'a', incarnation: 1, disk, logger: silentLogger });
  const released: number[] = [];
  return {
    directory,
    released,
    server: (startThread, inherited = []) =>
      new VolumeServer({
        store,
        cluster: () => undefined,
        self: 'a',
        hostName: (peer) => peer,
        lostFor: () => new Map(),
        clock: systemClock,
        holder: {
          connected: true,
          inherited: () => inherited,
          register: () => {},
          release: (fd: number) => released.push(fd),
        } as unknown as HolderClient,
        runDir: directory,
        keyDir: directory,
        logLevel: 'error',
        keepAwake: false,
        isDeleted: () => Promise.resolve(false),
        freeBytes: new SharedArrayBuffer(8),
        logger: silentLogger,
        ...(startThread === undefined ? {} : { startThread }),
      }),
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await disk[Symbol.asyncDispose]();
    },
  };
}

/** A thread that is served at once, and ends when it is told to. */
function thread(): Worker {
  const worker = new EventEmitter();
  setImmediate(() => worker.emit('message', { type: 'ready', init: {} }));
  const terminate = (): Promise<boolean> => Promise.resolve(worker.emit('exit', 0));
  return Object.assign(worker, { postMessage: () => {}, terminate }) as unknown as Worker;
}

function mountOf(name: string, id: string | undefined, mountPoint: string): AdoptedMount {
  const init = {} as AdoptedMount['init'];
  return { volume: name, ...(id === undefined ? {} : { id }), fd: openSync('/dev/null', 'r'), mountPoint, connection: 0, init };
}

function openDescriptors(of: RegExp): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return of.test(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false;
    }
  }).length;
}

test('where no thread can be started for a volume nothing stays mounted', async (t) => {
  await using s = await scene(t);
  const place = path.join(s.directory, 'data');
  const devices = openDescriptors(/fuse|memfd:infinit/);
  const server = s.server(() => {
    throw new Error('no thread');
  });
  for (let attempt = 0; attempt < 2; attempt++) {
    await assert.rejects(server.serve(entry('data', '1'), place), /no thread/);
    assert.deepEqual(await listMounts(place), []);
    assert.ok(!existsSync(place));
  }
  assert.equal(openDescriptors(/fuse|memfd:infinit/), devices);
});

test('a mount that outlived its daemon is kept where no thread can be started for it', async (t) => {
  await using s = await scene(t);
  const memories = openDescriptors(/memfd:infinit/);
  const mount = mountOf('data', '1'.repeat(32), path.join(s.directory, 'data'));
  const server = s.server(() => {
    throw new Error('no thread');
  }, [mount]);
  await assert.rejects(server.serve(entry('data', '1'), mount.mountPoint), /no thread/);
  assert.deepEqual([server.keeps('data'), s.released], [true, []]);
  assert.equal(openDescriptors(/memfd:infinit/), memories);
  await server.giveUp('data');
  assert.deepEqual([server.keeps('data'), s.released], [false, [mount.fd]]);
});

test('a mount that outlived its daemon is taken over for its own volume alone, and no volume is served twice', async (t) => {
  await using s = await scene(t);
  const started: string[] = [];
  const startThread = (data: VolumeWorkerData): Worker => {
    started.push(data.volumeId);
    data.store!.close();
    return thread();
  };
  const [kept, old] = [mountOf('data', '1'.repeat(32), path.join(s.directory, 'data')), mountOf('old', undefined, path.join(s.directory, 'old'))];
  const server = s.server(startThread, [kept, old]);
  assert.deepEqual(
    [...server.adoptable()],
    [
      ['data', '1'.repeat(32)],
      ['old', undefined],
    ],
  );
  // The name has another volume by now, and the volume another name.
  await assert.rejects(server.serve(entry('data', '2'), kept.mountPoint), { code: 'in-use', message: /of another volume/ });
  await assert.rejects(server.serve(entry('restored', '1'), path.join(s.directory, 'restored')), { code: 'in-use', message: /already, as "data"/ });
  const served = await server.serve(entry('data', '1'), kept.mountPoint);
  await assert.rejects(server.serve(entry('restored', '1'), path.join(s.directory, 'restored')), { code: 'in-use', message: /already, as "data"/ });
  await server.serve(entry('old', '3'), old.mountPoint);
  assert.deepEqual(started, ['1'.repeat(32), '3'.repeat(32)]);
  // Nothing is mounted there in this mount namespace any more.
  assert.equal(served.detached, true);
});

test('a daemon that stops takes over nothing more, and mounts nothing', async (t) => {
  await using s = await scene(t);
  let started = 0;
  const startThread = (data: VolumeWorkerData): Worker => {
    started++;
    data.store!.close();
    return thread();
  };
  const mount = mountOf('kept', '1'.repeat(32), path.join(s.directory, 'kept'));
  const server = s.server(startThread, [mount]);
  // They have begun, and are about to be given their threads.
  const [kept, fresh] = [server.serve(entry('kept', '1'), mount.mountPoint), server.serve(entry('data', '2'), path.join(s.directory, 'data'))];
  const ends = Promise.all([assert.rejects(kept, { code: 'unavailable' }), assert.rejects(fresh, { code: 'unavailable' })]);
  server.leave();
  await ends;
  assert.deepEqual([started, server.keeps('kept'), s.released, await listMounts(s.directory)], [0, true, [], []]);
});
