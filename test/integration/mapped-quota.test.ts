/** What programs change in mapped memory finds no room on a volume with a size: they hear of it, and none is shown what was there before. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { ClusterProcesses } from './cluster-processes.ts';
import { DaemonProcess } from './daemon-process.ts';
import { startToldProgram } from './told-program.ts';

const mebibyte = 1024 * 1024;
const size = '16M';
const bytes = 20 * mebibyte;

/** What msync and fsync say to a program that fills a file in `place`, and what it finds in its memory afterwards. */
async function fill(place: string): Promise<{ readonly synced: string; readonly found: string }> {
  await using temporary = await mkdtempDisposable(path.join(tmpdir(), 'infinit-filler-'));
  const source = path.join(temporary.path, 'source');
  await writeFile(source, randomBytes(bytes));
  const program = startToldProgram('filler.ts', path.join(place, 'f'), source, String(bytes));
  try {
    const synced = await program.said();
    const looked = program.said();
    program.child.stdin!.end('go');
    return { synced, found: await looked };
  } finally {
    program.child.kill('SIGKILL');
  }
}

test('on a host alone, whose kernel keeps what it could not write, msync says so', async () => {
  await using temporary = await mkdtempDisposable(path.join(tmpdir(), 'infinit-mapped-quota-'));
  await chmod(temporary.path, 0o711);
  await using daemon = await DaemonProcess.start(temporary.path);
  const { synced, found } = await fill(await daemon.mount('data', { size }));
  assert.match(synced, /^ENOSPC/);
  assert.equal(found, 'as it wrote it');
});

test('on the host that serves the volume to another, and on that, msync says so, and who touches that memory afterwards gets SIGBUS', async () => {
  await using cluster = await ClusterProcesses.start(2);
  const [first, second] = cluster.hosts;
  const places = [await first!.mount('data', { size }), await second!.mount('data', { size })];
  for (const place of places) {
    const { synced, found } = await fill(place);
    assert.match(synced, /^ENOSPC/);
    assert.equal(found, 'an unexpected EFAULT');
  }
});
