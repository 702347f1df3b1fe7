import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { ClusterProcesses } from './cluster-processes.ts';
import { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

/** File systems of their own, for a store each. */
class Media implements Disposable {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'infinit-media-'));
  readonly places: string[] = [];

  constructor(count: number) {
    for (let index = 0; index < count; index++) {
      const place = path.join(this.directory, String(index));
      mkdirSync(place);
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256m', 'tmpfs', place]);
      this.places.push(place);
    }
  }

  /** Another program takes what is left, to the last byte. */
  async fill(): Promise<void> {
    for (const place of this.places) assert.match(await sh(`cat /dev/zero 2>&1 >> ${place}/filler || true`), /No space left/);
  }

  async empty(): Promise<void> {
    for (const place of this.places) await sh(`rm ${place}/filler`);
  }

  flagsOf(index: number): string[] {
    return ['--state-dir', path.join(this.places[index]!, 'state')];
  }

  ballast(index: number): number {
    return statSync(path.join(this.places[index]!, 'state', 'store', 'ballast'), { throwIfNoEntry: false })?.size ?? 0;
  }

  [Symbol.dispose](): void {
    for (const place of this.places) execFileSync('umount', ['-l', place]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await isSo())) {
    assert.ok(performance.now() < deadline, what);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const keep = 'head -c 2000000 /dev/urandom > kept; sync kept; sha256sum kept > sum; sync sum';

/** What is said to a program that writes content, and what goes on. */
async function isFullButServes(place: string): Promise<void> {
  await assert.rejects(sh('head -c 3000000 /dev/urandom > more; sync more', { cwd: place }), /No space left/);
  await sh('rm -f more; mkdir made; rmdir made; sync .', { cwd: place });
  assert.match(await sh('sha256sum -c sum', { cwd: place }), /OK/);
}

async function isWritable(place: string): Promise<void> {
  await until('it takes writes again', () =>
    sh('head -c 3000000 /dev/urandom > after; sync after', { cwd: place }).then(
      () => true,
      () => false,
    ),
  );
  assert.match(await sh('sha256sum -c sum', { cwd: place }), /OK/);
}

test(
  'a host whose file system another program fills refuses content, serves the rest, also after it was killed, and takes writes again by itself',
  { timeout: 300_000 },
  async () => {
    using media = new Media(1);
    const directory = mkdtempSync(path.join(tmpdir(), 'infinit-full-'));
    await using daemon = await DaemonProcess.start(directory, media.flagsOf(0));
    const place = await daemon.mount('data');
    await sh(keep, { cwd: place });
    await until('room is put aside', () => media.ballast(0) > 0);
    await media.fill();
    await isFullButServes(place);
    assert.match((await daemon.infinit('status')).out, /^READ-ONLY\n.*is full: the file system has no room/);
    await until('it says who took it', async () => /other files than those of this store take most of it/.test((await daemon.infinit('doctor')).out));

    await daemon.crash();
    await isFullButServes(place);
    await daemon.kill();
    execFileSync('umount', ['-l', place]);
    await media.fill();
    await daemon.restart();
    assert.equal(await daemon.client.mountVolume('data', 'test'), place);
    await isFullButServes(place);

    await media.empty();
    await isWritable(place);
    await until('it is healthy', async () => (await daemon.says('status')).startsWith('HEALTHY'));
  },
);

test('with the file systems of all three hosts filled by others, none of them keeps a program waiting', { timeout: 300_000 }, async () => {
  using media = new Media(3);
  await using cluster = await ClusterProcesses.start(1, tmpdir(), media.flagsOf(0));
  for (const index of [1, 2]) await cluster.add(media.flagsOf(index));
  await cluster.complete();
  const places = [await cluster.hosts[0]!.mount('data')];
  for (const host of cluster.hosts.slice(1)) places.push(await host.client.mountVolume('data', 'test'));
  await sh(keep, { cwd: places[0]! });
  await until('room is put aside', () => [0, 1, 2].every((index) => media.ballast(index) > 0));
  await media.fill();
  for (const place of places) {
    // A minute is how long an operation waits whose hosts say nothing.
    await assert.rejects(sh('head -c 3000000 /dev/urandom > more; sync more', { cwd: place, timeoutMs: 50_000 }), /No space left/);
    assert.match(await sh('sha256sum -c sum', { cwd: place, timeoutMs: 50_000 }), /OK/);
  }
  // What the serving host could not write out is removed there, by which the others are served again.
  await sh('rm -f more; mkdir made; rmdir made; sync .', { cwd: places[0]!, timeoutMs: 50_000 });
  await media.empty();
  for (const place of places) await isWritable(place);
});
