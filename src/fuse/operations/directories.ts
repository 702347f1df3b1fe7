import type { DirectoryEntry, MaybePromise } from '../../filesystem/index.ts';
import type { Encode, Exchange, Operation } from '../exchange.ts';
import { after } from '../handles.ts';
import { decodeFsync, decodeRead, decodeRelease, type KernelHandle, type Message, type RequestHeader } from '../wire/index.ts';
import { encodeNothing } from './names.ts';

/** FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR: listings stay in the kernel until the directory changes or is invalidated. */
const cacheListing = 2 | 8;

const encodeOpen: Encode<number> = ({ reply, handles, options }, handle) =>
  reply.putOpen(handle, handles.generation, options.keepCache ? cacheListing : 0);

export const opendir: Operation = (exchange, header) => {
  const inode = header.node;
  exchange.answer(header, exchange.fileSystem.opendir(inode), encodeOpen, ({ fileSystem }, handle) => {
    void fileSystem.releasedir(inode, handle);
  });
};

function withHandle<T>(exchange: Exchange, inode: number, handle: KernelHandle, run: (handle: number) => MaybePromise<T>): MaybePromise<T> {
  return after(
    exchange.handles.resolve(handle, () => exchange.fileSystem.opendir(inode)),
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
  const known = exchange.handles.release(decodeRelease(message).handle);
  if (known === undefined) return exchange.done(header);
  const inode = header.node;
  exchange.answer(
    header,
    after(known, (ours) => exchange.fileSystem.releasedir(inode, ours)),
    encodeNothing,
  );
};

export const fsyncdir: Operation = (exchange, header, message) => {
  const inode = header.node;
  const synced = withHandle(exchange, inode, decodeFsync(message).handle, (ours) => exchange.fileSystem.fsyncdir(inode, ours));
  exchange.answer(header, synced, encodeNothing);
};
