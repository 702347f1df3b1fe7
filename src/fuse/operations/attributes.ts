import {
  type Attributes,
  type AttributeChanges,
  errnos,
  FileSystemError,
  type FileSystemStatistics,
  type MaybePromise,
} from '../../filesystem/index.ts';
import type { Encode, Exchange, Operation } from '../exchange.ts';
import { after } from '../handles.ts';
import {
  decodeGetxattr,
  decodeSetattr,
  decodeSetxattr,
  forgetsInTime,
  hasExtendedSetxattr,
  isForOpenFile,
  isResent,
  type RequestHeader,
} from '../wire/index.ts';
import type { Question } from '../notifier.ts';
import { encodeNothing, recover } from './names.ts';

const encodeAttributes: Encode<Attributes> = ({ reply }, attributes) => reply.putAttributes(attributes);

const encodePassing: Encode<Attributes> = ({ reply }, attributes) => reply.putPassingAttributes(attributes);

const encodeBeforeRead: Encode<Attributes> = ({ reply, trust, fileSystem, init }, attributes) => {
  const guarded =
    trust!.isSole || init === undefined || !forgetsInTime(init)
      ? undefined
      : trust!.guardedValidity(attributes.inode, () => fileSystem.guardedMs?.(attributes) ?? 0);
  if (guarded !== undefined) reply.validity = guarded;
  const modified = trust!.modifiedBefore(attributes);
  return modified === undefined ? reply.putAttributes(attributes) : reply.putPassingAttributes({ ...attributes, modified });
};

const [typeBits, regularType, directoryType] = [0o170000, 0o100000, 0o040000];

/**
 * An answer that the kernel does not take in leaves it with the end of the file that it knew, up to which it reads pages, and a program its mapped memory. A later end can be told otherwise, by the
 * last byte; an earlier one it sees as it reads.
 */
async function withEnd(exchange: Exchange, header: RequestHeader, question: Question, told: Promise<Attributes>): Promise<Attributes> {
  const { notifier } = exchange;
  const { inode } = question;
  try {
    const attributes = await told;
    const { size, mode } = attributes;
    if (!question.forgotten || size === 0 || (mode & typeBits) !== regularType) return attributes;
    // Where that cannot be read, who reads the file hears why.
    const byte = await lastByte(exchange, inode, size).catch(() => undefined);
    if (byte !== undefined) await exchange.afterKernel(header, notifier.showEnd(inode, size, byte));
    return attributes;
  } finally {
    notifier.answered(question);
  }
}

async function lastByte(exchange: Exchange, inode: number, size: number): Promise<number | undefined> {
  const { fileSystem } = exchange;
  const handle = await fileSystem.open(inode, 0);
  try {
    const [part] = await fileSystem.read(inode, handle, size - 1, 1);
    return part?.[0];
  } finally {
    exchange.aside(inode, () => fileSystem.release(inode, handle));
  }
}

export const getattr: Operation = (exchange, header, message) => {
  const { trust, notifier } = exchange;
  // Where nobody else changes the file the end that the kernel knows is right.
  if (trust === undefined || trust.isSole) return answerAttributes(exchange, header, message, (told) => told);
  const question = notifier.asked(header.node);
  let waits = false;
  try {
    answerAttributes(exchange, header, message, (told) => {
      waits = told instanceof Promise || question.forgotten;
      return waits ? withEnd(exchange, header, question, Promise.resolve(told)) : told;
    });
  } finally {
    if (!waits) notifier.answered(question);
  }
};

function answerAttributes(
  exchange: Exchange,
  header: RequestHeader,
  message: Parameters<Operation>[2],
  last: (told: MaybePromise<Attributes>) => MaybePromise<Attributes>,
): void {
  const { fileSystem, trust, justLookedUp } = exchange;
  const found = justLookedUp?.take(header.pid, header.node);
  const attributes = found !== undefined && !isForOpenFile(message) ? found : fileSystem.getattr(header.node);
  if (trust === undefined) return exchange.answer(header, attributes, encodeAttributes);
  let encode = isForOpenFile(message) ? encodeBeforeRead : encodeAttributes;
  const told = after(attributes, (known) => {
    let before = trust.beforeAttributes(known);
    if (before === undefined && encode === encodeAttributes) {
      before = trust.keepingPages(known);
      if (before !== undefined) encode = encodePassing;
    }
    return before === undefined ? known : exchange.afterKernel(header, before).then(() => known);
  });
  exchange.answer(header, last(told), (answering, known) => encode(answering, known));
}

/** Also how the kernel writes back size and times that it kept for a cached file. */
export const setattr: Operation = (exchange, header, message) => {
  const changes = decodeSetattr(message);
  const { fileSystem } = exchange;
  const inode = header.node;
  if (!isBareChown(changes)) return exchange.answer(header, fileSystem.setattr(inode, changes), encodeAttributes);
  const changed = after(fileSystem.getattr(inode), ({ mode }) =>
    exchange.serve(header, () => fileSystem.setattr(inode, (mode & typeBits) === directoryType ? changes : { ...changes, killPrivileges: true })),
  );
  exchange.answer(header, changed, encodeAttributes);
};

/** chown(file, -1, -1) changes no owner but takes suid and sgid away; with KILLPRIV_V2 all that the kernel tells us is a change of nothing. */
function isBareChown({ mode, uid, gid, size, accessed, modified, killPrivileges }: AttributeChanges): boolean {
  return (mode ?? uid ?? gid ?? size ?? accessed ?? modified ?? killPrivileges) === undefined;
}

const encodeText: Encode<string> = ({ reply }, text) => reply.putText(text);

export const readlink: Operation = (exchange, header) => exchange.answer(header, exchange.fileSystem.readlink(header.node), encodeText);

const encodeStatfs: Encode<FileSystemStatistics> = ({ reply }, statistics) => reply.putStatfs(statistics);

export const statfs: Operation = (exchange, header) => exchange.answer(header, exchange.fileSystem.statfs(), encodeStatfs);

export const syncfs: Operation = (exchange, header) => exchange.answer(header, exchange.fileSystem.syncfs(), encodeNothing);

/** The kernel hands over names of any kind and leaves it to us which there are. */
const knownNames = /^(?:(?:user|trusted|security)\..|system\.posix_acl_(?:access|default)$)/s;

function requireKnown(name: string): void {
  if (!knownNames.test(name)) throw new FileSystemError('EOPNOTSUPP');
}

export const setxattr: Operation = (exchange, header, message) => {
  const extended = exchange.init !== undefined && hasExtendedSetxattr(exchange.init);
  const { name, value, flags, killSetgid } = decodeSetxattr(message, extended);
  const { fileSystem } = exchange;
  requireKnown(name);
  if (!isResent(header)) return exchange.answer(header, fileSystem.setxattr(header.node, name, value, flags, killSetgid), encodeNothing);
  // XATTR_CREATE may meet what its first run made, and setting it again is the same.
  exchange.answer(header, fileSystem.setxattr(header.node, name, value, flags & ~1, killSetgid), encodeNothing);
};

/** With a limit of 0 the caller asks for the size; with one that is too small it gets ERANGE. */
function withinLimit({ reply }: Exchange, limit: number, length: number, put: () => number): number {
  if (limit === 0) return reply.putCount(length);
  return length > limit ? -errnos.ERANGE : put();
}

export const getxattr: Operation = (exchange, header, message) => {
  const { name, limit } = decodeGetxattr(message, true);
  requireKnown(name);
  exchange.answer(header, exchange.fileSystem.getxattr(header.node, name), (at, value) =>
    withinLimit(at, limit, value.length, () => at.reply.putBytes(value)),
  );
};

export const listxattr: Operation = (exchange, header, message) => {
  const { limit } = decodeGetxattr(message, false);
  exchange.answer(header, exchange.fileSystem.listxattr(header.node), (at, names) => {
    const text = names.map((name) => `${name}\0`).join('');
    return withinLimit(at, limit, text.length, () => at.reply.putText(text));
  });
};

export const removexattr: Operation = (exchange, header, message) => {
  const name = message.text(40);
  requireKnown(name);
  const { fileSystem } = exchange;
  const run = (): void | Promise<void> => fileSystem.removexattr(header.node, name);
  const removed = isResent(header) ? recover<unknown>(run, 'ENODATA', () => Promise.resolve('by the first run')) : run();
  exchange.answer(header, removed, encodeNothing);
};
