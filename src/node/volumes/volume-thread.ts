/** The thread of one mounted volume: file system and FUSE session. Only sealed blocks cross to the main thread, and in a cluster operations. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';

import type { VolumeUsage } from '../../api/index.ts';
import { codeOf, collectWhenIdle, createLogger, InfinitError, messageOf, systemClock, Wakefulness } from '../../base/index.ts';
import { Sealer } from '../../block/index.ts';
import { type FileSystem, FileSystemError, spareAttempt, type Unsaid, UnsaidMemory, Volume, type VolumeSetup } from '../../filesystem/index.ts';
import { type FuseSession, kernelFileClock, releaseFreedMemory, serveFileSystem } from '../../fuse/index.ts';
import { PortStore } from '../../store/port/index.ts';
import { type Dirty, DirtySet } from './dirty-set.ts';
import { endMount } from '../mounts/mount-end.ts';
import { RecordFile } from '../record-file.ts';
import { type OpenVolume, SharedRole } from '../sharing/shared-role.ts';
import { MappedMemory } from './surviving-memory.ts';
import type { VolumeCommand, VolumeEvent, VolumeQuestion, VolumeWorkerData } from './volume-worker-protocol.ts';

/**
 * After the volume came here, so long hosts have time to open here what their programs have open, in ms: longer than a cut that nobody is taken for dead for.
 * The kernel asks again at once what a daemon before left unanswered.
 */
const othersOpenMs = 60_000;

/** Tests of what kernels before Linux 6.9 do set it for the daemon. */
const outlivesDaemon = process.env['INFINIT_AS_BEFORE_LINUX_6_9'] === undefined;

const data = workerData as VolumeWorkerData;
const logger = createLogger(data.logLevel).with({ volume: data.name });
const port = parentPort!;

/** A volume of this host alone has its kernel keep the times of files. */
const kernelNow = data.shared === undefined ? kernelFileClock() : undefined;

const freeBytes = new Float64Array(data.freeBytes);
/** The quota of the moment; 0: none. */
let { sizeBytes } = data.options;
/** What is open in this thread. */
let opened: Volume | undefined;
/** Inodes of it that cannot be read for now. */
let unreadable = 0;
/** For the next daemon of the mount. */
const memory = data.memory === undefined ? undefined : MappedMemory.open(data.memory);

function tell(event: VolumeEvent): void {
  port.postMessage(event);
}

async function openVolume(
  setup: Pick<VolumeSetup, 'store' | 'session' | 'inherits' | 'askedBefore' | 'lostInodes' | 'lostBefore' | 'lostAny' | 'onSaid' | 'onOvertaken'>,
  dirty: DirtySet,
): Promise<Volume> {
  const { options } = data;
  const settled = sleep(othersOpenMs, undefined, { ref: false });
  opened = await Volume.open({
    ...setup,
    sealer: new Sealer(data.key, options.compressed),
    volumeId: data.volumeId,
    clock: systemClock,
    options: {
      ...(sizeBytes === 0 ? {} : { sizeBytes }),
      uid: options.uid,
      gid: options.gid,
      mode: options.mode,
      readOnly: options.readonly || options.access === 'readonly',
    },
    logger,
    resumed: data.adopted !== undefined,
    kernelOpens: data.shared === undefined,
    ...(kernelNow === undefined ? {} : { kernelNow }),
    ...(data.shared === undefined ? {} : { othersOpened: settled }),
    ...(data.adopted === undefined ? {} : { resent: settled }),
    onDirty: (inode: number) => dirty.add(inode),
    onClean: (inode: number) => dirty.delete(inode),
    onUnread: (notice) => {
      unreadable = notice?.inodes ?? 0;
      tell({ type: 'unread', notice });
    },
    ...(memory === undefined ? {} : { memory: memory.redo }),
    capacity: () => ({ freeBytes: freeBytes[0]! }),
  });
  // It may have changed meanwhile.
  resize(sizeBytes);
  return opened;
}

/** A volume of this host alone, as the daemon before left it. */
async function openAlone({ set, left, lost, incomplete }: Dirty): Promise<Volume> {
  const store = new PortStore(data.store!);
  const inherits = data.adopted !== undefined;
  const onSaid = (inode: number): void => set.said(inode);
  const volume = await openVolume({ store, session: data.session, inherits, lostInodes: left, lostBefore: lost, lostAny: incomplete, onSaid }, set);
  if (volume.survived) set.keep(left, volume.unsynced());
  else set.lose(left);
  return volume;
}

function resize(bytes: number): void {
  sizeBytes = bytes;
  opened?.resize(bytes === 0 ? undefined : bytes);
}

async function usage(fileSystem: FileSystem): Promise<Omit<VolumeUsage, 'name'>> {
  const statistics = await fileSystem.statfs();
  const usedBytes = (statistics.blocks - statistics.freeBlocks) * statistics.blockSize;
  const inodes = statistics.files - statistics.freeFiles;
  return { usedBytes, sizeBytes, inodes, ...(unreadable === 0 ? {} : { unreadable }) };
}

/** For people, who need more than an errno. */
async function sync(role: SharedRole | undefined): Promise<void> {
  try {
    await (role ?? opened!).syncfs();
  } catch (error) {
    throw error instanceof FileSystemError && error.cause instanceof InfinitError ? error.cause : error;
  }
}

function answer(question: VolumeQuestion, fileSystem: FileSystem, role: SharedRole | undefined): Promise<unknown> {
  // Where it is open in this thread.
  const volume = role === undefined ? opened : role.volume;
  switch (question.kind) {
    case 'usage':
      return usage(fileSystem);
    case 'sync':
      return sync(role);
    case 'unreferenced':
      return volume?.unreferenced(question.blocks) ?? Promise.resolve(undefined);
    case 'check':
      return volume?.check(question.repair) ?? Promise.resolve(undefined);
  }
}

/** The daemon stops before this has taken over what the one before left: it is for the next one, which does not count it as a death. */
function leave(): never {
  if (memory !== undefined) spareAttempt(memory.redo);
  tell({ type: 'closed', reason: 'stopped' });
  process.exit(0);
}

/**
 * What programs of a guest wrote and was not said: of files of which the daemon before noted that, and no daemon has told programs that it is lost. Where there are no notes and something was not
 * said, it did not end in order: somebody removed them.
 */
function unsaidMemory({ left, lost, incomplete, missing }: Dirty): Unsaid | undefined {
  const counts = (inode: number): boolean => data.adopted !== undefined && (missing || incomplete || left.has(inode)) && !lost.has(inode);
  return memory?.unsaid && UnsaidMemory.open(memory.unsaid, data.volumeId, counts);
}

/** What is known of the daemon before: by its notes, and what is in its memory. */
function takeOver(): { readonly dirty: Dirty; readonly unsaid: Unsaid | undefined } {
  const dirty = DirtySet.open(data.dirtyFile, data.adopted !== undefined, logger);
  const unsaid = data.shared === undefined ? undefined : unsaidMemory(dirty);
  if (!dirty.missing || unsaid === undefined || unsaid.left.length === 0) return { dirty, unsaid };
  logger.warn('the notes of what the daemon before had not written out are gone: what is not in its memory may be lost', { file: data.dirtyFile });
  dirty.set.lacks();
  return { dirty: { ...dirty, incomplete: true }, unsaid };
}

async function serve(): Promise<void> {
  const { dirty, unsaid } = takeOver();
  const { set } = dirty;
  const open: OpenVolume = (store, session, onOvertaken, inherits, askedBefore) =>
    openVolume({ store, session, inherits, askedBefore, onOvertaken }, set);
  const asker = data.adopted === undefined ? randomUUID() : data.adopted.asker;
  // A volume of this host alone has its kernel keep the locks.
  const locks = data.shared === undefined ? undefined : new RecordFile(data.locksFile, data.adopted !== undefined, logger);
  let session: FuseSession | undefined;
  port.on('message', (command: VolumeCommand) => {
    if (command.type === 'stop') {
      if (session === undefined) leave();
      else session.stop();
    } else if (command.type === 'resize') resize(command.sizeBytes);
    else if (command.type === 'ask-volume') {
      const { id, question } = command;
      answer(question, fileSystem, role).then(
        (value) => tell({ type: 'told', id, answer: value }),
        (error: unknown) => tell({ type: 'told', id, code: codeOf(error), message: messageOf(error) }),
      );
    } else role?.hear(command);
  });
  using role =
    data.shared === undefined
      ? undefined
      : new SharedRole({
          self: data.shared.self,
          volumeId: data.volumeId,
          sealer: new Sealer(data.key, data.options.compressed),
          open,
          tell,
          logger,
          dirty,
          records: locks,
          mount: asker,
          unsaid,
        });
  const fileSystem = role?.fileSystem ?? (await openAlone(dirty));
  using wakefulness = new Wakefulness({ logger, enabled: data.keepAwake });
  session = serveFileSystem({
    fd: data.descriptor,
    fileSystem,
    logger,
    onRequests: () => wakefulness.touch(),
    options: { leased: role !== undefined, outlivesDaemon },
    ...(data.adopted === undefined ? {} : { adopted: data.adopted }),
    ...(asker === undefined ? {} : { asker }),
    ...(locks === undefined ? {} : { lockRecords: locks }),
    ...(memory === undefined ? {} : { memory: memory.redo.bytes }),
  });
  tell({ type: 'ready', init: await session.ready });
  const end = await session.closed;
  locks?.close(end !== 'stopped');
  tell({ type: 'closed', reason: await endMount(end, { fileSystem: role ?? fileSystem, set, logger }) });
}

collectWhenIdle({ release: releaseFreedMemory });
try {
  await serve();
} catch (error) {
  logger.error('the volume cannot be served', { error });
  tell({ type: 'closed', reason: 'failed', error: { code: codeOf(error), message: messageOf(error) } });
}
data.store?.close();
port.close();
