/** A disk that fails, or is full, for one kind of file of the store at a time: in real daemons, under writes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { ClusterProcesses } from './cluster-processes.ts';
import { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

const { ENOSPC, EIO } = constants.errno;
/** As failing-disk.c lays it out: error, calls that failed, part of the path. */
const faultBytes = 256;
const partAt = 8;

/** What happens to the files of the daemons that are started with it. */
class FailingDisk implements Disposable {
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'infinit-failing-'));
  readonly #file = path.join(this.#directory, 'fault');
  readonly #library = path.join(this.#directory, 'failing-disk.so');

  constructor() {
    execFileSync('cc', ['-shared', '-fPIC', '-O2', '-o', this.#library, path.join(import.meta.dirname, 'failing-disk.c'), '-ldl']);
    writeFileSync(this.#file, new Uint8Array(faultBytes));
  }

  /** Starts daemons that have this disk. */
  async under<T>(start: () => Promise<T>): Promise<T> {
    Object.assign(process.env, { LD_PRELOAD: this.#library, FAILING_DISK: this.#file });
    try {
      return await start();
    } finally {
      delete process.env['LD_PRELOAD'];
      delete process.env['FAILING_DISK'];
    }
  }

  /** From now on what would change files whose path has the part fails. */
  fail(error: number, part: string): void {
    const fault = Buffer.alloc(faultBytes);
    fault.write(part, partAt);
    // Daemons have it mapped: the error comes last.
    this.#write(fault.subarray(4), 4);
    fault.writeInt32LE(error, 0);
    this.#write(fault.subarray(0, 4), 0);
  }

  mend(): void {
    this.#write(new Uint8Array(4), 0);
  }

  /** Calls that failed since the fault began. */
  get failed(): number {
    return readFileSync(this.#file).readInt32LE(4);
  }

  #write(bytes: Uint8Array, at: number): void {
    const file = openSync(this.#file, 'r+');
    writeSync(file, bytes, 0, bytes.length, at);
    closeSync(file);
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await isSo())) {
    assert.ok(performance.now() < deadline, what);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Files that are written and synced one after the other; of those that a sync acknowledged the sums are kept. */
class Writer {
  readonly acknowledged: string[] = [];
  refused = 0;
  #next = 0;
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  async write(place: string, count: number): Promise<void> {
    for (let left = count; left > 0; left--) {
      const name = `${this.#prefix}${this.#next++}`;
      // What was refused is removed: it would be tried again, and count as acknowledged by a later sync.
      const write = sh(`head -c 200000 /dev/urandom > ${name}; sync ${name}; sha256sum ${name}`, { cwd: place, timeoutMs: 80_000 });
      await write.then(
        (sum) => this.acknowledged.push(sum),
        async () => {
          this.refused++;
          await sh(`rm -f ${name}`, { cwd: place, timeoutMs: 80_000 }).catch(() => {});
        },
      );
    }
  }

  /** All that was acknowledged is there, as it was. */
  async check(place: string): Promise<void> {
    const out = await sh('sha256sum --quiet -c - 2>&1', { cwd: place, input: this.acknowledged.join(''), timeoutMs: 80_000 });
    assert.equal(out, '');
  }
}

test(
  'on one host: refused and said, whichever file it is; nothing acknowledged is lost, and all is well afterwards',
  { timeout: 400_000 },
  async () => {
    using disk = new FailingDisk();
    await using daemon = await disk.under(() => DaemonProcess.start(mkdtempSync(path.join(tmpdir(), 'infinit-failing-'))));
    let place = await daemon.mount('data');
    const writer = new Writer('f');
    await writer.write(place, 3);
    const faults = [
      { error: ENOSPC, part: '/store/index/', says: /is full/, passes: true },
      { error: ENOSPC, part: '/store/segment-', says: /is full/, passes: true },
      { error: EIO, part: '/store/index/', says: /failed: .*Input\/output error/, passes: false },
      { error: EIO, part: '/store/segment-', says: /failed: .*EIO/, passes: false },
    ] as const;
    for (const { error, part, says, passes } of faults) {
      disk.fail(error, part);
      // The index takes what was written when nothing more comes.
      await writer.write(place, 1);
      await until(`${part} is written to`, () => Promise.resolve(disk.failed > 0));
      const status = async (): Promise<string> => (await daemon.infinit('status')).out;
      // A disk that is said to be full is asked again after a while, and finds room until something is written.
      let tries = 0;
      await until('it says so', async () => {
        if (tries++ > 0 && passes) await writer.write(place, 1);
        const [told, doctor] = await Promise.all([status(), daemon.infinit('doctor')]);
        return told.startsWith('READ-ONLY') && says.test(told) && says.test(doctor.out);
      });
      await writer.check(place);
      disk.mend();
      if (!passes) {
        await daemon.kill();
        execFileSync('umount', ['-l', place]);
        await disk.under(() => daemon.restart());
        place = await daemon.client.mountVolume('data', 'test');
      }
      await until('it is healthy again', async () => (await status()).startsWith('HEALTHY'));
      const { refused } = writer;
      await writer.write(place, 2);
      assert.equal(writer.refused, refused);
      await writer.check(place);
    }
  },
);

test(
  'of three hosts the one that serves a volume has a disk that fails: all goes on, and after a restart it has what it missed',
  { timeout: 400_000 },
  async () => {
    using disk = new FailingDisk();
    await using cluster = await ClusterProcesses.start(2);
    const failing = await disk.under(() => cluster.add());
    await cluster.complete();
    // It serves the volume, and keeps a copy like the others.
    const place = await failing.mount('data');
    const other = await cluster.hosts[0]!.client.mountVolume('data', 'test');
    const writers = [new Writer('a'), new Writer('b')] as const;
    const load = (count: number): Promise<unknown> => Promise.all([writers[0].write(place, count), writers[1].write(other, count)]);
    await load(2);
    disk.fail(EIO, '/store/segment-');
    await load(4);
    assert.ok(disk.failed > 0);
    assert.deepEqual(
      writers.map(({ refused }) => refused),
      [0, 0],
      'a majority of the copies takes what is written',
    );
    assert.match((await failing.infinit('status')).out, /takes no writes: the disk of .* failed: .*EIO/);
    assert.match((await cluster.hosts[0]!.infinit('status')).out, /^DEGRADED/);
    disk.mend();
    await failing.kill();
    execFileSync('umount', ['-l', place]);
    await disk.under(() => failing.restart());
    await cluster.complete();
    assert.equal(await failing.client.mountVolume('data', 'test'), place);
    await load(2);
    for (const writer of writers) for (const where of [place, other]) await writer.check(where);
    await until('it has all copies again', async () => (await cluster.hosts[0]!.infinit('status')).out.startsWith('HEALTHY'));
  },
);
