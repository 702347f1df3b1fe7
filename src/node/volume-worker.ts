/** The thread of one mounted volume: file system and FUSE session. Only sealed blocks cross to the main thread. */
import { parentPort, workerData } from 'node:worker_threads';

import { codeOf, createLogger, messageOf, systemClock } from '../base/index.ts';
import { Sealer } from '../block/index.ts';
import { Volume } from '../filesystem/index.ts';
import { serveFileSystem } from '../fuse/index.ts';
import { PortStore } from '../store/index.ts';
import { DirtySet } from './dirty-set.ts';
import type { VolumeCommand, VolumeEvent, VolumeWorkerData } from './volume-worker-protocol.ts';

const data = workerData as VolumeWorkerData;
const logger = createLogger(data.logLevel).with({ volume: data.name });

function tell(event: VolumeEvent): void {
  parentPort!.postMessage(event);
}

/** The kernel cannot always say "unmounted" with an errno number alone. */
function reasonOf(end: unknown): string {
  return typeof end === 'string' ? end : `errno ${(end as { errno: number }).errno}`;
}

async function serve(): Promise<void> {
  const { set, lost } = DirtySet.open(data.dirtyFile);
  const { options } = data;
  const volume = await Volume.open({
    store: new PortStore(data.store),
    sealer: new Sealer(data.key),
    volumeId: data.volumeId,
    session: data.session,
    clock: systemClock,
    options: { ...(options.sizeBytes === 0 ? {} : { sizeBytes: options.sizeBytes }), uid: options.uid, gid: options.gid, mode: options.mode, readOnly: options.readonly || options.access === 'readonly' },
    logger,
    lostInodes: lost,
    onDirty: (inode: number) => set.add(inode),
    onClean: (inode: number) => set.delete(inode),
  });
  const session = serveFileSystem({ fd: data.descriptor, fileSystem: volume, logger, ...(data.adopted === undefined ? {} : { adopted: data.adopted }) });
  parentPort!.on('message', (command: VolumeCommand) => {
    if (command.type === 'stop') return session.stop();
    void Promise.resolve(volume.statfs()).then((statistics) => {
      const usedBytes = (statistics.blocks - statistics.freeBlocks) * statistics.blockSize;
      tell({ type: 'usage', id: command.id, usedBytes, sizeBytes: options.sizeBytes, inodes: statistics.files - statistics.freeFiles });
    });
  });
  tell({ type: 'ready', init: await session.ready });
  const reason = reasonOf(await session.closed);
  await volume.close();
  set.close();
  tell({ type: 'closed', reason });
}

try {
  await serve();
} catch (error) {
  logger.error('the volume cannot be served', { error });
  tell({ type: 'closed', reason: 'failed', error: { code: codeOf(error), message: messageOf(error) } });
}
data.store.close();
parentPort!.close();
