/**
 * The workloads of bench/volume.ts, run as a child process so that the process that serves a mount never touches it:
 * `node volume-workloads.ts NAME DIRECTORY` prints one number, the rate.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { postgresPrograms } from '../test/integration/programs.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
/** `SCALE=0.2` for a quick look: a fifth of everything. */
const scale = Number(process.env['SCALE'] ?? 1);
const sequentialBytes = Math.ceil(512 * scale) * MiB;
const files = Math.ceil(5000 * scale);

/** Of one run of bench/volume.ts, which removes them: sources, statements, what a program said. On this machine's own disk, whatever is measured. */
const scratch = path.join(tmpdir(), 'infinit-bench');
export const scratchFiles: readonly string[] = ['.tar', '.sql', '.out'].map((suffix) => scratch + suffix);

interface Workload {
  readonly unit: string;
  /** The workload that makes what this one works on. */
  readonly needs?: string;
  /** Returns what was done; the time around it is measured. */
  readonly run: (directory: string) => number;
  readonly prepare?: (directory: string) => void;
  /** Clears up after the measurement. */
  readonly finish?: (directory: string) => void;
}

function block(bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes);
  for (let at = 0; at < bytes; at += 4) buffer.writeUInt32LE((at * 2_654_435_761 + bytes) >>> 0, at);
  return buffer;
}

function writeSequentially(file: string): number {
  const descriptor = openSync(file, 'w');
  const data = block(MiB);
  for (let at = 0; at < sequentialBytes; at += MiB) {
    data.writeUInt32LE(at / MiB, 0);
    writeSync(descriptor, data, 0, MiB, at);
  }
  fsyncSync(descriptor);
  closeSync(descriptor);
  return sequentialBytes / MiB;
}

function readSequentially(file: string): number {
  const descriptor = openSync(file, 'r');
  const data = Buffer.allocUnsafe(MiB);
  let total = 0;
  for (let got = readSync(descriptor, data, 0, MiB, null); got > 0; got = readSync(descriptor, data, 0, MiB, null)) total += got;
  closeSync(descriptor);
  return total / MiB;
}

function dropCaches(): void {
  spawnSync('sync');
  writeFileSync('/proc/sys/vm/drop_caches', '3');
}

function randomly(file: string, fullCount: number, action: (descriptor: number, offset: number) => void, flags = 'r+'): number {
  const count = Math.ceil(fullCount * scale);
  const descriptor = openSync(file, flags);
  let state = 12_345;
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    action(descriptor, (state % (sequentialBytes / (4 * KiB))) * 4 * KiB);
  }
  closeSync(descriptor);
  return count;
}

function forFiles(directory: string, action: (file: string) => void): number {
  for (let index = 0; index < files; index++) action(path.join(directory, 'many', `file-${index}`));
  return files;
}

function sh(directory: string, script: string): number {
  const result = spawnSync('sh', ['-ec', script], { cwd: directory, encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
  if (result.status !== 0) throw new Error(result.stderr);
  return 1;
}

/** Runs PostgreSQL's programs as the user postgres, as they insist, in a directory that is that user's. */
function postgres(directory: string, script: string): string {
  const data = path.join(directory, 'pg');
  spawnSync('sh', ['-c', `mkdir -p ${data}; chown postgres ${data}; chmod 700 ${data}`]);
  const command = `PATH=${postgresPrograms()}:$PATH; ${script}`;
  // Its server keeps the outputs: hence no pipe.
  const result = spawnSync('sh', ['-c', `su postgres -c "$0" >${scratch}.out 2>&1 </dev/null`, command], { cwd: '/' });
  const said = readFileSync(`${scratch}.out`, 'utf8');
  if (result.status !== 0) throw new Error(said);
  return said;
}

const pgPort = 5598;
const small = block(KiB);
const page = block(4 * KiB);
const big = (directory: string): string => path.join(directory, 'big');

export const workloads: Readonly<Record<string, Workload>> = {
  'sequential write, 1 MiB': { unit: 'MiB/s', run: (directory) => writeSequentially(big(directory)) },
  'sequential read, cold': {
    needs: 'sequential write, 1 MiB',
    unit: 'MiB/s',
    prepare: dropCaches,
    run: (directory) => readSequentially(big(directory)),
  },
  'sequential read, warm': {
    needs: 'sequential write, 1 MiB',
    unit: 'MiB/s',
    // Which memory the pages are in makes more of a difference, half as much again, than whose they are: here each target is the first after the
    // caches were dropped. At the second reading the kernel moves each page to the list of those in use, which is no reading either.
    prepare: (directory) => {
      dropCaches();
      for (let time = 0; time < 2; time++) readSequentially(big(directory));
    },
    run: (directory) => readSequentially(big(directory)),
  },
  'random 4 KiB read, cold': {
    needs: 'sequential write, 1 MiB',
    unit: '/s',
    prepare: dropCaches,
    run: (directory) =>
      randomly(big(directory), 3000, (descriptor, offset) => readSync(descriptor, Buffer.allocUnsafe(4 * KiB), 0, 4 * KiB, offset), 'r'),
  },
  'random 4 KiB write + fdatasync each': {
    needs: 'sequential write, 1 MiB',
    unit: '/s',
    run: (directory) =>
      randomly(big(directory), 3000, (descriptor, offset) => {
        writeSync(descriptor, page, 0, page.length, offset);
        fdatasyncSync(descriptor);
      }),
  },
  'random 4 KiB write, one fsync': {
    needs: 'sequential write, 1 MiB',
    unit: '/s',
    run: (directory) => {
      const count = randomly(big(directory), 20_000, (descriptor, offset) => writeSync(descriptor, page, 0, page.length, offset));
      const descriptor = openSync(big(directory), 'r+');
      fsyncSync(descriptor);
      closeSync(descriptor);
      return count;
    },
  },
  'create 1 KiB': {
    unit: '/s',
    prepare: (directory) => {
      rmSync(path.join(directory, 'many'), { recursive: true, force: true });
      mkdirSync(path.join(directory, 'many'));
    },
    run: (directory) => forFiles(directory, (file) => writeFileSync(file, small)),
  },
  stat: { needs: 'create 1 KiB', unit: '/s', run: (directory) => forFiles(directory, (file) => void statSync(file)) },
  'stat, cold': { needs: 'create 1 KiB', unit: '/s', prepare: dropCaches, run: (directory) => forFiles(directory, (file) => void statSync(file)) },
  'read 1 KiB': { needs: 'create 1 KiB', unit: '/s', run: (directory) => forFiles(directory, (file) => void readFileSync(file)) },
  readdir: {
    needs: 'create 1 KiB',
    unit: 'entries/s',
    run: (directory) => Array.from({ length: 20 }, () => readdirSync(path.join(directory, 'many')).length).reduce((sum, length) => sum + length, 0),
  },
  rename: { needs: 'create 1 KiB', unit: '/s', run: (directory) => forFiles(directory, (file) => renameSync(file, `${file}.renamed`)) },
  unlink: { needs: 'rename', unit: '/s', run: (directory) => forFiles(directory, (file) => unlinkSync(`${file}.renamed`)) },
  'untar sources': {
    unit: '/s',
    prepare: (directory) =>
      void sh(
        directory,
        `rm -rf src; test -e ${scratch}.tar || tar -C ${path.resolve('node_modules')} -cf ${scratch}.tar typescript @types libp2p express knip`,
      ),
    run: (directory) => sh(directory, `mkdir src && tar -C src -xf ${scratch}.tar`),
  },
  'tar sources, cold': {
    needs: 'untar sources',
    unit: '/s',
    prepare: dropCaches,
    run: (directory) => sh(directory, 'tar -C src -cf /dev/null . && tar -C src -cf - . | cat >/dev/null'),
  },
  'rm -rf sources': { needs: 'untar sources', unit: '/s', run: (directory) => sh(directory, 'rm -rf src') },
  'git init, add, commit, gc, fsck': {
    unit: '/s',
    prepare: (directory) => void sh(directory, `mkdir repo && tar -C repo -xf ${scratch}.tar express knip libp2p`),
    run: (directory) =>
      sh(
        directory,
        'cd repo && git init -q . && git add . && git -c user.name=b -c user.email=b@example.invalid commit -qm x && git gc -q && git fsck 2>/dev/null',
      ),
    finish: (directory) => rmSync(path.join(directory, 'repo'), { recursive: true, force: true }),
  },
  'SQLite transactions': {
    unit: '/s',
    run: (directory) => {
      const statements = ['CREATE TABLE t(a);', ...Array.from({ length: 500 }, (_, index) => `INSERT INTO t VALUES(${index});`)];
      writeFileSync(`${scratch}.sql`, statements.join('\n'));
      sh(directory, `sqlite3 test.db <${scratch}.sql`);
      return 500;
    },
    finish: (directory) => rmSync(path.join(directory, 'test.db'), { force: true }),
  },
  'pgbench, 4 clients': {
    unit: 'tps',
    prepare: (directory) => {
      const data = path.join(directory, 'pg');
      postgres(
        directory,
        `initdb -A trust -D ${data} && pg_ctl -w -D ${data} -l ${data}/log -o "-k ${data} -p ${pgPort} -c listen_addresses=" start && ` +
          `pgbench -h ${data} -p ${pgPort} -q -i -s 10 postgres`,
      );
    },
    run: (directory) => {
      const data = path.join(directory, 'pg');
      const seconds = Number(process.env['PGBENCH_SECONDS'] ?? 10);
      const said = postgres(directory, `pgbench -h ${data} -p ${pgPort} -c 4 -j 2 -T ${seconds} postgres`);
      return Number(/number of transactions actually processed: (\d+)/.exec(said)![1]);
    },
    finish: (directory) => {
      const data = path.join(directory, 'pg');
      postgres(directory, `pg_ctl -w -D ${data} -m fast stop`);
      rmSync(data, { recursive: true, force: true });
    },
  },
};

if (import.meta.main) {
  const workload = workloads[process.argv[2]!]!;
  const directory = process.argv[3]!;
  try {
    workload.prepare?.(directory);
    const started = performance.now();
    const done = workload.run(directory);
    console.log(done / ((performance.now() - started) / 1000));
  } finally {
    workload.finish?.(directory);
  }
}
