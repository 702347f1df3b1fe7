import type { DirectoryEntry, MaybePromise } from '../../filesystem/index.ts';
import type { Encode, Exchange, Operation } from '../exchange.ts';
import { after, known, reopened } from '../handles.ts';
import { decodeFsync, decodeRead, decodeRelease, type KernelHandle, type Message, type RequestHeader } from '../wire/index.ts';
import { encodeNothing } from './names.ts';

/** FOPEN_*: with both of them listings stay in the kernel until the directory changes or is invalidated. */
const openFlags = { keepCache: 2, cacheListing: 8 };

/** As those of files. */
function directoryFlags({ trust, fileSystem }: Exchange, inode: number, handle: number): number {
  const how = trust!.opened(inode, handle, () => known(fileSystem.getattr(inode)));
  return how === 'direct' ? 0 : how === 'cached' ? openFlags.cacheListing : openFlags.keepCache | openFlags.cacheListing;
}

export const opendir: Operation = (exchange, header) => {
  const inode = header.node;
  const encode: Encode<number> = ({ reply, handles }, handle) => reply.putOpen(handle, handles.generation, directoryFlags(exchange, inode, handle));
  exchange.answer(header, exchange.fileSystem.opendir(inode), encode, ({ fileSystem, trust }, handle) => {
    trust?.closed(handle);
    exchange.aside(inode, () => fileSystem.releasedir(inode, handle));
  });
};

function withHandle<T>(exchange: Exchange, inode: number, handle: KernelHandle, run: (handle: number) => MaybePromise<T>): MaybePromise<T> {
  if (exchange.handles.isOurs(handle)) exchange.trust?.used(handle.low);
  const { fileSystem } = exchange;
  return after(
    exchange.handles.resolve(handle, () => reopened(fileSystem, inode, fileSystem.opendir(inode))),
    run,
  );
}

/** The kernel got no reference to what did not fit. */
function list(exchange: Exchange, header: RequestHeader, message: Message, plus: boolean): void {
  const { handle, offset, length } = decodeRead(message);
  const inode = header.node;
  const { fileSystem } = exchange;
  const giveBack = (entry: DirectoryEntry): void => {
    if (entry.attributes !== undefined) fileSystem.forget(entry.attributes.inode, 1);
  };
  exchange.answer(
    header,
    withHandle(exchange, inode, handle, (ours) => fileSystem.readdir(inode, ours, offset, length, plus)),
    ({ reply }, entries) => reply.putEntries(entries, length, plus, giveBack),
    (_exchange, entries) => {
      for (const entry of entries) giveBack(entry);
    },
  );
}

export const readdir: Operation = (exchange, header, message) => list(exchange, header, message, false);
export const readdirplus: Operation = (exchange, header, message) => list(exchange, header, message, true);

export const releasedir: Operation = (exchange, header, message) => {
  const { handle } = decodeRelease(message);
  if (exchange.handles.isOurs(handle)) exchange.trust?.closed(handle.low);
  const open = exchange.handles.release(handle);
  if (open === undefined) return exchange.done(header);
  const inode = header.node;
  exchange.answer(
    header,
    after(open, (ours) => exchange.fileSystem.releasedir(inode, ours)),
    encodeNothing,
  );
};

export const fsyncdir: Operation = (exchange, header, message) => {
  const inode = header.node;
  const synced = withHandle(exchange, inode, decodeFsync(message).handle, (ours) => exchange.fileSystem.fsyncdir(inode, ours));
  exchange.answer(header, synced, encodeNothing);
};
