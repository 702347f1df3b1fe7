/** A daemon in small: mounts, serves from a worker, unmounts, again and again, and tells what it holds at the end. */
import { closeSync, readdirSync } from 'node:fs';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { setTimeout } from 'node:timers/promises';
import { silentLogger } from '../../src/base/index.ts';
import { detachMount, mountFuse, serveFileSystem } from '../../src/fuse/index.ts';
import { MemoryFileSystem } from './memory-file-system.ts';

const [directory, cycles] = [process.argv[2]!, Number(process.argv[3])];

async function inThisThread(): Promise<void> {
  const mount = await mountFuse({ source: 'cycle', mountPoint: directory });
  const session = serveFileSystem({ fd: mount.fd, fileSystem: new MemoryFileSystem(), logger: silentLogger });
  await session.ready;
  // A notification starts a thread, which must end too.
  await session.notify.invalidateInode(1, 0, 0);
  await detachMount(directory);
  await session.closed;
  closeSync(mount.fd);
}

async function inWorker(terminate: boolean): Promise<void> {
  const mount = await mountFuse({ source: 'cycle', mountPoint: directory });
  const worker = new Worker(new URL('worker.ts', import.meta.url), { workerData: { fd: mount.fd } });
  await once(worker, 'message');
  const exited = once(worker, 'exit');
  if (terminate) await worker.terminate();
  await detachMount(directory);
  await exited;
  closeSync(mount.fd);
}

const holds = (): number => readdirSync('/proc/self/fd').length;
const threads = (): number => readdirSync('/proc/self/task').length;
await inWorker(false);
await inThisThread();
const before = { descriptors: holds(), threads: threads() };
for (let i = 0; i < cycles; i++) await (i % 10 === 9 ? inWorker(i % 20 === 19) : inThisThread());
// A notification thread sees the end of its socket a moment later.
for (let wait = 0; wait < 100 && threads() > before.threads; wait++) await setTimeout(10);
process.send!({ before, after: { descriptors: holds(), threads: threads() } });
process.disconnect();
