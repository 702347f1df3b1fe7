/** A volume's thread, as the node layer will have it: serves the descriptor it is given from memory until the end. */
import { parentPort, workerData } from 'node:worker_threads';
import { silentLogger } from '../../src/base/index.ts';
import { serveFileSystem } from '../../src/fuse/index.ts';
import { MemoryFileSystem } from './memory-file-system.ts';

const session = serveFileSystem({ fd: (workerData as { fd: number }).fd, fileSystem: new MemoryFileSystem(), logger: silentLogger });
parentPort!.postMessage({ ready: await session.ready });
parentPort!.postMessage({ closed: await session.closed });
