import { messageOf } from './errors.ts';

/** What the system and the network say, for people; with what to do where that is not plain. */
const meanings: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or directory',
  EACCES: 'no right to: run this as root',
  EPERM: 'no right to: run this as root',
  EEXIST: 'it exists already',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of the path is no directory',
  ELOOP: 'its symbolic links lead nowhere',
  ENAMETOOLONG: 'the name is too long',
  EROFS: 'the file system is read-only',
  ENOSPC: 'there is no room left on the device',
  EDQUOT: 'there is no room left in the quota',
  EIO: 'the device failed: see `dmesg`',
  EMFILE: 'too many files are open: raise the limit (`ulimit -n`)',
  ENOTCONN: 'its file system is dead: unmount it',
  ECONNREFUSED: 'nobody listens there: does its daemon run, and is that its port?',
  ECONNRESET: 'the other side hung up',
  EPIPE: 'the other side hung up',
  ETIMEDOUT: 'it does not answer: is the host up, and no firewall between?',
  EHOSTUNREACH: 'there is no route to it',
  ENETUNREACH: 'there is no route to it',
  ENOTFOUND: 'nobody knows a host of that name',
  EAI_AGAIN: 'the name server does not answer',
  EADDRINUSE: 'another process listens there',
  EADDRNOTAVAIL: 'this is no address of this machine',
};

/** What went wrong, in words: of a refusal by the system what it means, with its code, of anything else its own message. */
export function plainly(error: unknown): string {
  const text = messageOf(error);
  const { code = /\bE[A-Z]{3,}(_[A-Z]+)?\b/.exec(text)?.[0] } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && Object.hasOwn(meanings, code) ? `${meanings[code]} (${code})` : text;
}
