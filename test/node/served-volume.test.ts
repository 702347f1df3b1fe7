import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { Worker } from 'node:worker_threads';

import { parseVolumeOptions } from '../../src/api/index.ts';
import { createLogger } from '../../src/base/index.ts';
import type { FuseMount, HolderClient } from '../../src/fuse/index.ts';
import type { CatalogueEntry } from '../../src/node/catalogue-entry.ts';
import { ServedVolume } from '../../src/node/served-volume.ts';

test('a thread that dies of an error says so with the volume’s name, and the volume ends', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-served-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const lines: string[] = [];
  const logger = createLogger('info', (level, line) => lines.push(`${level}: ${line}`));
  const entry: CatalogueEntry = {
    name: 'data',
    id: '00112233445566778899aabbccddeeff',
    options: parseVolumeOptions({}),
    createdAt: '2026-01-01T00:00:00.000Z',
  };
  const mount = { fd: openSync('/dev/null', 'r'), mountPoint: path.join(directory, 'data') } as FuseMount;
  const released: number[] = [];
  const holder = { register: () => {}, release: (fd: number) => released.push(fd) } as unknown as HolderClient;
  const worker = new EventEmitter() as unknown as Worker;
  const served = new ServedVolume(entry, mount, worker, holder, undefined, logger.with({ volume: entry.name }));
  worker.emit('message', { type: 'ready', init: {} });
  await served.started();
  worker.emit('error', new Error('a bug'));
  worker.emit('exit', 1);
  assert.equal(await served.closed, 'worker exited with 1');
  assert.deepEqual(released, [mount.fd]);
  const said = lines.find((line) => line.startsWith('error: '));
  assert.match(said ?? '', /volume=data/);
  assert.match(said ?? '', /a bug/);
});
