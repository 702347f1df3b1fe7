import { Message, replyHeaderBytes } from './message.ts';

/** enum fuse_notify_code. */
const codes = { invalidateInode: 2, invalidateEntry: 3, store: 4, resend: 7, incrementEpoch: 8 } as const;

function begin(code: number, bodyBytes: number): Message {
  const message = new Message(replyHeaderBytes + bodyBytes);
  message.length = replyHeaderBytes + bodyBytes;
  message.words[0] = message.length;
  message.words[1] = code;
  return message;
}

function putName(message: Message, at: number, name: string): void {
  message.bytes.write(name, at, 'latin1');
  message.bytes[at + name.length] = 0;
}

/** Drops attributes, and cached data of `length` bytes from `offset` on (0: to the end); a negative offset: attributes only. */
export function encodeInvalidateInode(inode: number, offset: number, length: number): Message {
  const message = begin(codes.invalidateInode, 24);
  message.put64(4, inode);
  message.put64(6, offset);
  message.put64(8, length);
  return message;
}

/** Drops a name, also a remembered absence. */
export function encodeInvalidateEntry(parent: number, name: string): Message {
  const message = begin(codes.invalidateEntry, 16 + name.length + 1);
  message.put64(4, parent);
  message.words[6] = name.length;
  putName(message, 32, name);
  return message;
}

/**
 * Tells the kernel that a file has grown to `size`. With the writeback cache the kernel believes its own size of a cached
 * file and no attributes can change that; a NOTIFY_STORE beyond its end can, even of one byte, which must be the file's real last one.
 */
export function encodeGrow(inode: number, size: number, lastByte: number): Message {
  const message = begin(codes.store, 25);
  message.put64(4, inode);
  message.put64(6, size - 1);
  message.words[8] = 1;
  message.bytes[40] = lastByte;
  return message;
}

/** Asks for every request again that was read and not answered. */
export function encodeResend(): Message {
  return begin(codes.resend, 0);
}

/** Makes the kernel look up every remembered name again at its next use (Linux 6.16). */
export function encodeIncrementEpoch(): Message {
  return begin(codes.incrementEpoch, 0);
}
