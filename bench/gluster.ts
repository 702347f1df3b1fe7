/**
 * `node bench/gluster.ts up` makes a GlusterFS volume with three copies on this machine (Debian's glusterfs-server must be installed),
 * mounts it with its FUSE client and prints the mount point, for `node bench/volume.ts gluster=DIRECTORY`.
 * `node bench/gluster.ts down` takes everything away again.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';

const volume = 'infinit-bench';
const bricks = 3;
/** glusterd answers within this time after its start. */
const startDeadlineMs = 30_000;
const home = path.join(process.env['BENCH_DIR'] ?? process.cwd(), '.bench-gluster');
const mountPoint = path.join(home, 'mount');
const pidFile = path.join(home, 'glusterd.pid');

function run(command: string, ...args: string[]): string {
  const result = spawnSync(command, args, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${result.error?.message ?? result.stdout + result.stderr}`);
  return result.stdout;
}

function gluster(...args: string[]): string {
  return run('gluster', '--mode=script', ...args);
}

async function up(): Promise<void> {
  mkdirSync(mountPoint, { recursive: true });
  spawn('glusterd', ['-p', pidFile, '-l', path.join(home, 'glusterd.log')], { detached: true, stdio: 'ignore' }).unref();
  const deadline = performance.now() + startDeadlineMs;
  while (spawnSync('gluster', ['--mode=script', 'peer', 'status']).status !== 0) {
    if (performance.now() > deadline) throw new Error(`glusterd does not answer: see ${home}/glusterd.log`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  // A brick's address must not be a loopback one.
  const host = run('hostname', '-I').trim().split(' ')[0] ?? '127.0.0.1';
  const places = Array.from({ length: bricks }, (_, index) => `${host}:${path.join(home, `brick-${index}`)}`);
  gluster('volume', 'create', volume, 'replica', String(bricks), ...places, 'force');
  gluster('volume', 'start', volume);
  run('mount', '-t', 'glusterfs', `${host}:/${volume}`, mountPoint);
  console.log(mountPoint);
}

function down(): void {
  spawnSync('umount', ['-l', mountPoint]);
  spawnSync('gluster', ['--mode=script', 'volume', 'stop', volume, 'force']);
  spawnSync('gluster', ['--mode=script', 'volume', 'delete', volume]);
  if (existsSync(pidFile)) {
    try {
      process.kill(Number(readFileSync(pidFile, 'utf8')));
    } catch {
      // It is gone already.
    }
  }
  rmSync(home, { recursive: true, force: true });
}

if (process.argv[2] === 'up') {
  try {
    await up();
  } catch (error) {
    down();
    throw error;
  }
} else if (process.argv[2] === 'down') down();
else {
  console.error('usage: node bench/gluster.ts up|down');
  process.exitCode = 64;
}
