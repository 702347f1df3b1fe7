import { type Attributes, type Caller, errnos, FileSystemError, type MaybePromise, ProvenFailure } from '../../filesystem/index.ts';
import type { Encode, Exchange, Operation, Undo } from '../exchange.ts';
import {
  decodeForget,
  decodeForgets,
  decodeLink,
  decodeMkdir,
  decodeMknod,
  decodeRename,
  decodeSymlink,
  isResent,
  type Message,
  type RequestHeader,
  requestKey,
} from '../wire/index.ts';

const typeBits = 0o170000;

/** Who asks; `pid` is a thread id. */
export function callerOf(header: RequestHeader): Caller {
  return { uid: header.uid, gid: header.gid, pid: header.pid };
}

const encodeEntry: Encode<Attributes> = ({ reply }, attributes) => reply.putEntry(attributes);
const encodeMade: Encode<Attributes> = ({ reply, written }, attributes) => {
  if ((attributes.mode & typeBits) === 0o100000) written.add(attributes.inode);
  return reply.putEntry(attributes);
};
const encodeFound: Encode<Attributes | undefined> = ({ reply }, attributes) => {
  if (attributes !== undefined) return reply.putEntry(attributes);
  return reply.validity.negativeSeconds + reply.validity.negativeNanoseconds > 0 ? reply.putNegativeEntry() : -errnos.ENOENT;
};
/** Each entry reply gives the kernel one reference. */
const forgetEntry: Undo<Attributes | undefined> = ({ fileSystem }, attributes) => {
  if (attributes !== undefined) fileSystem.forget(attributes.inode, 1);
};
/** For answers without a body. */
export const encodeNothing: Encode<unknown> = () => 0;

export const lookup: Operation = (exchange, header, message) => {
  const name = (header.name = message.name(40));
  const { justLookedUp, fileSystem } = exchange;
  const { pid } = header;
  const encode: Encode<Attributes | undefined> =
    justLookedUp === undefined
      ? encodeFound
      : (answering, attributes) => {
          if (attributes !== undefined) justLookedUp.note(pid, attributes);
          return encodeFound(answering, attributes);
        };
  exchange.answer(header, fileSystem.lookup(header.node, name), encode, forgetEntry);
};

export const forget: Operation = ({ fileSystem }, header, message) => fileSystem.forget(header.node, decodeForget(message));

export const batchForget: Operation = ({ forgets }, _header, message) => forgets.take(decodeForgets(message));

/**
 * A request that is sent again after a crash may have taken effect before it. `expected` is the failure that its own first
 * run then causes; `verify` says whether it did, by what is there.
 */
export async function recover<T>(run: () => MaybePromise<T>, expected: string, verify: () => Promise<T | undefined>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    const isUnproven = error instanceof FileSystemError && !(error instanceof ProvenFailure);
    const outcome = isUnproven && error.errno === expected ? await verify() : undefined;
    if (outcome === undefined) throw error;
    return outcome;
  }
}

/** Where others use the volume as well, what a request that is sent again meets may be its own or theirs, and nothing on disk says whose. */
export function refuseUnproven(exchange: Exchange): void {
  if (exchange.trust !== undefined)
    throw new FileSystemError('EIO', 'whether it took effect before the crash is not known: another host may have done the same');
}

/** Makes a name; on a resent request an entry of the same type that is there already is the one it made, where nobody else could have. */
function make(exchange: Exchange, header: RequestHeader, name: string, type: number, run: () => MaybePromise<Attributes>): void {
  const { fileSystem } = exchange;
  header.name = name;
  const made = isResent(header)
    ? recover(run, 'EEXIST', async () => {
        refuseUnproven(exchange);
        const found = await fileSystem.lookup(header.node, name);
        if (found === undefined || (found.mode & typeBits) === type) return found;
        fileSystem.forget(found.inode, 1);
      })
    : run();
  exchange.answer(header, made, encodeMade, forgetEntry);
}

export const symlink: Operation = (exchange, header, message) => {
  const { name, target } = decodeSymlink(message);
  make(exchange, header, name, 0o120000, () => exchange.fileSystem.symlink(header.node, name, target, callerOf(header)));
};

export const mknod: Operation = (exchange, header, message) => {
  const { name, mode, device, umask } = decodeMknod(message);
  make(exchange, header, name, mode & typeBits, () => exchange.fileSystem.mknod(header.node, name, mode, device, umask, callerOf(header)));
};

export const mkdir: Operation = (exchange, header, message) => {
  const { name, mode, umask } = decodeMkdir(message);
  make(exchange, header, name, 0o040000, () => exchange.fileSystem.mkdir(header.node, name, mode, umask, callerOf(header)));
};

export const link: Operation = (exchange, header, message) => {
  const { inode, newName } = decodeLink(message);
  header.name = newName;
  const { fileSystem } = exchange;
  const run = (): MaybePromise<Attributes> => fileSystem.link(inode, header.node, newName);
  const linked = isResent(header)
    ? recover(run, 'EEXIST', async () => {
        const found = await fileSystem.lookup(header.node, newName);
        if (found === undefined || found.inode === inode) return found;
        fileSystem.forget(found.inode, 1);
      })
    : run();
  exchange.answer(header, linked, encodeEntry, forgetEntry);
};

function remove(exchange: Exchange, header: RequestHeader, run: () => MaybePromise<void>): void {
  const removed = isResent(header) ? recover<unknown>(run, 'ENOENT', () => Promise.resolve('by the first run')) : run();
  exchange.answer(header, removed, encodeNothing);
}

export const unlink: Operation = (exchange, header, message) => {
  const name = message.name(40);
  remove(exchange, header, () => exchange.fileSystem.unlink(header.node, name));
};

export const rmdir: Operation = (exchange, header, message) => {
  const name = message.name(40);
  remove(exchange, header, () => exchange.fileSystem.rmdir(header.node, name));
};

/** RENAME_EXCHANGE, RENAME_WHITEOUT. */
const onceOnly = 2 | 4;

function renameWith(exchange: Exchange, header: RequestHeader, message: Message, withFlags: boolean): void {
  const { newParent, flags, name, newName } = decodeRename(message, withFlags);
  const { fileSystem } = exchange;
  const again = isResent(header);
  if ((flags & onceOnly) !== 0) {
    // Doing it twice undoes an exchange, and puts the whiteout where the file is to be; what is there says nothing of whether it was done once.
    const request = { number: requestKey(header.uniqueLow, header.uniqueHigh), again };
    return exchange.answer(header, fileSystem.rename(header.node, name, newParent, newName, flags, request), encodeNothing);
  }
  const run = (): MaybePromise<void> => fileSystem.rename(header.node, name, newParent, newName, flags);
  if (!again) return exchange.answer(header, run(), encodeNothing);
  const renamed = recover<unknown>(run, 'ENOENT', async () => {
    const found = await fileSystem.lookup(newParent, newName);
    if (found !== undefined) fileSystem.forget(found.inode, 1);
    return found;
  });
  exchange.answer(header, renamed, encodeNothing);
}

export const rename: Operation = (exchange, header, message) => renameWith(exchange, header, message, false);
export const rename2: Operation = (exchange, header, message) => renameWith(exchange, header, message, true);
