/** A daemon in small: mounts, serves from a worker, unmounts, again and again, and tells what it holds at the end. */
import { closeSync, readdirSync } from 'node:fs';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { detachMount, mountFuse } from '../../src/fuse/index.ts';

const [directory, cycles] = [process.argv[2]!, Number(process.argv[3])];

async function cycle(terminate: boolean): Promise<void> {
  const mount = await mountFuse({ source: 'cycle', mountPoint: directory });
  const worker = new Worker(new URL('worker.ts', import.meta.url), { workerData: { fd: mount.fd } });
  await once(worker, 'message');
  // Somebody else looks: this process must not.
  if (terminate) await worker.terminate();
  const exited = terminate ? undefined : once(worker, 'exit');
  await detachMount(directory);
  await exited;
  closeSync(mount.fd);
}

const holds = (): number => readdirSync('/proc/self/fd').length;
const threads = (): number => readdirSync('/proc/self/task').length;
await cycle(false);
const before = { descriptors: holds(), threads: threads() };
for (let i = 0; i < cycles; i++) await cycle(i % 10 === 9);
process.send!({ before, after: { descriptors: holds(), threads: threads() } });
process.disconnect();
