import { type Attributes, type MaybePromise, unlockAll } from '../../filesystem/index.ts';
import { answeredElsewhere, type Encode, type Exchange, type Operation, type Undo } from '../exchange.ts';
import { accessMode, after, known, readWrite, reopened, type SyncWanted, syncWanted } from '../handles.ts';
import {
  decodeCopy,
  decodeCreate,
  decodeFallocate,
  decodeFlush,
  decodeFsync,
  decodeLseek,
  decodeOpen,
  decodeRead,
  decodeRelease,
  decodeTmpfile,
  decodeWrite,
  hasDirectMaps,
  isResent,
  isSole,
  type KernelHandle,
  type RequestHeader,
  type WriteRequest,
} from '../wire/index.ts';
import { callerOf, encodeNothing, recover, refuseUnproven } from './names.ts';

/** FOPEN_*: what the kernel may do with an open file. */
const openFlags = { directIo: 1, keepCache: 2, parallelDirectWrites: 64 };

/** open(2) on Linux, the same on all architectures that Node runs on but for values we do not use. */
const readOnly = 0;
const append = 0o2000;
const [exclusive, creating] = [0o200, 0o100];

interface Created {
  readonly attributes: Attributes;
  readonly handle: number;
}

/** Only where others use the files as well is an opening asked for. */
function fileFlags({ trust, init }: Exchange, inode: number, handle: number, attributes: () => Attributes | undefined, isGuarded = false): number {
  const how = trust!.opened(inode, handle, attributes, isGuarded);
  if (how !== 'direct') return how === 'kept' ? openFlags.keepCache : 0;
  // Files that cannot be mapped are of no use; older kernels drop what they have cached by size and time alone.
  return init !== undefined && hasDirectMaps(init) ? openFlags.directIo | openFlags.parallelDirectWrites : openFlags.parallelDirectWrites;
}

/**
 * The file system's handle for the kernel's. `flags` as of the open file, where the request tells them.
 * @param run what the request asks for: that alone has its number, however long it has to wait, and not the opening before it.
 */
function withHandle<T>(
  exchange: Exchange,
  header: RequestHeader,
  handle: KernelHandle,
  flags: number,
  run: (handle: number) => MaybePromise<T>,
  inode = header.node,
): MaybePromise<T> {
  if (exchange.handles.isOurs(handle)) exchange.trust?.used(handle.low);
  const { fileSystem } = exchange;
  const reopen = (): MaybePromise<number> => {
    fileSystem.asking?.(undefined);
    return reopened(fileSystem, inode, fileSystem.open(inode, flags & ~(exclusive | creating)));
  };
  return after(exchange.handles.resolve(handle, reopen), (ours) => exchange.serve(header, () => run(ours)));
}

/** The kernel asks for no fsync by itself where it opened the file without a cache. */
function thenSynced<T>({ fileSystem }: Exchange, wanted: SyncWanted, inode: number, handle: number, changed: MaybePromise<T>): MaybePromise<T> {
  if (wanted === undefined) return changed;
  return after(changed, (result) => after(fileSystem.fsync(inode, handle, wanted === 'data'), () => result));
}

/** What was opened, once the kernel has no page of the file that an earlier daemon gave. */
function withoutEarlier<T>(exchange: Exchange, header: RequestHeader, inode: number, opened: T): MaybePromise<T> {
  const dropping = exchange.trust?.opening(inode);
  return dropping === undefined ? opened : exchange.afterKernel(header, dropping).then(() => opened);
}

export const open: Operation = (exchange, header, message) => {
  const inode = header.node;
  const { flags } = decodeOpen(message);
  const opened = after(exchange.fileSystem.open(inode, flags), (handle) => withoutEarlier(exchange, header, inode, handle));
  const encode: Encode<number> = ({ reply, handles, fileSystem }, handle) => {
    const isGuarded = (flags & accessMode) === readOnly && exchange.trust?.isSole === false && fileSystem.isGuarded?.(inode) === true;
    const how = fileFlags(exchange, inode, handle, () => known(fileSystem.getattr(inode)), isGuarded);
    handles.opened(inode, handle, flags);
    return reply.putOpen(handle, handles.generation, how);
  };
  exchange.answer(header, opened, encode, ({ fileSystem, trust, handles }, handle) => {
    trust?.closed(handle);
    handles.dropped(handle);
    exchange.aside(inode, () => fileSystem.release(inode, handle));
  });
};

const encodeCreated =
  (flags: number): Encode<Created> =>
  (exchange, { attributes, handle }) => {
    const how = fileFlags(exchange, attributes.inode, handle, () => attributes);
    exchange.handles.opened(attributes.inode, handle, flags);
    return exchange.reply.putCreated(attributes, handle, exchange.handles.generation, how);
  };

const dropCreated: Undo<Created> = (exchange, { attributes: { inode }, handle }) => {
  exchange.trust?.closed(handle);
  exchange.handles.dropped(handle);
  exchange.aside(inode, () => exchange.fileSystem.release(inode, handle));
  exchange.fileSystem.forget(inode, 1);
};

const encodeUnopened: Encode<Created> = ({ reply }, { attributes }) => reply.putCreated(attributes, 0, 0, openFlags.keepCache);
const forgetCreated: Undo<Created> = ({ fileSystem }, { attributes }) => fileSystem.forget(attributes.inode, 1);

export const create: Operation = (exchange, header, message) => {
  const { name, mode, umask, flags } = decodeCreate(message);
  header.name = name;
  const { fileSystem } = exchange;
  const run = (): MaybePromise<Created> => fileSystem.create(header.node, name, mode, umask, flags, callerOf(header));
  const created = isResent(header)
    ? recover(run, 'EEXIST', async () => {
        // Without O_EXCL it is all the same who made it.
        if ((flags & exclusive) !== 0) refuseUnproven(exchange);
        const attributes = await fileSystem.lookup(header.node, name);
        return attributes && { attributes, handle: await fileSystem.open(attributes.inode, flags & ~(exclusive | creating)) };
      })
    : run();
  const ready = after(created, (made) => withoutEarlier(exchange, header, made.attributes.inode, made));
  exchange.answer(header, ready, encodeCreated(flags), dropCreated);
};

export const tmpfile: Operation = (exchange, header, message) => {
  const { mode, umask, flags } = decodeTmpfile(message);
  const made = exchange.fileSystem.tmpfile(header.node, mode, umask, flags, callerOf(header));
  const created = after(made, (opened) => withoutEarlier(exchange, header, opened.attributes.inode, opened));
  if (exchange.init === undefined || !isSole(exchange.init)) return exchange.answer(header, created, encodeCreated(flags), dropCreated);
  // The kernel never closes it either: the reference of the reply is what keeps the file.
  const kept = after(created, ({ attributes, handle }) =>
    after(exchange.fileSystem.release(attributes.inode, handle), (): Created => ({ attributes, handle: 0 })),
  );
  exchange.answer(header, kept, encodeUnopened, forgetCreated);
};

const encodeSlices: Encode<readonly Uint8Array[]> = ({ reply }, slices) => reply.putSlices(slices);

export const read: Operation = (exchange, header, message) => {
  const { handle, offset, length, flags, cached } = decodeRead(message);
  const inode = header.node;
  const giving = cached ? exchange.givePage(inode, handle, (flags & accessMode) === readOnly) : undefined;
  const slices = after(giving, () => withHandle(exchange, header, handle, flags, (ours) => exchange.fileSystem.read(inode, ours, offset, length)));
  exchange.answer(header, slices, encodeSlices);
};

/**
 * An append that is sent again. Where others write the file as well, and it is not known whether it was made, it is made only if nobody appended since the kernel looked: then it was not made before the crash
 * either.
 */
function appendAgain(exchange: Exchange, header: RequestHeader, handle: number, request: WriteRequest): MaybePromise<number> {
  const { trust, fileSystem } = exchange;
  const inode = header.node;
  const { offset, data, killPrivileges } = request;
  const append = (): MaybePromise<number> => exchange.serve(header, () => fileSystem.write(inode, handle, offset, data, killPrivileges, true));
  if (trust === undefined) return append();
  return after(fileSystem.appended?.(inode, handle, data, killPrivileges), (done) => {
    if (done !== undefined) return done;
    return after(fileSystem.getattr(inode), ({ size }) => {
      if (size > offset) refuseUnproven(exchange);
      return append();
    });
  });
}

const encodeCount: Encode<number> = ({ reply }, count) => reply.putCount(count);
const [setuid, setgid] = [0o4000, 0o2000];

export const write: Operation = (exchange, header, message) => {
  const request = decodeWrite(message);
  const inode = header.node;
  const { fileSystem } = exchange;
  const kill = request.killPrivileges && !request.cached;
  const may = request.cached && exchange.trust !== undefined ? exchange.trust.mayWriteMapped(inode) : true;
  if (may === false) throw exchange.refusePage(inode, request.handle);
  exchange.trust?.wrote(inode, exchange.handles.isOurs(request.handle) ? request.handle.low : undefined, request.cached);
  // As of this write: a program may change O_APPEND while the file is open. The pages of a mapped file have their place.
  const appends = !request.cached && (request.flags & append) !== 0;
  const again = appends && isResent(header);
  const kernelKept = request.cached && exchange.trust === undefined;
  // What has to wait before the write itself outlives the message that the data lie in.
  const data = exchange.handles.isOurs(request.handle) && !kill && may === true && !again ? request.data : request.data.slice();
  const wanted = request.cached ? undefined : syncWanted(request.flags);
  // Where the kernel collects writes, those that make a file longer come so as well.
  const mapped = request.cached && !kernelKept;
  const put = (): MaybePromise<number> =>
    withHandle(exchange, header, request.handle, request.flags, (handle) => {
      if (mapped) {
        exchange.takesPages(header, request.handle);
        return fileSystem.writeMapped(inode, handle, request.offset, data);
      }
      const written = again
        ? appendAgain(exchange, header, handle, { ...request, data })
        : fileSystem.write(inode, handle, request.offset, data, request.killPrivileges, appends, kernelKept);
      return thenSynced(exchange, wanted, inode, handle, written);
    });
  if (may !== true) {
    const allowed = may.then((still) => {
      if (!still) throw exchange.refusePage(inode, request.handle);
      return put();
    });
    return exchange.answer(header, allowed, encodeCount);
  }
  if (kernelKept) exchange.noteWritten(inode);
  if (!kill) return exchange.answer(header, put(), encodeCount);
  const before = fileSystem.getattr(inode);
  let privileged = false;
  const written = after(before, ({ mode }) => {
    privileged = (mode & (setuid | setgid)) !== 0;
    return put();
  });
  exchange.answer(header, written, ({ reply }, count) => {
    // The kernel does not look at the mode again by itself after a write.
    if (privileged) exchange.invalidateAttributesNow(inode);
    return reply.putCount(count);
  });
};

/** Every close waits for this; by now the kernel has written the file's dirty pages. */
export const flush: Operation = (exchange, header, message) => {
  const { handle, lockOwner } = decodeFlush(message);
  const inode = header.node;
  exchange.lockOwners.flushed(inode, lockOwner);
  const flushed = withHandle(exchange, header, handle, readOnly, (ours) => exchange.fileSystem.flush(inode, ours, lockOwner));
  if (!(flushed instanceof Promise) || exchange.handles.isOurs(handle)) return exchange.answer(header, flushed, encodeNothing);
  // An earlier daemon's file that cannot be opened again, perhaps: nothing else will say that the program's locks are gone.
  const unlocked = flushed.catch((error: unknown) => {
    const unlock = unlockAll('posix', lockOwner);
    exchange.aside(inode, () => exchange.fileSystem.setlk(inode, unlock, false));
    throw error;
  });
  exchange.answer(header, unlocked, encodeNothing);
};

export const release: Operation = (exchange, header, message) => {
  const { handle, flockOwner } = decodeRelease(message);
  const inode = header.node;
  if (handle.high === exchange.handles.generation) exchange.trust?.closed(handle.low);
  for (const owner of exchange.lockOwners.released(inode, handle)) {
    const unlock = unlockAll('posix', owner);
    exchange.aside(inode, () => exchange.fileSystem.setlk(inode, unlock, false));
  }
  exchange.released(inode, handle);
  const open = exchange.handles.release(handle);
  const unlockFlock = (): void => {
    if (flockOwner === undefined) return;
    const unlock = unlockAll('flock', flockOwner);
    exchange.aside(inode, () => exchange.fileSystem.setlk(inode, unlock, false));
  };
  // An earlier daemon's file that nobody touched since: there is nothing to release but its locks.
  if (open === undefined) {
    unlockFlock();
    return exchange.done(header);
  }
  // Or one that is being opened again in vain.
  if (open instanceof Promise) void open.catch(unlockFlock);
  exchange.answer(
    header,
    after(open, (ours) => exchange.fileSystem.release(inode, ours, flockOwner)),
    encodeNothing,
  );
};

export const fsync: Operation = (exchange, header, message) => {
  const { handle, dataOnly } = decodeFsync(message);
  const inode = header.node;
  const early = exchange.earlyAnswer(header);
  const synced = withHandle(exchange, header, handle, readOnly, (ours) => exchange.fileSystem.fsync(inode, ours, dataOnly, early));
  exchange.answer(header, synced, () => (early?.sent === true ? answeredElsewhere : 0));
};

export const fallocate: Operation = (exchange, header, message) => {
  const { handle, offset, length, mode } = decodeFallocate(message);
  const inode = header.node;
  exchange.trust?.changedPast(inode);
  const wanted = exchange.handles.syncWanted(handle);
  const allocated = withHandle(exchange, header, handle, readWrite, (ours) =>
    thenSynced(exchange, wanted, inode, ours, exchange.fileSystem.fallocate(inode, ours, mode, offset, length)),
  );
  exchange.answer(header, allocated, encodeNothing);
};

const encodeLong: Encode<number> = ({ reply }, value) => reply.putLong(value);

/**
 * SEEK_DATA and SEEK_HOLE. The kernel does not write back a file's dirty pages before it asks (seen with Linux 6.18), and what
 * we do not know of would be a hole: programs that copy sparse files would lose data. So we have it write them back first,
 * where it collects writes, or a program may have changed the file in mapped memory.
 */
export const lseek: Operation = (exchange, header, message) => {
  const { handle, offset, whence } = decodeLseek(message);
  const inode = header.node;
  const seek = (): MaybePromise<number> =>
    withHandle(exchange, header, handle, readOnly, (ours) => exchange.fileSystem.lseek(inode, ours, offset, whence));
  const mayBeDirty = (exchange.init !== undefined && isSole(exchange.init)) || exchange.handles.mayBeMapped(inode);
  exchange.answer(header, mayBeDirty ? exchange.afterKernel(header, exchange.notifier.invalidateInode(inode, 0, 0)).then(seek) : seek(), encodeLong);
};

function copyInto(exchange: Exchange, header: RequestHeader, message: Parameters<Operation>[2], encode: Encode<number>): void {
  const request = decodeCopy(message);
  const inode = header.node;
  exchange.trust?.changedPast(request.toInode);
  const wanted = exchange.handles.syncWanted(request.toHandle);
  const copied = withHandle(exchange, header, request.handle, readOnly, (from) =>
    withHandle(
      exchange,
      header,
      request.toHandle,
      readWrite,
      (to) => {
        const { offset, toInode, toOffset, length } = request;
        const count = exchange.fileSystem.copyFileRange(inode, from, offset, toInode, to, toOffset, length);
        return thenSynced(exchange, wanted, toInode, to, count);
      },
      request.toInode,
    ),
  );
  exchange.answer(header, copied, encode);
}

export const copyFileRange: Operation = (exchange, header, message) => copyInto(exchange, header, message, encodeCount);
export const copyFileRange64: Operation = (exchange, header, message) => copyInto(exchange, header, message, encodeLong);
