/** Each kind of request, served: decoded, handed to the file system, answered. */
import type { Operation } from '../exchange.ts';
import { opcodeLimit, opcodes, type OperationName } from '../wire/index.ts';
import * as attributes from './attributes.ts';
import * as directories from './directories.ts';
import * as files from './files.ts';
import * as locks from './locks.ts';
import * as names from './names.ts';

const { lookup, forget, batchForget, symlink, mknod, mkdir, unlink, rmdir, rename, rename2, link } = names;
const { open, read, write, flush, release, fsync, fallocate, lseek, create, tmpfile, copyFileRange, copyFileRange64 } = files;
const { getattr, setattr, readlink, statfs, syncfs, setxattr, getxattr, listxattr, removexattr } = attributes;
const { opendir, readdir, readdirplus, releasedir, fsyncdir } = directories;
const { getlk, setlk, setlkw, interrupt } = locks;
const destroy: Operation = (exchange, header) => exchange.done(header);

/**
 * All but INIT, which the session itself answers. Whatever else the kernel asks is ENOSYS, and it does without: STATX too, which
 * adds only a time of birth that we do not have, and would cost programs that ask for it (Node's stat does) a request an inode.
 */
const byName: Readonly<Record<Exclude<OperationName, 'init'>, Operation>> = {
  lookup,
  forget,
  batchForget,
  symlink,
  mknod,
  mkdir,
  unlink,
  rmdir,
  rename,
  rename2,
  link,
  open,
  read,
  write,
  flush,
  release,
  fsync,
  fallocate,
  lseek,
  create,
  tmpfile,
  copyFileRange,
  copyFileRange64,
  getattr,
  setattr,
  readlink,
  statfs,
  syncfs,
  setxattr,
  getxattr,
  listxattr,
  removexattr,
  opendir,
  readdir,
  readdirplus,
  releasedir,
  fsyncdir,
  getlk,
  setlk,
  setlkw,
  interrupt,
  destroy,
};

/** What the kernel does by itself from its first ENOSYS on. MKNOD takes the place of CREATE. */
const opening: ReadonlySet<string> = new Set<OperationName>(['open', 'create', 'flush', 'opendir']);

function tableOf(kernelOpens: boolean): readonly (Operation | undefined)[] {
  const table: (Operation | undefined)[] = Array.from({ length: opcodeLimit });
  for (const [name, operation] of Object.entries(byName)) if (!kernelOpens || !opening.has(name)) table[opcodes[name as OperationName]] = operation;
  return table;
}

/** The operations by request code. */
export const operations: readonly (Operation | undefined)[] = tableOf(false);
/** The same for a kernel that opens files without asking. */
export const operationsWithoutOpens: readonly (Operation | undefined)[] = tableOf(true);
