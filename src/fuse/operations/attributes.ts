import { type Attributes, errnos, type FileSystemStatistics } from '../../filesystem/index.ts';
import type { Encode, Exchange, Operation } from '../exchange.ts';
import { decodeGetxattr, decodeSetattr, decodeSetxattr, hasExtendedSetxattr, isResent } from '../wire/index.ts';
import { encodeNothing, recover } from './names.ts';

const encodeAttributes: Encode<Attributes> = ({ reply }, attributes) => reply.putAttributes(attributes);

export const getattr: Operation = (exchange, header) => exchange.answer(header, exchange.fileSystem.getattr(header.node), encodeAttributes);

/** Also how the kernel writes back size and times that it kept for a cached file. */
export const setattr: Operation = (exchange, header, message) =>
  exchange.answer(header, exchange.fileSystem.setattr(header.node, decodeSetattr(message)), encodeAttributes);

const encodeStatx: Encode<Attributes> = ({ reply }, attributes) => reply.putStatx(attributes);

export const statx: Operation = (exchange, header) => exchange.answer(header, exchange.fileSystem.getattr(header.node), encodeStatx);

const encodeText: Encode<string> = ({ reply }, text) => reply.putText(text);

export const readlink: Operation = (exchange, header) => exchange.answer(header, exchange.fileSystem.readlink(header.node), encodeText);

const encodeStatfs: Encode<FileSystemStatistics> = ({ reply }, statistics) => reply.putStatfs(statistics);

export const statfs: Operation = (exchange, header) => exchange.answer(header, exchange.fileSystem.statfs(), encodeStatfs);

export const syncfs: Operation = (exchange, header) => exchange.answer(header, exchange.fileSystem.syncfs(), encodeNothing);

export const setxattr: Operation = (exchange, header, message) => {
  const extended = exchange.init !== undefined && hasExtendedSetxattr(exchange.init);
  const { name, value, flags, killSetgid } = decodeSetxattr(message, extended);
  const { fileSystem } = exchange;
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
  const { fileSystem } = exchange;
  const run = (): void | Promise<void> => fileSystem.removexattr(header.node, name);
  const removed = isResent(header) ? recover<unknown>(run, 'ENODATA', () => Promise.resolve('by the first run')) : run();
  exchange.answer(header, removed, encodeNothing);
};
